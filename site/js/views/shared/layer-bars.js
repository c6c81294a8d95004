/** A bar for each layer, from the first to the last. */
import { h } from "../../dom/dom.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";

/** With more layers than this, bars have no text. */
const MOST_WITH_TEXT = 24;

/**
 * @typedef {object} LayerBar
 * @property {number} at the layer's index
 * @property {string|null} value the text over the bar
 * @property {number} share of the highest bar
 * @property {string} words what it means, for screen readers
 * @property {string} [href] where it leads
 * @property {() => void} [click] or what it does; without either it cannot be reached
 */

/**
 * @param {LayerBar[]} bars
 * @param {object} options
 * @param {string} [options.label]
 * @param {number} options.first the layer whose bar is in the tab order at first
 */
export function layerBars(bars, { label, first }) {
  const hasText = bars.length <= MOST_WITH_TEXT;
  const items = bars.map(({ at, value, share, words, href, click }) => {
    const kind = share > 0 ? "layer-bar" : "layer-bar none";
    const props = { class: kind, title: words, tabindex: at === first ? "0" : "-1" };
    const content = [
      h(
        "span",
        { class: "layer-bar-room", "aria-hidden": "true" },
        hasText && value !== null ? h("span", { class: "layer-bar-value" }, value) : null,
        h("span", { class: "layer-bar-mark", style: { height: `calc((100% - var(--above)) * ${share})` } }),
      ),
      h("span", { class: "layer-bar-number", "aria-hidden": "true" }, at + 1),
      h("span", { class: "visually-hidden" }, words),
    ];
    if (href !== undefined) return h("li", null, h("a", { ...props, href }, content));
    if (click) return h("li", null, h("button", { ...props, type: "button", on: { click } }, content));
    return h("li", null, h("span", { class: kind, title: words }, content));
  });
  const list = h("ol", { class: hasText ? "layer-bars" : "layer-bars many", "aria-label": label }, items);
  rovingTabindex(list, () => [...list.querySelectorAll("a"), ...list.querySelectorAll("button")]);
  return list;
}
