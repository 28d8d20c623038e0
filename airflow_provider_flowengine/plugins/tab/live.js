// Shows a view in a place of the page, and keeps it up to date for as long as something goes on and the page is visible.
//
// A view has load(params), which reads all that it shows; draw(data, room), elements for it in so many px; and
// pause(data), the ms until it should be read again, null where nothing will change any more.

import { h, morph } from "../web/dom.js";
import { settings } from "./airflow.js";
import { say, setLanguage, setTimeZone } from "./words.js";

const TICK = 1000; // ms between two drawings of what goes on: the time elapsed
const PADDING = 8; // px, left and right of it all, as in style.css
const RETRY = 10_000; // ms after a read that failed

// In a shadow root Airflow's styles and ours cannot meet; read here once, so that nothing is shown without them.
const styles = await Promise.all(["../web/style.css", "./style.css"].map(readStyle));

async function readStyle(path) {
  const response = await fetch(new URL(path, import.meta.url));
  return new CSSStyleSheet().replace(await response.text());
}

/** Show a view of `params` in `host`; returns the function that ends it. */
export function show(host, view, params) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = styles;
  root.replaceChildren(h("main"));
  let data = null;
  let error = null;
  let ended = false;
  let timer = 0;

  function draw() {
    const { language, timeZone } = settings();
    setLanguage(language);
    setTimeZone(timeZone);
    const content = data ? view.draw(data, host.clientWidth - PADDING) : error ? [] : h("p", { class: "quiet" }, say("loading"));
    morph(root.firstChild, h("main", { lang: language === "zh" ? "zh-CN" : "en" }, error ? notice(error, data) : null, content));
  }

  /** Read, draw, and come back later. */
  async function refresh() {
    clearTimeout(timer);
    timer = 0;
    let pause;
    try {
      const fresh = await view.load(params);
      [data, error, pause] = [fresh, null, view.pause(fresh)];
    } catch (failure) {
      error = failure;
      pause = failure.isFinal ? null : RETRY;
    }
    if (ended) return;
    draw();
    if (pause !== null && !document.hidden) timer = setTimeout(refresh, pause);
  }

  const tick = setInterval(() => timer && !document.hidden && draw(), TICK);
  // What a user does elsewhere, e.g. clear a task that had ended, shows once they come back to this page.
  const comeBack = () => document.hidden || refresh();
  const listening = new AbortController();
  document.addEventListener("visibilitychange", comeBack, listening);
  window.addEventListener("focus", comeBack, listening);
  const resized = new ResizeObserver(draw);
  const spoken = new MutationObserver(draw);
  resized.observe(host);
  spoken.observe(document.documentElement, { attributeFilter: ["lang"] });
  refresh();

  return () => {
    ended = true;
    clearTimeout(timer);
    clearInterval(tick);
    listening.abort();
    resized.disconnect();
    spoken.disconnect();
  };
}

const notice = (error, data) =>
  h(
    "p",
    { class: "notice", role: "status" },
    error.message,
    error.isFinal || !data ? "" : ` ${say("shownAsRead")}`,
  );
