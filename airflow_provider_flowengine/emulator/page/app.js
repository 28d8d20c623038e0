// The page: which view the address names, what it shows, and what a person does in it.

import { h, morph } from "../web/dom.js";
import { createSample, getEngine, resumeRun, setSchedule, stopRun } from "./api.js";
import { askForPipeline, askToCopy, askToDelete, askToEdit, askToStart, askWho, showConnection } from "./dialogs.js";
import { address } from "./parts.js";
import * as pipelineView from "./pipeline.js";
import * as pipelinesView from "./pipelines.js";
import * as runView from "./run.js";
import { language, say, setLanguage } from "./words.js";

const main = document.querySelector("main");
let engine = null; // the facts about it
let shown = null; // on the page: {view, route, data}, or {route, problem} where there is nothing to show
let asking = false; // whether a person is being asked who they are
let timer = 0;
let turn = 0;

// Which view

function readRoute() {
  const [path, query] = location.hash.slice(1).split("?");
  const [area, pipeline, run, ...rest] = path.split("/").filter(Boolean).map(decodeURIComponent);
  const known = (area === "offline-pipeline" || area == null) && !rest.length;
  return { known, pipeline, run, query: Object.fromEntries(new URLSearchParams(query)) };
}

/** Whether what is on the page, perhaps a moment old, is what this route is about. */
const isShown = ({ pipeline, run }) => shown?.view && shown.route.pipeline === pipeline && shown.route.run === run;

const viewOf = ({ pipeline, run }) => (run ? runView : pipeline ? pipelineView : pipelinesView);

// What it shows

/** Ask for all that the view shows, show it, and come back later. */
async function refresh() {
  clearTimeout(timer);
  const mine = (turn += 1);
  const route = readRoute();
  const view = viewOf(route);
  let pause = 3000;
  try {
    if (!route.known) throw new Error(say("notFound"));
    engine = await getEngine();
    const data = await view.load(route);
    if (mine !== turn) return;
    const arrived = !isShown(route);
    const picked = !arrived && route.query.node && route.query.node !== shown.route.query.node;
    shown = { view, route, data };
    pause = view.refreshEvery(data);
    complain("");
    render();
    if (arrived) arrive();
    else if (picked) showDetails();
  } catch (error) {
    if (mine !== turn) return;
    if (!isShown(route)) shown = { route, problem: error.message };
    if (error.status === 401 && !asking) await identify();
    else if (!shown.problem) complain(say("noAnswer", { reason: error.message }));
    render();
  }
  if (mine === turn && !document.hidden) timer = setTimeout(refresh, pause);
}

function render() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.querySelector("#skip").textContent = say("skip");
  morph(document.querySelector("header"), header());
  const logs = [...main.querySelectorAll(".log")].filter(({ scrollTop, clientHeight, scrollHeight }) => scrollTop + clientHeight > scrollHeight - 8);
  const { view, route, data } = shown ?? {};
  morph(main, h("main", { id: "main", tabindex: -1 }, view ? view.draw(data, route, engine) : nothing(shown?.problem)));
  document.title = view ? `${view.title(data)} – FlowEngine` : "FlowEngine";
  for (const log of logs) log.scrollTop = log.scrollHeight; // who reads the end goes on reading the end
}

const nothing = (problem) =>
  problem
    ? h("div", { class: "empty" }, h("p", {}, problem), h("p", {}, h("a", { href: address() }, say("pipelines"))))
    : h("p", { class: "quiet" }, say("loading"));

/** Another view: begin at its top, and let those who hear the page hear its heading. */
function arrive() {
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
  const graph = main.querySelector(".graph");
  const worth = ["[aria-current]", ".node[data-state=failed]", ".node[data-state=running]", ".node[data-type=START]", ".node"];
  const node = worth.map((each) => graph?.querySelector(each)).find(Boolean);
  if (!node) return;
  const [at, frame] = [node.getBoundingClientRect(), graph.getBoundingClientRect()];
  graph.scrollBy(at.x - frame.x + (at.width - frame.width) / 2, at.y - frame.y + (at.height - frame.height) / 2);
}

