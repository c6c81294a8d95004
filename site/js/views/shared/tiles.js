/** What a tile of a layer shows, and what that means. */
import { h, externalLink } from "../../dom/dom.js";
import { PICTURES, hasCrops, hasMap, imageUrl, pictureUrl, tileSize } from "../../data/manifest.js";
import { boxOverlay, frame, picture } from "../../dom/pictures.js";
import { cropSquare } from "../../dom/crop-square.js";

/** The kinds of tile, as a visitor calls them. */
export const TILE_NAMES = { ascent: "Filter image", crop: "Best crop", image: "Best image", gradient: "Gradient" };

const FOLDERS = { ascent: "max_activ", crop: "cropped", gradient: "cropped_grad" };

const INSTEAD = { cropped: "crop", whole: "image" };

function folderOf(manifest, layer, kind) {
  if (kind === "image") return "whole";
  return kind === "gradient" && !hasCrops(manifest, layer) ? "max_grads" : FOLDERS[kind];
}

/** Whether a filter has the picture that a kind of tile asks for. */
export function hasTile(manifest, layer, filter, kind) {
  const folder = folderOf(manifest, layer, kind);
  return folder === "whole" ? filter.max.length > 0 : filter.pictures.includes(folder);
}

/** The kinds that some filter of the layer has; the current one is always among them. */
export function tileKinds(manifest, layer, filters, current) {
  return Object.keys(TILE_NAMES).filter(
    (kind) => kind === current || filters.some((filter) => hasTile(manifest, layer, filter, kind)),
  );
}

/** In plain words: what the tiles of a kind are. */
export function tileMeaning(manifest, layer, kind) {
  const config = manifest.stages.gradients?.config ?? {};
  const method = config.method ?? config.rule ?? "deconv";
  const map = hasMap(layer);
  const crops = hasCrops(manifest, layer);
  const words = {
    ascent: [
      "Each tile is a picture made from noise, changed step by step until it excites the filter as much as it can: a ",
      externalLink("https://distill.pub/2017/feature-visualization/", "feature visualization"),
      ".",
    ],
    crop: [
      "Each tile is the patch of an image that excites the filter most: exactly what the unit sees, its receptive field.",
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
      method === "guided"
        ? externalLink("https://arxiv.org/abs/1412.6806", "guided backpropagation")
        : externalLink("https://arxiv.org/abs/1311.2901", "deconvolution"),
      "; mid-gray means no influence.",
    ],
  };
  return map ? words[kind] : [...words[kind], " This layer has no map: each filter gives one number per image."];
}

/** The whole image, with the box of the unit that responds most. */
function wholeImage(manifest, root, layer, filter) {
  const entry = filter.max[0];
  const image = picture({
    src: imageUrl(root, entry.image),
    alt: `best image of filter ${filter.channel}`,
    natural: manifest.input.shape[2],
  });
  image.classList.add("whole");
  return [image, entry.box && hasCrops(manifest, layer) ? boxOverlay(entry.box, manifest.input.shape) : null];
}

function strip(manifest, root, layer, filter, folder) {
  return picture({
    src: pictureUrl(root, layer, folder, filter.channel),
    alt: `${PICTURES[folder]} of filter ${filter.channel}`,
    at: [0, folder === "max_activ" ? 1 : filter.max.length],
    natural: tileSize(manifest, folder, layer)?.[1],
    part: folder === "max_activ" ? null : cropSquare(manifest, layer, folder, filter.max[0]),
  });
}

/**
 * The picture of a tile: the one that was asked for, or the nearest that the filter has, labelled.
 * @param {object} manifest
 * @param {string} root the network's folder
 * @param {object} layer
 * @param {object} filter
 * @param {string} kind a key of TILE_NAMES
 */
export function tilePicture(manifest, root, layer, filter, kind) {
  const asked = folderOf(manifest, layer, kind);
  const ways = [asked, "cropped", "whole"];
  const there = ways.find((way) => (way === "whole" ? filter.max.length > 0 : filter.pictures.includes(way)));
  if (!there) return frame(null, h("span", { class: "missing" }, "no picture"));
  return frame(
    null,
    there === "whole" ? wholeImage(manifest, root, layer, filter) : strip(manifest, root, layer, filter, there),
    there === asked ? null : h("span", { class: "fallback-label" }, INSTEAD[there]),
  );
}
