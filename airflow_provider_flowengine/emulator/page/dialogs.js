// What asks a person something: start params, a new pipeline's definition, who calls.

import { createPipeline, deletePipeline, getConnection, getPipeline, getRun, signIn, startRun, updatePipeline, uploadFile } from "./api.js";
import { h } from "../web/dom.js";
import { shape } from "./parts.js";
import { say } from "./words.js";

/** Ask with a form, and do what it is for when it is sent; the form stays open, and says why, while that fails.
 *
 * @param heading what is asked for.
 * @param body elements of the form.
 * @param label of the button that sends it.
 * @param act what to do with the form; what it returns is the answer.
 * @param options kind of the button: primary, or danger; leave: the label of the button that leaves it.
 * @returns the answer, or undefined when the person thought better of it.
 */
function ask(heading, body, label, act, { kind = "primary", leave = say("cancel") } = {}) {
  const problem = h("p", { class: "problem", role: "alert" });
  const send = h("button", { class: kind }, label);
  const cancel = h("button", { type: "button" }, leave);
  const form = h("form", {}, h("h2", { id: "asked" }, heading), h("div", { class: "fields" }, body), problem, h("div", { class: "actions" }, cancel, send));
  const dialog = h("dialog", { "aria-labelledby": "asked" }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let answer;
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      send.disabled = true;
      problem.textContent = "";
      try {
        answer = await act(form);
        dialog.close();
      } catch (error) {
        problem.textContent = error.message;
      }
      send.disabled = false;
    });
    dialog.showModal();
  });
}

// Start

/** Ask for start params, and start the pipeline.
 *
 * @param pipeline its id.
 * @param like the id of a run whose params are proposed.
 * @returns the new run's id.
 */
export async function askToStart(pipeline, like) {
  const definition = shape(await getPipeline(pipeline));
  const given = like ? (await getRun(like)).params : {};
  const fields = definition.nodes.map((node) => nodeFields(node, definition.edges, given[node.id] ?? {})).filter(Boolean);
  const body = fields.length ? [h("p", { class: "quiet" }, say("startHint")), fields] : h("p", { class: "quiet" }, say("noParams"));
  return ask(say("startPipeline", { name: definition.name || pipeline }), body, say("startNow"), (form) =>
    startRun(pipeline, changed(form)),
  );
}

function nodeFields(node, edges, given) {
  const params = node.params?.values ?? [];
  if (!params.length) return null;
  const wired = new Set(edges.filter(({ to }) => to === node.id).map(({ destSlotId }) => destSlotId));
  const field = ({ id, key, value, type, startParam }) => {
    const why = id && wired.has(id) ? say("wired") : startParam === false ? say("fixed") : "";
    const text = given[key] ?? value ?? "";
    const input = h("textarea", { rows: Math.min(6, String(text).split("\n").length), "data-node": node.id, "data-key": key, disabled: Boolean(why) }, text);
    input.dataset.own = value ?? "";
    const label = h("label", {}, h("span", {}, key, why ? h("small", {}, ` ${why}`) : null), input);
    return type === "FILE" && !why ? [label, fileInput(key, input)] : label;
  };
  return h("fieldset", {}, h("legend", {}, node.label), params.map(field));
}

/** Choose a file of one's own: it is uploaded at once, and the param gets the path that the upload answers with. */
function fileInput(key, input) {
  const choose = h("input", { type: "file", "aria-label": say("fileOf", { key }) });
  choose.addEventListener("change", async () => {
    const [file] = choose.files;
    choose.setCustomValidity("");
    if (!file) return;
    try {
      input.value = await uploadFile(file);
    } catch (error) {
      choose.setCustomValidity(error.message);
      choose.reportValidity();
    }
  });
  return choose;
}

/** The start params: what differs from the pipeline's own values. */
function changed(form) {
  const params = {};
  for (const { value, disabled, dataset } of form.querySelectorAll("textarea")) {
    if (!disabled && value !== dataset.own) (params[dataset.node] ??= {})[dataset.key] = value;
  }
  return params;
}

// New pipeline

const task = (nodeId, title, indexType, params) => ({
  nodeId,
  name: nodeId,
  title,
  type: "TASK",
  indexType,
  params: { values: Object.entries(params).map(([key, value]) => ({ id: `${nodeId}.${key}`, key, value, type: "TEXT" })) },
});

