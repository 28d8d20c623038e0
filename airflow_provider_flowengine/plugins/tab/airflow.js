// What the tab reads of Airflow: its REST API, with the user's own session and rights, and how the page is set.

import { say } from "./words.js";

const API = new URL("api/v2/", document.baseURI);
const CLOCKS_DIFFER = 2000; // ms; less than that is no more than what a header in whole seconds tells
const PAGE = 100; // what Airflow lists at most at once
const MAX_PAGES = 10;

let skew = 0;

/** Now by the server's clock, ms: the browser's own may be wrong. */
export const now = () => Date.now() + skew;

/** Why nothing could be read, in a sentence. It `isFinal` where reading again cannot help. */
export class ReadError extends Error {
  constructor(word, values, isFinal = false) {
    super(say(word, values));
    this.isFinal = isFinal;
  }
}

async function send(url) {
  const headers = { Accept: "application/json" };
  const response = await fetch(url, { headers });
  const token = localStorage.getItem("token");
  if (response.status !== 401 || !token) return response;
  // TODO: remove when dropping Airflow 3.1, whose first versions keep the session there and not in a cookie.
  return fetch(url, { headers: { ...headers, Authorization: `Bearer ${token}` } });
}

/** Read something; `what` names, for an error, what the user needs the right to read. */
async function get(what, path, query = {}) {
  const url = new URL(path.map(encodeURIComponent).join("/"), API);
  url.search = new URLSearchParams(query);
  let response;
  try {
    response = await send(url);
  } catch {
    throw new ReadError("noConnection");
  }
  const ahead = Date.parse(response.headers.get("date")) - Date.now();
  skew = Math.abs(ahead) > CLOCKS_DIFFER ? ahead : 0;
  if (response.ok) return response.json();
  if (response.status === 401) throw new ReadError("signedOut", {}, true);
  if (response.status === 403) throw new ReadError("forbidden", { what: say(what) }, true);
  if (response.status === 404) throw new ReadError("missing", { what: say(what) }, true);
  throw new ReadError("airflowError", { status: response.status });
}

const dagRunPath = ({ dagId, runId }) => ["dags", dagId, "dagRuns", runId];
const taskPath = (params) => [...dagRunPath(params), "taskInstances", params.taskId];
const indexed = ({ mapIndex }) => (Number(mapIndex) < 0 ? [] : [mapIndex]);

export const getDagRun = (params) => get("dagRuns", dagRunPath(params));

export const getTask = (params) => get("tasks", [...taskPath(params), ...indexed(params)]);

/** The task's tries, the first one first. */
export async function listTries(params) {
  const { task_instances: tries } = await get("tasks", [...taskPath(params), ...indexed(params), "tries"]);
  return tries;
}

/** All task instances of a DAG run. */
export const listTasks = (params) => getAll("tasks", [...dagRunPath(params), "taskInstances"], "task_instances", { order_by: "start_date" });

async function getAll(what, path, field, query) {
  const found = [];
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const answer = await get(what, path, { ...query, limit: PAGE, offset: found.length });
    found.push(...answer[field]);
    if (!answer[field].length || found.length >= answer.total_entries) break;
  }
  return found;
}

const values = new Map(); // of XComs, by where they stand and when they were written

const earlierRuns = new Map(); // by task and try

/** The runs of the task's earlier tries, {try: run id}: a try keeps them in the task state store, before its run starts. */
export async function readEarlierRuns(params, tryNumber) {
  const key = JSON.stringify([params, tryNumber]);
  if (earlierRuns.has(key)) return earlierRuns.get(key);
  const runs = await readState("flowengine_tries", params);
  if (Object.keys(runs).length) earlierRuns.set(key, runs); // a try that is only queued has kept nothing yet
  return runs;
}

async function readState(key, params) {
  try {
    const { value } = await get("tasks", [...taskPath(params), "state-store", key], { map_index: params.mapIndex });
    return value !== null && typeof value === "object" ? value : {};
  } catch (error) {
    if (error.isFinal) return {}; // TODO: keep only for a missing value when dropping Airflow 3.2, which has no such store
    throw error;
  }
}

/** Where there are XComs by a key: those of one task, or of all tasks of a DAG run. */
export function listXComs(key, { dagId, runId, taskId = "~", mapIndex }) {
  const query = { xcom_key: key, ...(mapIndex === undefined ? {} : { map_index: mapIndex }) };
  return getAll("xcoms", [...taskPath({ dagId, runId, taskId }), "xcomEntries"], "xcom_entries", query);
}

/** The value of an XCom that was listed; asked for once for each time that it was written. */
export async function readXCom({ dag_id: dagId, run_id: runId, task_id: taskId, map_index: mapIndex, key, timestamp }) {
  const where = JSON.stringify([dagId, runId, taskId, mapIndex, key]);
  if (values.get(where)?.timestamp !== timestamp) {
    const read = await get("xcoms", [...taskPath({ dagId, runId, taskId }), "xcomEntries", key], { map_index: mapIndex });
    values.set(where, { value: parsed(read.value), timestamp: read.timestamp });
  }
  return values.get(where).value;
}

/** Airflow gives some XComs as the JSON text that they are kept as. */
function parsed(value) {
  try {
    return typeof value === "string" ? JSON.parse(value) : value;
  } catch {
    return value;
  }
}

/** How the user has set Airflow's page: the language and the time zone, where it keeps them. */
export function settings() {
  const tongue = localStorage.getItem("i18nextLng") ?? document.documentElement.lang;
  return { language: tongue.toLowerCase().startsWith("zh") ? "zh" : "en", timeZone: knownZone(parsed(localStorage.getItem("timezone"))) };
}

function knownZone(timeZone) {
  try {
    return Intl.DateTimeFormat("en", { timeZone: timeZone ?? undefined }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

/** The address of a task's tab in Airflow's page. */
export function tabOf({ dagId, runId, taskId, mapIndex }) {
  const mapped = Number(mapIndex) < 0 ? [] : ["mapped", mapIndex];
  const path = ["dags", dagId, "runs", runId, "tasks", taskId, ...mapped, "plugin", "flowengine"];
  return new URL(path.map(encodeURIComponent).join("/"), document.baseURI).href;
}
