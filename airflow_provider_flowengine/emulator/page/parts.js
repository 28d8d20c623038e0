// What several views show: states, moments, links, and a pipeline drawn as a graph.

import { h } from "./dom.js";
import { layout } from "./graph.js";
import { say, sayDuration, sayTime } from "./words.js";

/** The address of a view: a pipeline, one of its runs, and what else chooses what is shown. */
export function address(pipeline, run, query = {}) {
  const path = ["#/offline-pipeline", pipeline, run].filter((part) => part != null).map((part, n) => (n ? encodeURIComponent(part) : part));
  const chosen = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return path.join("/") + (chosen.size ? `?${chosen}` : "");
}

// Each state has a shape of its own, since not everyone sees its colour.
const RING = "M8 1.500a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13z";
const SHAPES = {
  running: [["path", { class: "faint", d: RING }], ["path", { class: "turning", d: "M8 1.500a6.500 6.500 0 0 1 6.500 6.500" }]],
  stopping: [["rect", { x: 2, y: 2, width: 12, height: 12, rx: 3 }], ["path", { d: "M5.500 8h5" }]],
  succeeded: [["circle", { class: "solid", cx: 8, cy: 8, r: 7.250 }], ["path", { class: "mark", d: "M4.800 8.300l2.200 2.200 4.200-4.700" }]],
  failed: [["path", { class: "solid", d: "M8 .3L15.700 8 8 15.700.3 8z" }], ["path", { class: "mark", d: "M5.800 5.800l4.400 4.400m0-4.400l-4.400 4.400" }]],
  stopped: [["rect", { class: "solid", x: 1.500, y: 1.500, width: 13, height: 13, rx: 3 }], ["path", { class: "mark", d: "M6 5.300v5.400m4-5.400v5.400" }]],
  waiting: [["path", { class: "dotted", d: RING }]],
  unreached: [["path", { class: "faint", d: RING }], ["path", { d: "M5.300 8h5.400" }]],
};

export const icon = (state) =>
  h(
    "svg",
    { class: "icon", "data-state": state, viewBox: "0 0 16 16", "aria-hidden": "true" },
    (SHAPES[state] ?? SHAPES.unreached).map(([tag, props]) => h(tag, props)),
  );

export const badge = (state) => h("span", { class: "badge", "data-state": state }, icon(state), h("span", {}, say(state)));

export const time = (ms) =>
  ms == null ? h("span", { class: "moment" }, "–") : h("time", { class: "moment", datetime: new Date(ms).toISOString(), title: new Date(ms).toISOString() }, sayTime(ms));

/** How long something took, or has taken by now. */
export const lasted = ({ start, end }, now) => sayDuration(start == null ? null : (end ?? now) - start);

export const button = (what, label, props = {}) => h("button", { type: "button", "data-do": what, ...props }, label);

export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? "–"))));

export const breadcrumb = (...links) =>
  h(
    "nav",
    { class: "breadcrumb", "aria-label": say("whereabouts") },
    links.map(([href, text], n) => [n ? h("span", { "aria-hidden": "true" }, "/") : null, h("a", { href }, text)]),
  );

/** A pipeline's nodes and edges, out of its object. */
export function shape(definition) {
  const data = definition.data ?? {};
  const nodes = (data.nodes ?? []).map((node) => ({ ...node, id: node.nodeId, label: node.title || node.name || node.nodeId }));
  const edges = (data.edges ?? []).map((edge) => ({ ...edge, from: edge.srcNodeId, to: edge.destNodeId }));
  return { name: data.name || definition.pipelineKey || "", nodes, edges };
}

export function scheduleText(definition) {
  const config = definition.data?.executionConfig ?? {};
  return say(config.runMode || "SINGLE", {
    interval: config.interval,
    unit: say(config.intervalUnit ?? "MINUTE"),
    cron: config.cronExpression,
    topic: config.trigger,
  });
}