const EXAMPLE = {
  data: {
    name: "Churn model",
    describe: "Features and labels of a day become a model",
    nodes: [
      { nodeId: "start_node", name: "start", title: "开始", type: "START", indexType: "DAG" },
      task("fetch", "Fetch data", "SHELL", { day: "2025-01-01", duration: "3" }),
      task("features", "Make features", "PYTHON3", { duration: "5" }),
      task("labels", "Make labels", "PYTHON3", { duration: "4" }),
      task("train", "Train the model", "PYTHON3", { trees: "200", duration: "8", outcome: "succeeded" }),
      task("publish", "Publish", "SHELL", { duration: "2" }),
    ],
    edges: ["start_node fetch", "fetch features", "fetch labels", "features train", "labels train", "train publish"].map((text) => {
      const [srcNodeId, destNodeId] = text.split(" ");
      return { id: text.replace(" ", "-"), srcNodeId, destNodeId };
    }),
    executionConfig: { runMode: "SINGLE" },
  },
  pipelineKey: "churn_model",
};

/** Ask for a definition, and do something with it. */
function askForDefinition(heading, definition, label, act) {
  const text = h("textarea", { class: "code", rows: 16, spellcheck: "false", "aria-label": say("definition") }, JSON.stringify(definition, null, 2));
  const body = [h("p", { class: "quiet" }, say("definitionHint")), text];
  return ask(heading, body, label, () => {
    let parsed;
    try {
      parsed = JSON.parse(text.value);
    } catch (error) {
      throw new Error(say("badJson", { reason: error.message }));
    }
    return act(whole(parsed));
  });
}

/** The object of the create call, of one or of the definition in it alone, as it stands in a file. */
const whole = (definition) =>
  definition && !definition.data && Array.isArray(definition.nodes)
    ? { data: definition, pipelineKey: definition.pipelineKey ?? definition.name ?? null }
    : definition;

const create = async (definition) => String((await createPipeline(definition)).id);

/** Ask for a definition, and create the pipeline; returns its id. */
export const askForPipeline = () => askForDefinition(say("newPipeline").replace("…", ""), EXAMPLE, say("create"), create);

/** Ask what of a pipeline is to change, and change it. */
export async function askToEdit(pipeline) {
  const { historyList, createTime, jobKey, tiggerKey, ...definition } = await getPipeline(pipeline);
  return askForDefinition(say("editPipeline", { name: shape(definition).name }), definition, say("save"), async (changed) => {
    await updatePipeline({ ...changed, id: definition.id });
    return true;
  });
}

/** Ask what of a pipeline is to be another in a copy of it, and create that; returns its id. */
export async function askToCopy(pipeline) {
  const { id, historyList, createTime, jobKey, tiggerKey, ...definition } = await getPipeline(pipeline);
  const { name } = shape(definition);
  const copy = { ...definition, data: { ...definition.data, name: say("copyOf", { name }) }, pipelineKey: `${definition.pipelineKey ?? "pipeline"}_copy` };
  return askForDefinition(say("copyPipeline", { name }), copy, say("create"), create);
}

/** Ask whether a pipeline is to be deleted, and delete it. */
export async function askToDelete(pipeline) {
  const { name } = shape(await getPipeline(pipeline));
  const body = h("p", {}, say("deleteHint", { name: name || pipeline }));
  return ask(say("deletePipeline", { name: name || pipeline }), body, say("delete"), async () => {
    await deletePipeline(pipeline);
    return name || pipeline;
  }, { kind: "danger" });
}

/** Show how to point an Airflow at the emulator. */
export async function showConnection(executes) {
  const { export: line, connection } = await getConnection();
  const code = (label, text) => [h("h3", {}, label), h("pre", { class: "code paste", tabindex: 0, "aria-label": label }, text)];
  const body = [
    h("p", {}, say(executes ? "executes" : "simulates")),
    code(say("connectionShell"), line),
    code(say("connectionJson"), JSON.stringify(JSON.parse(connection), null, 2)),
  ];
  return ask(say("connect").replace("…", ""), body, say("copyLine"), async (form) => {
    const [shown] = form.querySelectorAll("pre");
    getSelection().selectAllChildren(shown);
    // Without a secure origin there is no clipboard: the line stays selected.
    if (!navigator.clipboard) throw new Error(say("selected"));
    await navigator.clipboard.writeText(line);
    return true;
  }, { leave: say("leave") });
}

// Sign in

const WHO = { user: ["user"], access_key: ["accessKey"], session: ["username", "password"] };

/** Ask who calls, in the way that the engine wants to know it. */
export function askWho(authentication) {
  const fields = WHO[authentication].map((name) =>
    h("label", {}, h("span", {}, say(name)), h("input", { name, required: true, type: name === "password" || name === "accessKey" ? "password" : "text" })),
  );
  return ask(say("signIn"), [h("p", { class: "quiet" }, say("signInHint")), fields], say("signIn"), async (form) => {
    await signIn(Object.fromEntries(new FormData(form)));
    return true;
  });
}
