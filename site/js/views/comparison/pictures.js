/** Pictures of one filter, before and after, side by side. */
import { h } from "../../dom/dom.js";
import { frame } from "../../dom/pictures.js";
import { hasAscent, hasCrops } from "../../data/manifest.js";
import { pictureSources } from "../../data/packs.js";
import { bestTile } from "../shared/figures.js";

/** @import { Side } from "../../types.js" */

/** @param {Side} side */
const layerIn = ({ manifest }, name) => manifest.layers.find((layer) => layer.name === name);

/**
 * Two frames in the place of one.
 * @param {HTMLElement} before
 * @param {HTMLElement} after
 */
export function picturePair(before, after) {
  return h("span", { class: "picture-pair" }, before, after);
}

/**
 * A filter's picture, its filter image or its best crop. The file of its layer is read only if it tells where that is.
 * @param {Side} side
 * @param {string} layerName
 * @param {number} channel
 * @param {string} kind "max_activ" or "cropped"
 */
export function previewPicture(side, layerName, channel, kind) {
  const { manifest, tag } = side;
  const square = kind === "cropped";
  const tiles = square ? Math.min(manifest.k, manifest.dataset.images) : 1;
  const layer = layerIn(side, layerName);
  const sources = pictureSources({ ...side, layer, read: () => side.readLayer(layer) });
  const alt = `filter ${channel} ${tag}`;
  return frame(null, bestTile({ ...side, layer, sources }, kind, channel, { alt, tiles, square }));
}

/**
 * The kinds of picture that all sides have of a filter, as their manifests say: the preferred one first.
 * @param {Side[]} sides
 * @param {string} layerName
 * @param {number} channel
 */
export function previewKinds(sides, layerName, channel) {
  if (!sides.every((side) => layerIn(side, layerName))) return [];
  const all = (test) => sides.every((side) => test(side.manifest, layerIn(side, layerName)));
  const kinds = [];
  if (all((manifest, layer) => hasAscent(manifest, layer, channel))) kinds.push("max_activ");
  if (all(hasCrops)) kinds.push("cropped");
  return kinds;
}
