// What several views show: links, buttons, and a pipeline's nodes, edges and schedule.

import { h } from "../web/dom.js";
import { say } from "./words.js";

/** The address of a view: a pipeline, one of its runs, and what else chooses what is shown. */
export function address(pipeline, run, query = {}) {
  const path = ["#/offline-pipeline", pipeline, run].filter((part) => part != null).map((part, n) => (n ? encodeURIComponent(part) : part));
  const chosen = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return path.join("/") + (chosen.size ? `?${chosen}` : "");
}

export const button = (what, label, props = {}) => h("button", { type: "button", "data-do": what, ...props }, label);

export const breadcrumb = (...links) =>
  h(
    "nav",
    { class: "breadcrumb", "aria-label": say("whereabouts") },
    links.map(([href, text], n) => [n ? h("span", { "aria-hidden": "true" }, "/") : null, h("a", { href }, text)]),
  );

/** The width that there is for a panel, px: less the padding of the page. */
export const room = () => document.querySelector("main").clientWidth - (window.innerWidth <= 720 ? 32 : 48);

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
