// A run as the XCom `flowengine_run` tells it. Any part of it may be missing.

export const RUN_KEY = "flowengine_run";
export const URL_KEY = "flowengine_run_url";

const ENDED = new Set(["succeeded", "failed", "stopped"]);

/** The run, or null where the XCom holds something else, e.g. what a custom XCom backend keeps in place of it. */
export function parseRun(value) {
  if (value === null || typeof value !== "object" || value.run_id == null) return null;
  const nodes = Array.isArray(value.nodes) ? value.nodes.filter((node) => node?.id != null) : [];
  const run = {
    id: value.run_id,
    pipelineId: value.pipeline_id,
    pipelineKey: value.pipeline_key,
    name: value.pipeline_name || value.pipeline_key || (value.pipeline_id == null ? "" : `Pipeline ${value.pipeline_id}`),
    status: value.status,
    state: value.state || "unknown",
    trigger: value.trigger,
    start: moment(value.started),
    end: moment(value.ended),
    edges: Array.isArray(value.edges) ? value.edges.filter(Array.isArray).map(([from, to]) => ({ from: String(from), to: String(to) })) : [],
  };
  const about = {
    run,
    areTold: nodes.some(({ state }) => state != null),
    areTimed: nodes.some(({ started }) => started != null),
    isOld: hasEnded(run) && nodes.some(({ state, started }) => started != null && !ENDED.has(state)),
  };
  run.nodes = nodes.map((node) => ({
    id: String(node.id),
    label: node.name || String(node.id),
    state: nodeState(node, about),
    start: moment(node.started),
    end: moment(node.ended) ?? (node.started != null ? run.end : null),
    message: node.message || "",
  }));
  if (hasEnded(run)) run.end ??= latest(run.nodes);
  return run;
}

export const hasEnded = ({ state }) => ENDED.has(state);

const latest = (nodes) => nodes.reduce((last, { end }) => (end !== null && (last === null || end > last) ? end : last), null);

/** A node's state beside its run's; null where FlowEngine tells none. One that waits in a queue counts as running for
 * FlowEngine, and what was last read of nodes may be older than their run's end. */
function nodeState({ state, started }, { run, areTold, areTimed, isOld }) {
  if (!areTold) return null;
  if (ENDED.has(state)) return state;
  const hasStarted = started != null || (!areTimed && state === "running");
  if (!hasEnded(run)) return hasStarted ? state || "unknown" : "waiting";
  if (hasStarted) return run.state === "succeeded" ? "succeeded" : "unknown";
  return isOld ? "unknown" : "unreached";
}

/** A moment, in ms: text as ISO 8601 writes it, or a number of ms; null for none. */
function moment(value) {
  const ms = typeof value === "string" ? Date.parse(value) : value;
  return Number.isFinite(ms) ? ms : null;
}
