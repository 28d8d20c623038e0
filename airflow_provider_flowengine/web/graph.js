// A pipeline drawn as a graph.

import { h } from "./dom.js";
import { layout } from "./layout.js";
import { icon } from "./states.js";
import { say } from "./words.js";

const NARROW = 660; // px; as in style.css
const AROUND = { across: 58, down: 26 }; // px: border and padding around it, as in style.css
const laidOut = new Map(); // the last few layouts, by what they were made from

/** The layout in the room that there is: from left to right, or downwards where it is narrow; shrunk a little
 * if it fits then. */
function arrange(nodes, edges, room) {
  const vertical = room <= NARROW;
  const inner = room - (vertical ? AROUND.down : AROUND.across);
  const key = JSON.stringify([inner, nodes.map(({ id, type, label }) => [id, type, label]), edges.map(({ from, to }) => [from, to])]);
  if (!laidOut.has(key)) {
    if (laidOut.size > 8) laidOut.clear();
    const most = vertical ? 172 : 208;
    const width = nodeWidth(nodes, 172, most);
    const sizeOf = (node) => (node.type === "START" ? { width: nodeWidth([node], 104, most), height: 36 } : { width, height: 54 });
    const sizes = new Map(nodes.map((node) => [node.id, sizeOf(node)]));
    const sized = nodes.map(({ id }) => ({ id, ...sizes.get(id) }));
    const found = layout(sized, edges, vertical ? { vertical, along: 36, across: 14 } : { along: 44, across: 18 });
    const fits = Math.min(1, inner / found.width);
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
 * @param room the width that there is for its panel, px.
 * @param chosen the id of the selected node.
 */
export function graph(nodes, edges, { room, chosen } = {}) {
  const { width, height, places, paths, sizes, vertical, zoom } = arrange(nodes, edges, room);
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
    { class: "graph", role: "group", "aria-label": say("graph"), "data-key": "graph", tabindex: nodes.some(({ href }) => href) ? null : 0 },
    h(
      "div",
      { class: "canvas", style: `width: ${width}px; height: ${height}px; zoom: ${zoom}` },
      h("svg", { width, height, "aria-hidden": "true" }, lines),
      cards,
    ),
  );
}
