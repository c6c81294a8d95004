/** The filter images of both networks, and how each filter responds to the other's. */
import { externalLink, h } from "../../dom/dom.js";
import { frame } from "../../dom/pictures.js";
import { hasMap, tileSize } from "../../data/manifest.js";
import { number } from "../../text/format.js";
import { filterImage } from "../shared/figures.js";
import { section } from "../shared/section.js";
import { sideGroup } from "./controls.js";

/** @import { FilterSide } from "../../types.js" */

/** @param {FilterSide} side */
function sideImage(side) {
  const missing = () =>
    frame(tileSize(side.manifest, "max_activ", side.layer), h("span", { class: "missing" }, "not computed"));
  return sideGroup(side, h("figure", { class: "entry" }, filterImage(side) ?? missing()));
}

/**
 * The activation of each network's filter on each picture.
 * @param {FilterSide[]} sides
 * @param {[number, number, number, number]} activations of the filter before on both pictures, of the filter after
 */
function crossTable(sides, activations) {
  const highest = Math.max(...activations, 0) || 1;
  const cell = (value) =>
    h(
      "td",
      null,
      h("span", { class: "cross-figure" }, number(value)),
      h(
        "span",
        { class: "change-track", "aria-hidden": "true" },
        h("span", { style: { width: `${(Math.max(0, value) / highest) * 100}%` } }),
      ),
    );
  const row = (name, values) => h("tr", null, h("th", { scope: "row" }, name), values.map(cell));
  const column = (name) => h("th", { scope: "col" }, name);
  const objective = sides[0].manifest.stages.ascent?.config?.objective ?? "mean";
  const unit = hasMap(sides[0].layer) && objective === "mean" ? "mean activation" : "activation";
  return h(
    "table",
    { class: "cross" },
    h(
      "caption",
      null,
      `How strongly each network\u2019s filter responds to each picture (${unit}). `,
      "A filter that still looks for the same responds to both pictures alike.",
    ),
    h("thead", null, h("tr", null, h("td"), column("picture before"), column("picture after"))),
    h("tbody", null, row("filter before", activations.slice(0, 2)), row("filter after", activations.slice(2))),
  );
}

/**
 * @param {FilterSide[]} sides
 * @param {[number, number, number, number]|null} activations as the comparison has them
 * @returns {HTMLElement|null} null where neither network has a filter image
 */
export function filterImagesSection(sides, activations) {
  if (!sides.some(({ filter }) => filter.pictures.includes("max_activ"))) return null;
  const text = [
    "Made from noise to excite the filter as much as possible: a ",
    externalLink("https://distill.pub/2017/feature-visualization/", "feature visualization"),
    ".",
  ];
  return section(
    { title: "Filter images", text },
    h(
      "div",
      { class: "filter-image-pair" },
      h("div", { class: "side-by-side" }, sides.map(sideImage)),
      activations ? crossTable(sides, activations) : null,
    ),
  );
}
