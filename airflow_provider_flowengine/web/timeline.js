// The nodes of a run in time.

import { h } from "./dom.js";
import { lasted } from "./facts.js";
import { icon } from "./states.js";
import { say } from "./words.js";

/** When the nodes of a run ran: a table with a bar for each.
 *
 * @param nodes [{id, label, detail, state, start, end, href}].
 * @param run {start, end}.
 * @param now the server's own clock, ms.
 * @param chosen the id of the selected node.
 * @param heading what the first column is called.
 */
export function timeline(nodes, run, { now, chosen, heading = say("timeline") } = {}) {
  const [first, last] = [run.start, Math.max(run.end ?? now, run.start + 1)];
  const percent = (ms) => `${Math.min(100, Math.max(0, ((ms - first) / (last - first)) * 100)).toFixed(2)}%`;
  const bar = ({ start, end, state }) =>
    start == null
      ? null
      : h("span", { class: "bar", "data-state": state, style: `left: ${percent(start)}; right: calc(100% - ${percent(end ?? now)})` });
  const title = ({ label, detail, href }) =>
    h("span", { class: "title" }, h(href ? "a" : "span", { href, title: label }, label), detail ? h("small", { title: detail }, detail) : null);
  const row = (node) =>
    h(
      "tr",
      { "data-key": node.id, "aria-current": node.id === chosen ? "true" : null },
      h("td", { class: "name" }, h("div", {}, icon(node.state), title(node))),
      h("td", { class: "word" }, say(node.state)),
      h("td", { class: "long" }, lasted(node, now)),
      h("td", { class: "track", "aria-hidden": "true" }, h("span", { class: "rail" }, bar(node))),
    );
  return h(
    "table",
    { class: "timeline" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        [heading, say("state"), say("duration")].map((text) => h("th", { scope: "col" }, text)),
        h("th", { class: "track", "aria-hidden": "true" }),
      ),
    ),
    h("tbody", {}, nodes.map(row)),
  );
}