const laidOut = new Map(); // the last few layouts, by what they were made from

/** The layout in the room that there is: from left to right, or downwards on a narrow screen; shrunk a little
 * if it fits then. */
function arrange(nodes, edges) {
  const vertical = window.innerWidth < 720;
  const room = document.querySelector("main").clientWidth - (vertical ? 58 : 106); // less what stands around a graph
  const key = JSON.stringify([room, nodes.map(({ id, type, label }) => [id, type, label]), edges.map(({ from, to }) => [from, to])]);
  if (!laidOut.has(key)) {
    if (laidOut.size > 8) laidOut.clear();
    const most = vertical ? 172 : 208;
    const width = nodeWidth(nodes, 172, most);
    const sizeOf = (node) => (node.type === "START" ? { width: nodeWidth([node], 104, most), height: 36 } : { width, height: 54 });
    const sizes = new Map(nodes.map((node) => [node.id, sizeOf(node)]));
    const sized = nodes.map(({ id }) => ({ id, ...sizes.get(id) }));
    const found = layout(sized, edges, vertical ? { vertical, along: 36, across: 14 } : { along: 44, across: 18 });
    const fits = Math.min(1, room / found.width);
    laidOut.set(key, { ...found, sizes, vertical, zoom: fits > 0.7 ? fits : 1 });
  }
  return laidOut.get(key);
}

/** One width for all, so that the longest label is seen in full where that is reasonable. */
function nodeWidth(nodes, least, most) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `500 14px ${getComputedStyle(document.body).fontFamily}`;
  const longest = Math.max(0, ...nodes.map(({ label }) => pen.measureText(label).width));
  return Math.min(most, Math.max(least, Math.ceil(longest) + 54)); // less the icon and the padding
}

const HEAD = { across: "M0 0l-6.500-4v8z", down: "M0 0l-4-6.500h8z" };

/** The graph of a pipeline.
 *
 * @param nodes [{id, label, type, state, note, took, href}]; without a state it is only planned.
 * @param edges [{from, to}].
 * @param chosen the id of the node that is looked at.
 */
export function graph(nodes, edges, chosen) {
  const { width, height, places, paths, sizes, vertical, zoom } = arrange(nodes, edges);
  const states = new Map(nodes.map((node) => [node.id, node.state]));
  const lines = paths.map(({ from, to, d, end: [x, y] }) => {
    const reached = ["running", "succeeded", "failed", "stopped"].includes(states.get(to));
    const flow = states.get(to) === "running" ? "flowing" : reached ? "done" : null;
    return [
      h("path", { class: "edge", "data-flow": flow, d }),
      h("path", { class: "head", "data-flow": flow, d: vertical ? HEAD.down : HEAD.across, transform: `translate(${x} ${y})` }),
    ];
  });
  const cards = nodes.map(({ id, label, type, state, note, took, href }) => {
    const place = { ...places.get(id), ...sizes.get(id) };
    const props = {
      class: "node",
      "data-key": id,
      "data-state": state ?? "planned",
      "data-type": type,
      "aria-current": id === chosen ? "true" : null,
      title: label,
      href,
      style: `left: ${place.x}px; top: ${place.y}px; width: ${place.width}px; height: ${place.height}px`,
    };
    return h(
      href ? "a" : "div",
      props,
      state ? icon(state) : null,
      h("span", { class: "label" }, label),
      state ? h("span", { class: "unseen" }, ` ${say(state)} `) : null,
      type === "START" ? null : h("span", { class: "note" }, h("span", {}, note), took ? h("span", { class: "took" }, took) : null),
    );
  });
  return h(
    "div",
    { class: "graph", role: "group", "aria-label": say("graph"), "data-key": "graph" },
    h(
      "div",
      { class: "canvas", style: `width: ${width}px; height: ${height}px; zoom: ${zoom}` },
      h("svg", { width, height, "aria-hidden": "true" }, lines),
      cards,
    ),
  );
}
