// Elements from plain calls, and changing what is on the page into what should be there: focus, scroll positions
// and what a person typed stay, since only what differs is touched.

const SVG = new Set(["svg", "path", "circle", "rect", "line"]);

/** An element. `props` are attributes; `style` is CSS text; null, undefined and false leave an attribute out. */
export function h(tag, props = {}, ...children) {
  const element = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value == null || value === false) continue;
    if (name === "style") element.style.cssText = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

const keyOf = (node) => node.getAttribute?.("data-key") ?? null;
const alike = (one, other) => one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

/** Make `live` (on the page) like `fresh` (just built). */
export function morph(live, fresh) {
  if (live.nodeType !== Node.ELEMENT_NODE) {
    if (live.data !== fresh.data) live.data = fresh.data;
    return;
  }
  for (const { name } of [...live.attributes]) if (!fresh.hasAttribute(name) && name !== "open") live.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (live.getAttribute(name) === value) continue;
    // A style attribute is against the page's own policy; a style set by script isn't.
    if (name === "style") live.style.cssText = value;
    else live.setAttribute(name, value);
  }
  morphChildren(live, fresh);
}

function morphChildren(live, fresh) {
  const keyed = new Map([...live.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let at = live.firstChild;
  for (const child of [...fresh.childNodes]) {
    const found = keyOf(child) ? keyed.get(keyOf(child)) : at;
    if (!found || !alike(found, child)) {
      live.insertBefore(child, at);
    } else {
      if (found === at) at = at.nextSibling;
      else live.insertBefore(found, at);
      morph(found, child);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
