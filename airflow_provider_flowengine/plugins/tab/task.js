// The view of a task: the run that it started or waits for, and the task's tries.

import { h } from "../web/dom.js";
import { facts, lasted, time } from "../web/facts.js";
import { graph } from "../web/graph.js";
import { badge } from "../web/states.js";
import { timeline } from "../web/timeline.js";
import { getTask, listTries, listXComs, now, readXCom } from "./airflow.js";
import { hasEnded, parseRun, RUN_KEY, URL_KEY } from "./run.js";
import { isFinal, say, taskBadge } from "./words.js";

const LIVE = new Set(["running", "deferred"]);

export async function load(params) {
  const [task, tries, value, url] = await Promise.all([
    getTask(params),
    listTries(params),
    readOwn(RUN_KEY, params),
    readOwn(URL_KEY, params),
  ]);
  return { task, tries, value, run: parseRun(value), url: linkTo(url) };
}

async function readOwn(key, params) {
  const [entry] = await listXComs(key, params);
  return entry && readXCom(entry);
}

/** Anyone who may write an XCom may write this one: nothing but a web page's address is linked to. */
const linkTo = (url) => (/^https?:\/\//i.test(url) ? url : null);

export const pause = ({ task: { state } }) => (LIVE.has(state) ? 3000 : isFinal(state) ? null : 10_000);

export function draw({ task, tries, value, run, url }, room) {
  if (!run) return nothing(task, value);
  const moment = now();
  const nodes = run.nodes.map((node) => ({ ...node, took: node.start === null ? null : lasted(node, moment) }));
  const failed = nodes.filter(({ state, message }) => state === "failed" && message);
  const params = startParams(task.rendered_fields?.job_params, nodes);
  return [
    h(
      "div",
      { class: "heading" },
      h("h2", {}, say("run", { id: run.id }), " ", badge(run.state)),
      url ? h("a", { class: "button", href: url, target: "_blank", rel: "noreferrer" }, say("open")) : null,
    ),
    facts(
      [
        [say("pipeline"), pipelineName(run)],
        run.status ? [say("status"), run.status] : null,
        [say("started"), time(run.start)],
        hasEnded(run) ? [say("ended"), time(run.end)] : null,
        [say(hasEnded(run) ? "duration" : "elapsed"), hasEnded(run) && run.end === null ? "–" : lasted(run, moment)],
        run.trigger ? [say("trigger"), say(run.trigger)] : null,
      ].filter(Boolean),
    ),
    failed.map(({ id, label, state, message }) =>
      h("p", { class: "message", "data-state": state, "data-key": `message ${id}` }, h("strong", {}, label), `: ${message}`),
    ),
    run.edges.length ? h("section", { class: "panel", "data-key": "graph" }, graph(nodes, run.edges, { room })) : null,
    nodes.length
      ? h("section", { class: "panel", "data-key": "nodes" }, timeline(nodes, { start: run.start ?? earliest(nodes) ?? moment, end: run.end }, { now: moment }))
      : h("p", { class: "quiet" }, say("noNodes")),
    h(
      "div",
      { class: "columns" },
      h("section", { class: "panel padded" }, h("h3", {}, say("jobParams")), params),
      h("section", { class: "panel padded" }, h("h3", {}, say("tries")), triesTable(tries, task, run, moment)),
    ),
  ];
}

const earliest = (nodes) => nodes.reduce((first, { start }) => (start !== null && (first === null || start < first) ? start : first), null);

function pipelineName({ name, pipelineKey, pipelineId }) {
  const more = [pipelineKey === name ? null : pipelineKey, pipelineId == null || name === `Pipeline ${pipelineId}` ? null : `ID ${pipelineId}`].filter(Boolean);
  return [name || "–", more.length ? h("small", {}, ` ${more.join(" · ")}`) : null];
}

function nothing({ operator_name: name, operator, state }, value) {
  if (value != null) return h("p", { class: "quiet" }, say("elsewhere"));
  const isOurs = (name ?? operator ?? "").startsWith("FlowEngine");
  return h("p", { class: "quiet" }, say(!isOurs ? "foreign" : isFinal(state) ? "noRun" : "noRunYet"));
}

/** The params by node, as the task's rendered fields have them. */
function startParams(given, nodes) {
  const labels = new Map(nodes.map(({ id, label }) => [id, label]));
  if (given == null || given === "" || Object.keys(given).length === 0) return h("p", { class: "quiet" }, say("none"));
  if (typeof given !== "object") return h("pre", { tabindex: 0 }, given);
  return Object.entries(given).map(([node, params]) => [
    h("h4", {}, labels.get(node) ?? node),
    typeof params === "object" && params !== null ? values(params) : h("pre", { tabindex: 0 }, String(params)),
  ]);
}

const values = (params) =>
  h("dl", { class: "values" }, Object.entries(params).map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, written(value)))));

const written = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function triesTable(tries, { try_number: current }, run, moment) {
  const row = ({ try_number: number, state, start_date: start, end_date: end }) =>
    h(
      "tr",
      { "data-key": `try ${number}`, "aria-current": number === current ? "true" : null },
      h("td", {}, String(number)),
      h("td", {}, taskBadge(state)),
      h("td", {}, time(ms(start))),
      h("td", {}, lasted({ start: ms(start), end: ms(end) }, moment)),
      h("td", {}, number === current ? say("run", { id: run.id }) : "–"),
    );
  return h(
    "table",
    { class: "tries" },
    h("thead", {}, h("tr", {}, ["try", "state", "started", "duration", "flowengine"].map((word) => h("th", { scope: "col" }, say(word))))),
    h("tbody", {}, tries.map(row)),
  );
}

const ms = (text) => (text ? Date.parse(text) : null);
