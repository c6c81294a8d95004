/** Which classes excite a filter, before and after: two bars for each class. */
import d3 from "../../vendored/d3.js";
import { h } from "../../dom/dom.js";
import { pairedClasses } from "../../data/comparison.js";
import { className, hasMap } from "../../data/manifest.js";
import { number, truncate } from "../../text/format.js";
import { section } from "../shared/section.js";

/** @import { FilterSide } from "../../types.js" */

/** From this ratio of the networks' values on, each network's bars have a scale of their own. */
const SEPARATE_SCALES_FROM = 4;

/**
 * A bar from zero, which is at the same position for both networks.
 * @param {string} tag "before" or "after"
 * @param {number|null} value
 * @param {number} scale what a bar of length 1 stands for
 * @param {number[]} range of the lengths
 */
function bar(tag, value, scale, [low, high]) {
  const percentage = (size) => `${(size / (high - low || 1)) * 100}%`;
  const words = value === null ? "not among its ten highest" : number(value);
  const mark = () => {
    const style = {
      "margin-left": percentage(Math.min(value / scale, 0) - low),
      width: percentage(Math.abs(value / scale)),
    };
    return h("span", { style });
  };
  return h(
    "span",
    { class: "paired-bar", data: { side: tag } },
    h("span", { class: "visually-hidden" }, `${tag} `),
    h("span", { class: "paired-room", "aria-hidden": "true" }, value === null ? null : mark()),
    value === null
      ? h("span", { class: "paired-figure", title: words }, "\u2013", h("span", { class: "visually-hidden" }, words))
      : h("span", { class: "paired-figure" }, words),
  );
}

/**
 * @param {FilterSide[]} sides
 * @param {string} title
 * @param {"max"|"avg"} kind
 */
function panel(sides, title, kind) {
  const [before, after] = sides.map(({ filter }) => filter.classes[kind]);
  const rows = pairedClasses(before, after);
  if (!rows.length) {
    const text = "No classes in this data set.";
    return h("div", { class: "panel" }, h("h3", null, title), h("p", { class: "absent" }, text));
  }
  const values = [before, after].map((profile) => profile.map(([, value]) => value));
  const longest = values.map((own) => d3.greatest(own, Math.abs) ?? 0);
  const [first, second] = longest.map((value) => Math.abs(value) || 1);
  const isSeparate = Math.max(first / second, second / first) >= SEPARATE_SCALES_FROM;
  const scales = isSeparate ? [first, second] : [Math.max(first, second), Math.max(first, second)];
  const range = d3.extent([0, ...values.flatMap((own, i) => own.map((value) => value / scales[i]))]);
  const [longestBefore, longestAfter] = longest.map((value) => number(value, 2));
  const note =
    "Each network\u2019s bars have a scale of their own: " +
    `the longest stands for ${longestBefore} before and ${longestAfter} after.`;
  const item = (row) => {
    const name = className(sides[0].manifest, row.index);
    return h(
      "li",
      null,
      h("span", { class: "paired-name", title: name }, truncate(name, 40)),
      h(
        "span",
        { class: "paired-bars" },
        bar("before", row.before, scales[0], range),
        bar("after", row.after, scales[1], range),
      ),
    );
  };
  return h(
    "div",
    { class: "panel" },
    h("h3", null, title),
    h("ul", { class: "paired-classes" }, rows.map(item)),
    isSeparate ? h("p", { class: "paired-note" }, note) : null,
  );
}

/**
 * The class profiles of both networks.
 * @param {FilterSide[]} sides
 */
export function classesSection(sides) {
  const map = hasMap(sides[0].layer);
  const text = [
    map
      ? "The mean, over the images of a class, of the strongest response in each, and of the mean response."
      : "The mean response over the images of a class.",
    " Each network lists its ten highest classes: \u2013 is none of them.",
  ];
  const key = (side) => [h("span", { class: "key", data: { side } }), side];
  const legend = h("p", { class: "legend" }, key("before"), key("after"));
  return section(
    { title: "Classes", text, legend },
    h(
      "div",
      { class: "panels" },
      panel(sides, map ? "Strongest response" : "Response", "max"),
      map ? panel(sides, "Mean response", "avg") : null,
    ),
  );
}
