/** The pictures of one filter: the images with their crops and gradients, and the filter image. */
import { externalLink, h } from "../../dom/dom.js";
import { className, hasCrops, hasMap } from "../../data/manifest.js";
import { number, truncate } from "../../text/format.js";
import { cropPair, entryPicture, filterImage } from "../shared/figures.js";
import { section } from "../shared/section.js";

/** @import { Entry, Scene } from "../../types.js" */

function notComputed(what) {
  return h(
    "p",
    { class: "absent" },
    h("b", null, what),
    " Not computed for this filter; run precompute with a larger ",
    h("code", null, "--filters"),
    ".",
  );
}

/**
 * @param {Scene} scene
 * @param {Entry} entry
 * @param {number} index
 * @param {[number, number]|null} position
 */
function caption({ manifest, images }, entry, index, position) {
  const name = className(manifest, entry.class);
  const path = images[entry.image]?.path;
  return h(
    "figcaption",
    null,
    h("span", { class: "rank" }, index + 1),
    h("span", { class: "score", title: "activation" }, number(entry.score)),
    h("span", { class: "class", title: path ? `${name}\n${path}` : name }, truncate(name, 60)),
    position ? h("span", { class: "detail" }, `map row ${position[0]}, column ${position[1]}`) : null,
  );
}

/** @param {HTMLElement[]} entries */
function figures(entries) {
  return h("div", { class: "figures", style: { "--entries": entries.length } }, entries);
}

/**
 * The images with the highest activation, each with its crop and the crop's gradient.
 * @param {Scene} scene
 * @param {string} show one of SHOWS
 */
export function strongestFigures(scene, show) {
  const { filter, manifest, layer } = scene;
  const entries = filter.max.map((entry, i) =>
    h(
      "figure",
      { class: "entry" },
      entryPicture(scene, "max", i, show),
      caption(scene, entry, i, hasMap(layer) ? entry.position : null),
      cropPair(scene, i),
    ),
  );
  const has = (kind) => filter.pictures.includes(kind);
  const complete = has("max_grads") && (has("cropped_grad") || !hasCrops(manifest, layer));
  return [figures(entries), complete ? null : notComputed("Gradients:")];
}

/**
 * The images with the highest mean activation.
 * @param {Scene} scene
 * @param {string} show one of SHOWS
 */
export function averageFigures(scene, show) {
  const { filter } = scene;
  const entries = filter.avg.map((entry, i) =>
    h("figure", { class: "entry" }, entryPicture(scene, "avg", i, show), caption(scene, entry, i, null)),
  );
  const complete = show === "image" || filter.pictures.includes("avg_grads");
  return [figures(entries), complete ? null : notComputed("Gradients of the average:")];
}

/** What the score of a filter image is, by the objective of the ascent. */
const REACHED = { mean: "mean activation reached", position: "activation of the centre unit reached" };

/** @param {Scene} scene */
function ascentCaption({ filter: { ascent }, layer, manifest }) {
  if (!ascent) return null;
  const { score, ratio } = ascent;
  const hasRatio = ratio !== null && ratio !== undefined;
  const objective = manifest.stages.ascent?.config?.objective ?? "mean";
  const reached = hasMap(layer) ? (REACHED[objective] ?? `value of “${objective}” reached`) : "activation reached";
  return h(
    "figcaption",
    null,
    h("span", { class: "score" }, number(score)),
    h("span", { class: "class" }, reached),
    hasRatio
      ? h("span", { class: "detail" }, `${number(ratio, 2)} times that of the best image of the data set`)
      : null,
  );
}

/**
 * The filter image.
 * @param {Scene} scene
 */
export function filterImageSection(scene) {
  const nodes = filterImage(scene);
  const text = [
    "Made from noise by gradient ascent to excite this filter: a ",
    externalLink("https://distill.pub/2017/feature-visualization/", "feature visualization"),
    ".",
  ];
  return section(
    { title: "Filter image", kind: nodes ? "filter-image" : "filter-image none", text },
    nodes ? h("figure", { class: "entry" }, nodes, ascentCaption(scene)) : notComputed("Filter image:"),
  );
}
