// The states of runs and nodes: a shape, a colour (in style.css) and a word for each.

import { h } from "./dom.js";
import { say } from "./words.js";

// Each state has a shape of its own, since not everyone sees its colour.
const RING = "M8 1.500a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13z";
const SHAPES = {
  running: [["path", { class: "faint", d: RING }], ["path", { class: "turning", d: "M8 1.500a6.500 6.500 0 0 1 6.500 6.500" }]],
  // A square is the sign of a stop on every player: drawn while it stops, filled once it has.
  stopping: [["rect", { x: 2, y: 2, width: 12, height: 12, rx: 3 }], ["rect", { class: "solid", x: 5.500, y: 5.500, width: 5, height: 5, rx: 0.800 }]],
  succeeded: [["circle", { class: "solid", cx: 8, cy: 8, r: 7.250 }], ["path", { class: "mark", d: "M4.800 8.300l2.200 2.200 4.200-4.700" }]],
  failed: [["path", { class: "solid", d: "M8 .3L15.700 8 8 15.700.3 8z" }], ["path", { class: "mark", d: "M5.800 5.800l4.400 4.400m0-4.400l-4.400 4.400" }]],
  stopped: [["rect", { class: "solid", x: 1.500, y: 1.500, width: 13, height: 13, rx: 3 }], ["rect", { class: "cut", x: 5, y: 5, width: 6, height: 6, rx: 0.800 }]],
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
