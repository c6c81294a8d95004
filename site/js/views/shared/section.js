/** Parts of a page that several views have: sections, facts, numbers of layers. */
import { h } from "../../dom/dom.js";

/**
 * A section with a heading and a text that explains it.
 * @param {object} head
 * @param {string} head.title
 * @param {any} head.text
 * @param {any} [head.legend]
 * @param {string} [head.kind] further classes of the stylesheet
 * @param {string} [head.id] of the heading, which then names the section
 * @param {...any} content
 */
export function section({ title, text, legend = null, kind = "", id }, ...content) {
  return h(
    "section",
    { class: `block ${kind}`.trim(), "aria-labelledby": id },
    h("header", { class: "block-head" }, h("h2", { id }, title), h("p", null, text), legend),
    content,
  );
}

/**
 * A term and its value, in a row of facts.
 * @param {string} term
 * @param {...any} value
 */
export function fact(term, ...value) {
  return h("div", { class: "fact" }, h("dt", null, term), h("dd", null, value));
}

/**
 * The number of a layer, counted from 1.
 * @param {number} at its index
 */
export function layerNumber(at) {
  return h("span", { class: "card-number", "aria-hidden": "true" }, String(at + 1).padStart(2, "0"));
}
