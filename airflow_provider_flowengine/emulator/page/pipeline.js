// The view of one pipeline, its graph and its run history: #/offline-pipeline/{pipeline}

import { getLatest, getPipeline, listRuns } from "./api.js";
import { h } from "../web/dom.js";
import { facts, lasted, time } from "../web/facts.js";
import { graph } from "../web/graph.js";
import { badge } from "../web/states.js";
import { address, breadcrumb, button, room, scheduleText, shape } from "./parts.js";
import { pageOf, pager } from "./pipelines.js";
import { say } from "./words.js";

const SIZE = 20;

export const title = ({ name }) => name;

export async function load({ pipeline, query }) {
  const [{ scheduled, nextFire, total }] = await getLatest([pipeline]);
  const { page, pages } = pageOf(query, total, SIZE);
  const [definition, runs] = await Promise.all([getPipeline(pipeline), listRuns(pipeline, page, SIZE)]);
  return { definition, ...shape(definition), runs, total, page, pages, scheduled, nextFire };
}

export const refreshEvery = ({ runs }) => (runs.some(({ end }) => end == null) ? 1000 : 3000);

export function draw(data, { pipeline, query }, { now }) {
  const { definition, name, nodes, edges, runs, total, page, pages } = data;
  return [
    breadcrumb([address(), say("pipelines")]),
    h(
      "div",
      { class: "heading" },
      h("h1", {}, name || `${say("pipeline")} ${pipeline}`),
      h(
        "div",
        { class: "actions" },
        ["edit", "copy", "delete"].map((what) => button(what, say(`${what}Button`), { "data-pipeline": pipeline })),
        button("start", say("start"), { class: "primary", "data-pipeline": pipeline }),
      ),
    ),
    definition.data?.describe && definition.data.describe !== name ? h("p", { class: "describe" }, definition.data.describe) : null,
    facts([
      ["ID", pipeline],
      [say("key"), definition.pipelineKey],
      [say("schedule"), schedule(data, pipeline)],
      [say("created"), time(definition.createTime)],
    ]),
    h("section", { class: "panel" }, graph(nodes.map(planned), edges, { room: room() })),
    h("div", { class: "heading" }, h("h2", {}, say("history")), h("span", { class: "quiet" }, say("total", { total }))),
    total ? history(pipeline, runs, now) : h("div", { class: "empty" }, h("p", {}, say("noRuns")), h("div", { class: "actions" }, button("start", say("startFirst"), { "data-pipeline": pipeline }))),
    pages > 1 ? pager(page, pages, (wanted) => address(pipeline, null, { ...query, page: wanted })) : null,
    h(
      "details",
      { class: "panel definition" },
      h("summary", {}, say("definition")),
      h("pre", { tabindex: 0 }, JSON.stringify(definition, null, 2)),
    ),
  ];
}

const planned = (node) => ({ ...node, note: node.indexType });

function schedule({ definition, scheduled, nextFire }, pipeline) {
  const text = scheduleText(definition);
  if ((definition.data?.executionConfig?.runMode || "SINGLE") === "SINGLE") return text;
  return [
    text,
    " ",
    button("schedule", say(scheduled ? "scheduleOn" : "scheduleOff"), {
      class: "switch",
      role: "switch",
      "aria-checked": String(scheduled),
      "aria-label": say("schedule"),
      "data-pipeline": pipeline,
    }),
    nextFire ? [" ", h("span", { class: "quiet" }, say("next", { time: "" }), time(nextFire))] : null,
  ];
}

function history(pipeline, runs, now) {
  const head = ["runColumn", "state", "started", "ended", "duration", "trigger"].map((word) => h("th", { scope: "col" }, say(word)));
  return h(
    "div",
    { class: "panel" },
    h(
      "table",
      { class: "history" },
      h("thead", {}, h("tr", {}, head, h("th", { scope: "col", class: "doing" }))),
      h("tbody", {}, runs.map((run) => row(pipeline, run, now))),
    ),
  );
}

function row(pipeline, run, now) {
  const { id, state, start, end, triggerType } = run;
  return h(
    "tr",
    { "data-key": id },
    h("td", { class: "name" }, h("a", { href: address(pipeline, id) }, say("run", { id }))),
    h("td", { class: "state", "data-label": say("state") }, badge(state)),
    h("td", { class: "when", "data-label": say("started") }, time(start)),
    h("td", { class: "when ended", "data-label": say("ended") }, time(end)),
    h("td", { class: "long", "data-label": say("duration") }, lasted(run, now)),
    h("td", { class: "trigger", "data-label": say("trigger") }, say(triggerType)),
    h("td", { class: "doing" }, doing(run)),
  );
}

function doing({ id, state }) {
  if (state === "running") return button("stop", say("stop"), { "data-run": id });
  if (state === "failed" || state === "stopped") return button("resume", say("resume"), { "data-run": id });
  return null;
}
