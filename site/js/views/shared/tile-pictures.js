/** What the tiles of a layer show, and what that means. */
import { externalLink, h } from "../../dom/dom.js";
import { frame } from "../../dom/pictures.js";
import { PICTURES, hasCrops, hasMap } from "../../data/manifest.js";
import { bestImage, bestTile, receptiveFieldBox } from "./figures.js";

/** @import { Filter, Layer, Manifest } from "../../types.js" */

/** The kinds of tile, as a visitor calls them. */
export const TILE_NAMES = { ascent: "Filter image", crop: "Best crop", image: "Best image", gradient: "Gradient" };

const FOLDERS = { ascent: "max_activ", crop: "cropped", gradient: "cropped_grad" };

/** The label of a tile that shows another picture than the one chosen. */
const FALLBACKS = { cropped: "crop", whole: "image" };

/** The folder of a kind of tile; "whole" for the image itself. */
function folderOf(manifest, layer, kind) {
  if (kind === "image") return "whole";
  return kind === "gradient" && !hasCrops(manifest, layer) ? "max_grads" : FOLDERS[kind];
}

/**
 * @param {Filter} filter
 * @param {string} folder
 */
function hasPicture(filter, folder) {
  return folder === "whole" ? filter.max.length > 0 : filter.pictures.some((kind) => kind === folder);
}

/**
 * Whether a filter has the picture of a kind of tile.
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @param {Filter} filter
 * @param {string} kind a key of TILE_NAMES
 */
export function hasTile(manifest, layer, filter, kind) {
  return hasPicture(filter, folderOf(manifest, layer, kind));
}

/**
 * The kinds of tile that some filter of the layer has, and the current one.
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @param {Filter[]} filters
 * @param {string} current
 */
export function tileKinds(manifest, layer, filters, current) {
  return Object.keys(TILE_NAMES).filter(
    (kind) => kind === current || filters.some((filter) => hasTile(manifest, layer, filter, kind)),
  );
}

/**
 * The method of the gradients, with a link to its paper.
 * @param {Manifest} manifest
 */
export function gradientMethod(manifest) {
  const config = manifest.stages.gradients?.config ?? {};
  const method = config.method ?? config.rule ?? "deconv";
  if (method === "deconv") return externalLink("https://arxiv.org/abs/1311.2901", "deconvolution");
  if (method === "guided") return externalLink("https://arxiv.org/abs/1412.6806", "guided backpropagation");
  return method === "vanilla" ? "backpropagation" : `the method “${method}”`;
}

/**
 * What the tiles of a kind show, in words.
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @param {string} kind a key of TILE_NAMES
 */
export function tileMeaning(manifest, layer, kind) {
  const map = hasMap(layer);
  const crops = hasCrops(manifest, layer);
  const words = {
    ascent: [
      "Each tile is a picture made from noise, changed step by step until it excites the filter as much as it can: a ",
      externalLink("https://distill.pub/2017/feature-visualization/", "feature visualization"),
      ".",
    ],
    crop: [
      "Each tile is the patch of an image that excites the filter most: ",
      "exactly what the unit sees, its receptive field.",
    ],
    image: [
      "Each tile is the image that excites the filter most",
      crops
        ? "; the box is the part that the most excited unit sees, its receptive field."
        : map
          ? ". Each unit of this layer sees all of it."
          : ".",
    ],
    gradient: [
      `Each tile shows which pixels of the best ${crops ? "patch" : "image"} excite the filter, found by `,
      gradientMethod(manifest),
      "; mid-gray means no influence.",
    ],
  };
  return map ? words[kind] : [...words[kind], " This layer has no map: each filter gives one number per image."];
}

/**
 * The picture of a tile: the one that was chosen, or else the first that the filter has, labelled.
 * @param {import("../../types.js").LayerScene} scene
 * @param {Filter} filter
 * @param {string} kind a key of TILE_NAMES
 */
export function filterTile(scene, filter, kind) {
  const { manifest, layer } = scene;
  const { channel } = filter;
  const chosen = folderOf(manifest, layer, kind);
  const folder = [chosen, "cropped", "whole"].find((candidate) => hasPicture(filter, candidate));
  if (!folder) return frame(null, h("span", { class: "missing" }, "no picture"));
  const strip = () =>
    bestTile(scene, folder, channel, {
      alt: `${PICTURES[folder]} of filter ${channel}`,
      tiles: folder === "max_activ" ? 1 : filter.max.length,
      square: folder !== "max_activ",
      entry: filter.max[0],
    });
  return frame(
    null,
    folder === "whole" ? [bestImage(scene, channel, filter.max[0]), receptiveFieldBox(scene, filter.max[0])] : strip(),
    folder === chosen ? null : h("span", { class: "fallback-label" }, FALLBACKS[folder]),
  );
}
