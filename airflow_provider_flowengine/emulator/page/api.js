// FlowEngine's calls, as any client makes them, and their answers in one shape whatever the emulator's options say.

import { translate } from "./messages.js";
import { say } from "./words.js";

let engine = null; // the facts of /__control__/engine
let headers = JSON.parse(sessionStorage.getItem("headers") ?? '{"X-FlowEngine-UserId": "1"}');

export class Refusal extends Error {
  /** What FlowEngine, or what stands before it, said; `status` is the HTTP status, 0 where nothing answered. */
  constructor(message, status) {
    super(translate(String(message ?? "")));
    this.status = status;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  } catch {
    throw new Refusal(say("noConnection"), 0);
  }
  const text = await response.text();
  if (response.ok && options.text) return text;
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Refusal(say("notJson", { status: response.status }), response.status);
  }
  if (!response.ok) throw new Refusal(answer.msg ?? answer.detail ?? answer.message ?? text, response.status);
  return answer;
}

async function call(method, path, { query = {}, body } = {}) {
  const parameters = new URLSearchParams({ ...query, engineKey: engine.engineKey });
  const answer = await request(`${engine.engineUrl}/${engine.apiRoot}${path}?${parameters}`, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (String(answer.status) !== "0") throw new Refusal(answer.msg, 200);
  return answer.data;
}

const control = (path, options) => request(`/__control__${path}`, options);

// Answers in one shape

const list = (data) => (Array.isArray(data) ? data : Object.values(data ?? {}).find(Array.isArray) ?? []);

/** The moment of a text without a zone, in the zone that the engine's database has. */
function inZone(text) {
  const guess = Date.parse(`${text.replace(" ", "T")}Z`);
  const there = new Date(guess).toLocaleString("sv-SE", { timeZone: engine.timezone });
  return guess - (Date.parse(`${there.replace(" ", "T")}Z`) - guess);
}

const moment = (value) => (typeof value === "string" ? inZone(value) : value ?? null);

function state(word, settled) {
  const found = Object.entries(engine.words).filter(([, each]) => each === word).map(([name]) => name);
  // Some vocabularies have one word for what waits and for what is never reached.
  return (settled ? found.at(-1) : found[0]) ?? word;
}

function readNode(node, settled) {
  const [start, end] = [moment(node.startTime), moment(node.endTime)];
  return { ...node, id: node.nodeId, state: state(node.status, settled), start, end };
}

function readRun(run) {
  const [start, end] = [moment(run.startTime), moment(run.endTime)];
  const nodes = (run.nodes ?? []).map((node) => readNode(node, end != null));
  return { ...run, id: String(run.id), state: state(run.status, end != null), start, end, nodes };
}

// Calls

/** The facts about the engine; to be asked for before any other call, and now and then. */
export async function getEngine() {
  engine = await control("/engine");
  return engine;
}

const MAX_PAGES = 50;

/** All pipelines; where they come in pages, until a page adds nothing. */
export async function listPipelines() {
  const found = new Map();
  for (let page = 1; page <= MAX_PAGES; page += 1) {
    const data = await call("GET", `/pipeline/${engine.engineId}/list`, { query: { page, size: 100 } });
    const before = found.size;
    for (const each of list(data)) found.set(String(each.id), each);
    if (Array.isArray(data) || found.size === before || list(data).length > 100 || found.size >= (data?.total ?? 0)) break;
  }
  return [...found.values()];
}

export const getPipeline = (id) => call("GET", `/pipeline/template/${engine.engineId}/${encodeURIComponent(id)}/get`);

export const createPipeline = (body) => call("POST", `/pipeline/template/${engine.engineId}/create`, { body });

export const updatePipeline = (body) => call("PUT", `/pipeline/template/${engine.engineId}/update`, { body });

export function setSchedule(id, enabled) {
  const path = `/pipeline/${engine.engineId}/${encodeURIComponent(id)}/${enabled ? "start" : "stop"}`;
  const method = !enabled && engine.apiRoot === "automl/v1" && engine.older ? "DELETE" : "POST";
  return call(method, path, { query: enabled ? { once: "false" } : {}, body: { data: " " } });
}

/** Start a run; its id is in the answer, or, where the options say otherwise, in the history. */
export async function startRun(pipelineId, jobParams) {
  const path = `/pipeline/${engine.engineId}/${encodeURIComponent(pipelineId)}/start`;
  const run = await call("POST", path, { body: jobParams });
  if (run?.id != null && run.status) return String(run.id);
  return (await listRuns(pipelineId, 1, 1))[0]?.id;
}

/** Upload a file for a FILE param; returns the param's value. */
export async function uploadFile(file) {
  const body = new FormData();
  body.append("file", file);
  const answer = await request(`${engine.engineUrl}/${engine.apiRoot}/template/uploadJobFileParam/1`, { method: "POST", body });
  if (String(answer.status) !== "0") throw new Refusal(answer.msg, 200);
  return answer.data.path;
}

/** A page of a pipeline's runs, newest first; a server that doesn't page gives them all. */
export async function listRuns(pipelineId, page, size) {
  const data = await call("GET", `/pipeline/${encodeURIComponent(pipelineId)}/historyList`, {
    query: { page, size, engineId: engine.engineId },
  });
  const runs = list(data).map(readRun).sort((one, other) => other.id - one.id);
  return runs.length > size ? runs.slice((page - 1) * size, page * size) : runs;
}

export const stopRun = (id) =>
  call("DELETE", `/pipeline/${encodeURIComponent(id)}/stopHistory`, { query: { engineId: engine.engineId } });

export const resumeRun = (id) =>
  call("POST", `/pipeline/${encodeURIComponent(id)}/resumeHistory`, { query: { engineId: engine.engineId } });

// What FlowEngine has no call for

export async function getLatest(ids) {
  if (!ids.length) return [];
  const found = await control(`/latest?${new URLSearchParams(ids.map((id) => ["pipeline", id]))}`);
  return found.map((each) => ({ ...each, id: String(each.id), runs: each.runs.map(readRun) }));
}

export const getRun = async (id) => readRun(await control(`/runs/${encodeURIComponent(id)}`));

export const getDefinition = (runId) => control(`/runs/${encodeURIComponent(runId)}/definition`);

export const getLog = (runId, nodeId) =>
  control(`/runs/${encodeURIComponent(runId)}/log?${new URLSearchParams({ node: nodeId })}`, { text: true });

export const deletePipeline = (id) => control(`/pipelines/${encodeURIComponent(id)}`, { method: "DELETE", text: true });

export const createSample = () => control("/sample", { method: "POST" });

/** How to point an Airflow at the emulator: the connection as JSON, and as a line for a shell. */
export const getConnection = () => control("/connection");

// Who calls

/** Sign in with what a person typed: an access key, a user id, or an account of the session call. */
export async function signIn({ username, password, accessKey, user }) {
  if (username != null) {
    const answer = await request(`/keystone/v1/sessions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ username, password }),
    });
    if (String(answer.status) !== "0") throw new Refusal(answer.msg, 200);
    return;
  }
  headers = accessKey != null ? { "Access-Key": accessKey } : { "X-FlowEngine-UserId": user };
  sessionStorage.setItem("headers", JSON.stringify(headers));
}
