// Names with their values, moments, and lengths of time.

import { h } from "./dom.js";
import { sayDuration, sayTime } from "./words.js";

export const time = (ms) =>
  ms == null ? h("span", { class: "moment" }, "–") : h("time", { class: "moment", datetime: new Date(ms).toISOString(), title: new Date(ms).toISOString() }, sayTime(ms));

/** How long something took, or has taken by now. */
export const lasted = ({ start, end }, now) => sayDuration(start == null ? null : (end ?? now) - start);

export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? "–"))));
