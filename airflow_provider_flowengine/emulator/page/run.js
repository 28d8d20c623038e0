// The view of one run: its graph, its nodes in time, and what is known of the one that is looked at:
// #/offline-pipeline/{pipeline}/{run}?node={node}

import { getDefinition, getLog, getRun } from "./api.js";
import { h } from "../web/dom.js";
import { facts, lasted, time } from "../web/facts.js";
import { graph } from "../web/graph.js";
import { badge } from "../web/states.js";
import { timeline } from "../web/timeline.js";
import { address, breadcrumb, button, room, shape } from "./parts.js";
import { translate } from "./messages.js";
import { say } from "./words.js";

const definitions = new Map(); // of runs; they never change

export const title = ({ run, name }) => `${say("run", { id: run.id })} · ${say(run.state)} · ${name}`;

export async function load({ pipeline, run: id, query }) {
  const run = await getRun(id);
  if (String(run.pipelineId) !== pipeline) throw new Error(say("otherPipeline", { id, pipeline, other: run.pipelineId }));
  if (!definitions.has(id)) definitions.set(id, shape(await getDefinition(id)));
  const chosen = run.nodes.find((node) => node.id === query.node);
  const log = chosen ? await getLog(id, chosen.id) : "";
  return { run, chosen, log, ...definitions.get(id) };
}

export const refreshEvery = ({ run }) => (run.end == null ? 1000 : 3000);

export function draw(data, route, { now }) {
  const { run, chosen, name, edges } = data;
  const pipeline = String(run.pipelineId);
  const labels = new Map(data.nodes.map(({ id, label }) => [id, label]));
  const nodes = run.nodes.map((node) => ({
    ...node,
    label: labels.get(node.id) ?? node.id,
    note: node.indexType,
    took: node.start == null ? null : lasted(node, now),
    href: address(pipeline, run.id, { node: node.id }),
  }));
  return [
    breadcrumb([address(), say("pipelines")], [address(pipeline), name || pipeline]),
    h(
      "div",
      { class: "heading" },
      h("h1", {}, say("run", { id: run.id }), " ", badge(run.state)),
      h(
        "div",
        { class: "actions" },
        button("stop", say("stop"), { "data-run": run.id, disabled: run.state !== "running" }),
        button("resume", say("resume"), { "data-run": run.id, disabled: !["failed", "stopped"].includes(run.state) }),
        button("start", say("startAgain"), { "data-pipeline": pipeline, "data-like": run.id }),
      ),
    ),
    facts([
      [say("started"), time(run.start)],
      [say("ended"), time(run.end)],
      [say("duration"), lasted(run, now)],
      [say("trigger"), say(run.triggerType)],
    ]),
    h("section", { class: "panel" }, graph(nodes, edges, { room: room(), chosen: chosen?.id })),
    h(
      "div",
      { class: "columns" },
      h("section", { class: "panel" }, timeline(nodes, run, { now, chosen: chosen?.id })),
      h(
        "section",
        { class: "panel details", "aria-label": say("details"), "data-key": "details" },
        chosen ? nodeDetails(nodes.find(({ id }) => id === chosen.id), data, labels, now) : runDetails(nodes, run, labels),
      ),
    ),
  ];
}

function nodeDetails(node, { run, log, edges }, labels, now) {
  const before = edges.filter(({ to }) => to === node.id).map(({ from }) => labels.get(from) ?? from);
  return [
    h(
      "div",
      { class: "heading" },
      h("h2", {}, node.label, " ", badge(node.state)),
      h("a", { class: "close", href: address(run.pipelineId, run.id), "aria-label": say("close"), title: say("close") }, "×"),
    ),
    node.message ? h("p", { class: "message", "data-state": node.state }, translate(node.message)) : null,
    facts([
      ["ID", node.id],
      [say("type"), node.indexType],
      [say("attempts"), String(node.attempts)],
      [say("started"), time(node.start)],
      [say("ended"), time(node.end)],
      [say("duration"), lasted(node, now)],
      before.length ? [say("after"), [...new Set(before)].join(", ")] : null,
    ].filter(Boolean)),
    Object.keys(node.params ?? {}).length ? [h("h3", {}, say("params")), values(node.params)] : null,
    node.output ? [h("h3", {}, say("output")), h("pre", { tabindex: 0 }, node.output)] : null,
    h(
      "div",
      { class: "heading" },
      h("h3", {}, say("log")),
      button("openLog", say("openLog"), { class: "plain", disabled: !log }),
    ),
    h("pre", { class: "log", tabindex: 0, "aria-label": say("log"), "data-key": `log ${node.id}` }, log || h("span", { class: "quiet" }, say("noLog"))),
  ];
}

function runDetails(nodes, run, labels) {
  const given = Object.entries(run.params ?? {});
  const broken = nodes.filter(({ state }) => state === "failed");
  return [
    broken.map(({ label, href, state, message }) =>
      h("p", { class: "message", "data-state": state }, h("a", { href }, label), message ? `: ${translate(message)}` : ""),
    ),
    h("h2", {}, say("jobParams")),
    given.length
      ? given.map(([node, params]) => [h("h3", {}, labels.get(node) ?? node), values(params)])
      : h("p", { class: "quiet" }, say("none")),
    h("p", { class: "quiet" }, say("pickNode")),
  ];
}

const values = (params) =>
  h("dl", { class: "values" }, Object.entries(params).map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value))));
