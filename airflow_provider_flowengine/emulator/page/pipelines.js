// The view of all pipelines: #/offline-pipeline

import { getLatest, listPipelines } from "./api.js";
import { h } from "../web/dom.js";
import { lasted, time } from "../web/facts.js";
import { badge, icon } from "../web/states.js";
import { sayTime } from "../web/words.js";
import { address, button, scheduleText, shape } from "./parts.js";
import { say } from "./words.js";

const SIZE = 20;

export const title = () => say("pipelines");

export async function load({ query }) {
  const all = await listPipelines();
  const wanted = (query.filter ?? "").toLowerCase();
  const found = all
    .map((pipeline) => ({ ...pipeline, id: String(pipeline.id), ...shape(pipeline) }))
    .filter(({ id, name, pipelineKey }) => [id, name, pipelineKey].some((text) => (text ?? "").toLowerCase().includes(wanted)))
    .sort((one, other) => other.id - one.id);
  const { page, pages } = pageOf(query, found.length, SIZE);
  const shown = found.slice((page - 1) * SIZE, page * SIZE);
  const latest = new Map((await getLatest(shown.map(({ id }) => id))).map((each) => [each.id, each]));
  return { pipelines: shown.map((pipeline) => ({ ...pipeline, ...latest.get(pipeline.id) })), page, pages, total: all.length };
}

export const refreshEvery = ({ pipelines }) => (pipelines.some(({ runs }) => runs.some(({ end }) => end == null)) ? 1500 : 4000);

export function draw({ pipelines, page, pages, total }, { query }, engine) {
  return [
    h(
      "div",
      { class: "heading" },
      h("h1", {}, say("pipelines")),
      h(
        "div",
        { class: "actions" },
        total
          ? [
              h("input", { type: "search", id: "filter", value: query.filter ?? "", placeholder: say("filter"), "aria-label": say("filter") }),
              button("newPipeline", say("newPipeline")),
            ]
          : null,
      ),
    ),
    pipelines.length ? table(pipelines, engine) : empty(total),
    pages > 1 ? pager(page, pages, (wanted) => address(null, null, { ...query, page: wanted })) : null,
  ];
}

function empty(total) {
  if (total) return h("div", { class: "empty" }, h("p", {}, say("noMatch")));
  return h(
    "div",
    { class: "empty" },
    h("p", {}, say("noPipelines")),
    h("p", {}, say("noPipelinesHint")),
    h(
      "div",
      { class: "actions" },
      button("sample", say("createSample"), { class: "primary" }),
      button("newPipeline", say("newPipeline")),
      button("connect", say("connect")),
    ),
  );
}

function table(pipelines, { now }) {
  const head = ["pipeline", "schedule", "latestRuns", "state", "started", "duration"].map((word) => h("th", { scope: "col" }, say(word)));
  return h(
    "div",
    { class: "panel" },
    h(
      "table",
      { class: "pipelines" },
      h("thead", {}, h("tr", {}, head, h("th", { scope: "col", class: "doing" }, h("span", { class: "unseen" }, say("start"))))),
      h("tbody", {}, pipelines.map((pipeline) => row(pipeline, now))),
    ),
  );
}

function row(pipeline, now) {
  const { id, name, runs, scheduled, nextFire } = pipeline;
  const [last] = runs;
  const mode = pipeline.data?.executionConfig?.runMode || "SINGLE";
  return h(
    "tr",
    { "data-key": id },
    h(
      "td",
      { class: "name" },
      h("a", { href: address(id) }, name || say("pipeline") + " " + id),
      h("small", {}, [id, pipeline.pipelineKey].filter(Boolean).join(" / ")),
    ),
    h(
      "td",
      { class: "schedule", "data-label": say("schedule") },
      scheduleText(pipeline),
      mode === "SINGLE" ? null : h("small", {}, nextFire ? say("next", { time: sayTime(nextFire) }) : say(scheduled ? "scheduleOn" : "scheduleOff")),
    ),
    h("td", { class: "latest", "data-label": say("latestRuns") }, marks(id, runs)),
    h("td", { class: "state", "data-label": say("state") }, last ? badge(last.state) : "–"),
    h("td", { class: "when", "data-label": say("started") }, last ? time(last.start) : "–"),
    h("td", { class: "long", "data-label": say("duration") }, last ? lasted(last, now) : "–"),
    h("td", { class: "doing" }, button("start", say("start"), { "data-pipeline": id, "aria-label": say("startPipeline", { name: name || id }) })),
  );
}

const marks = (pipeline, runs) =>
  h(
    "span",
    { class: "marks" },
    [...runs].reverse().map((run) => {
      const label = `${say("run", { id: run.id })}: ${say(run.state)}, ${sayTime(run.start)}`;
      return h("a", { href: address(pipeline, run.id), title: label, "aria-label": label, "data-key": run.id }, icon(run.state));
    }),
    runs.length ? null : "–",
  );

/** Which page the address asks for, of those there are. */
export function pageOf(query, total, size) {
  const pages = Math.max(1, Math.ceil(total / size));
  return { page: Math.min(Math.max(1, Math.floor(query.page) || 1), pages), pages };
}

export function pager(page, pages, at) {
  const step = (wanted, label) =>
    wanted >= 1 && wanted <= pages
      ? h("a", { class: "button", href: at(wanted) }, label)
      : h("a", { class: "button", "aria-disabled": "true" }, label);
  return h(
    "nav",
    { class: "pager", "aria-label": say("pageOf", { page, pages }) },
    step(page - 1, say("previous")),
    h("span", {}, say("pageOf", { page, pages })),
    step(page + 1, say("following")),
  );
}