/** What is known of the node that was picked, where it is too far below to be seen. */
function showDetails() {
  const details = main.querySelector(".details");
  if (details && details.getBoundingClientRect().top > window.innerHeight - 200) details.scrollIntoView();
}

function header() {
  const tongue = (code, name) => h("button", { type: "button", lang: code, "data-do": "language", "data-language": code, "aria-pressed": String(language === code) }, name);
  return h(
    "header",
    {},
    h("a", { class: "brand", href: address() }, h("img", { src: "/__control__/web/icon.svg", alt: "", width: 24, height: 24 }), say("title")),
    h("span", { class: "quiet engine" }, engine ? say("engine", { id: engine.engineId, key: engine.engineKey, jobs: say(engine.executes ? "jobsRun" : "jobsSimulated") }) : ""),
    h("button", { type: "button", class: "connect", "data-do": "connect" }, say("connect")),
    h("div", { class: "languages", role: "group", "aria-label": "Language 语言" }, tongue("en", "English"), tongue("zh", "中文")),
  );
}

// Notices: what was done, and what is wrong for as long as it is

const notice = document.querySelector("#notice");
let told = 0;

function tell(text, kind = "done") {
  clearTimeout(told);
  notice.textContent = text;
  notice.dataset.kind = text ? kind : "";
  if (text && kind !== "lasting") told = setTimeout(() => tell(""), kind === "done" ? 4000 : 8000);
}

function complain(text) {
  if (text || notice.dataset.kind === "lasting") tell(text, "lasting");
}

async function identify() {
  asking = true;
  const answered = await askWho(engine.authentication);
  asking = false;
  if (answered) refresh();
  else complain(say("signIn"));
}

// What a person does

const go = (where) => {
  location.hash = where;
};

const ACTIONS = {
  language: ({ language: chosen }) => {
    setLanguage(chosen);
    render();
  },
  openLog: () => {
    open(URL.createObjectURL(new Blob([shown.data.log], { type: "text/plain;charset=utf-8" })));
  },
  newPipeline: async () => {
    const id = await askForPipeline();
    if (!id) return;
    go(address(id));
    tell(say("pipelineCreated", { id }));
  },
  sample: async () => {
    const { id } = await createSample();
    go(address(id));
    tell(say("pipelineCreated", { id }));
  },
  connect: async () => {
    if (await showConnection(engine?.executes)) tell(say("copied"));
  },
  edit: async ({ pipeline }) => {
    if (await askToEdit(pipeline)) tell(say("pipelineChanged", { id: pipeline }));
  },
  copy: async ({ pipeline }) => {
    const id = await askToCopy(pipeline);
    if (!id) return;
    go(address(id));
    tell(say("pipelineCreated", { id }));
  },
  delete: async ({ pipeline }) => {
    const name = await askToDelete(pipeline);
    if (!name) return;
    go(address());
    tell(say("pipelineDeleted", { name }));
  },
  start: async ({ pipeline, like }) => {
    const id = await askToStart(pipeline, like);
    if (!id) return;
    go(address(pipeline, id));
    tell(say("runStarted", { id }));
  },
  stop: async ({ run }) => {
    await stopRun(run);
    tell(say("runStopping", { id: run }));
  },
  resume: async ({ run }) => {
    await resumeRun(run);
    tell(say("runResumed", { id: run }));
  },
  schedule: async ({ pipeline }, button) => {
    await setSchedule(pipeline, button.getAttribute("aria-checked") !== "true");
  },
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-do]");
  if (!button) return;
  const { do: action } = button.dataset;
  try {
    await ACTIONS[action](button.dataset, button);
    if (action !== "language") refresh();
  } catch (error) {
    tell(error.message, "wrong");
  }
});

document.addEventListener("input", (event) => {
  if (event.target.id !== "filter") return;
  history.replaceState(null, "", address(null, null, { filter: event.target.value }));
  refresh();
});

document.querySelector("#skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

window.addEventListener("hashchange", refresh);
window.addEventListener("resize", () => shown && render());
document.addEventListener("visibilitychange", () => !document.hidden && refresh());

render();
refresh();
