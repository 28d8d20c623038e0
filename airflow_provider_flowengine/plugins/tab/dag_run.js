// The view of a DAG run: the runs of all its FlowEngine tasks side by side in time.

import { h } from "../web/dom.js";
import { timeline } from "../web/timeline.js";
import { getDagRun, listTasks, listXComs, now, readXCom, tabOf } from "./airflow.js";
import { hasEnded, parseRun, RUN_KEY } from "./run.js";
import { isFinal, say } from "./words.js";

const MOST = 100; // runs; each is a request

export async function load({ dagId, runId }) {
  const params = { dagId, runId };
  const dagRun = await getDagRun(params); // first: once it has ended, all that is read afterwards is final
  const [tasks, entries] = await Promise.all([listTasks(params), listXComs(RUN_KEY, params)]);
  const named = new Map(tasks.map((task) => [key(task.task_id, task.map_index), task]));
  const runs = await Promise.all(
    entries.slice(0, MOST).map(async (entry) => {
      const { task_id: taskId, map_index: mapIndex } = entry;
      return { taskId, mapIndex, run: parseRun(await readXCom(entry)), task: named.get(key(taskId, mapIndex)) };
    }),
  );
  return { params, dagRun, runs: runs.filter(({ run }) => run), total: entries.length };
}

const key = (taskId, mapIndex) => `${mapIndex} ${taskId}`;

export const pause = ({ dagRun: { state } }) => (isFinal(state) ? null : 5000);

export function draw({ params, runs, total }) {
  if (!runs.length) return h("p", { class: "quiet" }, say("noRuns"));
  const moment = now();
  const rows = runs.map(({ taskId, mapIndex, task, run }) => ({
    id: key(taskId, mapIndex),
    label: taskName(task, taskId, mapIndex),
    detail: [run.name, say("run", { id: run.id })].filter(Boolean).join(" · "),
    state: run.state,
    start: run.start,
    end: run.end,
    href: tabOf({ ...params, taskId, mapIndex }),
  }));
  rows.sort((one, other) => (one.start ?? Infinity) - (other.start ?? Infinity));
  const starts = rows.map(({ start }) => start).filter((start) => start !== null);
  const isOver = runs.every(({ run }) => hasEnded(run));
  const window = { start: Math.min(moment, ...starts), end: isOver ? Math.max(...rows.map(({ end, start }) => end ?? start ?? 0)) : null };
  return [
    h("div", { class: "heading" }, h("h2", {}, say("dagRun"))),
    h("section", { class: "panel" }, timeline(rows, window, { now: moment, heading: say("task") })),
    total > MOST ? h("p", { class: "quiet" }, say("firstRuns", { most: MOST, total })) : null,
  ];
}

function taskName(task, taskId, mapIndex) {
  const name = task?.task_display_name ?? taskId;
  return mapIndex < 0 ? name : `${name} [${task?.rendered_map_index ?? mapIndex}]`;
}
