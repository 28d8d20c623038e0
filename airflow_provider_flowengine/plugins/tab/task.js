// The view of a task: the run that it started or waits for, and the task's tries.

import { h } from "../web/dom.js";
import { facts, lasted, time } from "../web/facts.js";
import { graph } from "../web/graph.js";
import { badge } from "../web/states.js";
import { timeline } from "../web/timeline.js";
import { getTask, listTries, listXComs, now, readEarlierRuns, readXCom } from "./airflow.js";
import { hasEnded, parseRun, RUN_KEY, URL_KEY } from "./run.js";
import { isFinal, say, sayTime, taskBadge } from "./words.js";

const LIVE = new Set(["running", "deferred"]);
const NOT_STARTED = new Set([null, "scheduled", "queued"]);

export async function load(params) {
  // The task first: once it has ended, its XComs are final. Read at the same time, they may be older than its end.
  const task = await getTask(params);
  const [tries, { value, written }, { value: url }] = await Promise.all([
    listTries(params),
    readOwn(RUN_KEY, params),
    readOwn(URL_KEY, params),
  ]);
  const run = parseRun(value);
  const earlierRuns = run && tries.length > 1 ? await readEarlierRuns(params, task.try_number) : {};
  return { task, tries, value, written, run, earlierRuns, url: linkTo(url) };
}

/** An XCom of the task's own, and when it was written. */
async function readOwn(key, params) {
  const [entry] = await listXComs(key, params);
  return entry ? { value: await readXCom(entry), written: ms(entry.timestamp) } : {};
}

/** Anyone who may write an XCom may write this one: nothing but a web page's address is linked to. */
const linkTo = (url) => (/^https?:\/\//i.test(url) ? url : null);

export const pause = ({ task: { state } }) => (LIVE.has(state) ? 3000 : isFinal(state) ? null : 10_000);

export function draw({ task, tries, value, written, run, earlierRuns, url }, room) {
  if (!run) return nothing(task, value);
  const isLeft = isFinal(task.state) && !hasEnded(run); // nobody follows it any more
  const moment = isLeft && written !== null ? written : now();
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
    isLeft ? h("p", { class: "notice left" }, say("left", { time: sayTime(written) })) : null,
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
    nodes.some(({ state }) => state !== null)
      ? h("section", { class: "panel", "data-key": "nodes" }, timeline(nodes, { start: run.start ?? earliest(nodes) ?? moment, end: run.end }, { now: moment }))
      : h("p", { class: "quiet" }, say("noNodes")),
    h(
      "div",
      { class: "columns" },
      h("section", { class: "panel padded" }, h("h3", {}, say("jobParams")), params),
      h("section", { class: "panel padded" }, h("h3", {}, say("tries")), triesTable(tries, { ...earlierRuns, [ownerOf(tries)]: run.id })),
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

/** The number of the try that has written the XComs: the last one that has started. A start deletes what there was. */
const ownerOf = (tries) => tries.findLast(({ state }) => !NOT_STARTED.has(state))?.try_number;

/** The task's tries, each with its run where that is known. */
function triesTable(tries, runs) {
  const current = Math.max(...tries.map(({ try_number: number }) => number));
  const row = ({ try_number: number, state, start_date: start, end_date: end }) =>
    h(
      "tr",
      { "data-key": `try ${number}`, "aria-current": number === current ? "true" : null },
      h("td", {}, String(number)),
      h("td", {}, taskBadge(state)),
      h("td", {}, time(ms(start))),
      h("td", {}, lasted({ start: ms(start), end: ms(end) }, now())),
      h("td", {}, runs[number] == null ? "–" : say("run", { id: runs[number] })),
    );
  return h(
    "table",
    { class: "tries" },
    h("thead", {}, h("tr", {}, ["try", "state", "started", "duration", "flowengine"].map((word) => h("th", { scope: "col" }, say(word))))),
    h("tbody", {}, tries.map(row)),
  );
}

const ms = (text) => (text ? Date.parse(text) : null);
