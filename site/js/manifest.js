/** Questions to a manifest (network.json). Pure. */
import { urlOf } from "./store.js";

/** The folders of pictures, and what a person calls them. */
export const PICTURES = {
  max_activ: "filter image",
  cropped: "crop",
  cropped_grad: "gradient of the crop",
  max_grads: "gradient",
  avg_grads: "gradient of the average",
};

/**
 * @param {object} manifest
 * @param {string} name
 * @returns {number} the layer's place, -1 when there is none
 */
export function layerIndex(manifest, name) {
  return manifest.layers.findIndex((layer) => layer.name === name);
}

/** The sum of all layers' filters. */
export function filterCount(manifest) {
  return manifest.layers.reduce((sum, layer) => sum + layer.channels, 0);
}

/** A layer's folder name, as the store writes it: the name of its data file. */
export function layerFolder(layer) {
  return layer.data.slice(layer.data.lastIndexOf("/") + 1).replace(/\.json$/, "");
}

/**
 * The URL of a filter's picture.
 * @param {string} root the network's folder
 * @param {object} layer
 * @param {string} kind a key of PICTURES
 * @param {number} channel
 */
export function pictureUrl(root, layer, kind, channel) {
  return `${root}${kind}/${urlOf(layerFolder(layer))}/${channel}.jpg`;
}

/** The URL of a whole image. */
export function imageUrl(root, id) {
  return `${root}images/${encodeURIComponent(id)}.jpg`;
}

/**
 * The runs `[from, to)` of a layer's filters that have a filter image, ascending.
 * @param {object} manifest
 * @param {object} layer
 * @returns {Array<[number, number]>}
 */
export function ascentRuns(manifest, layer) {
  const { complete, config, made } = manifest.stages.ascent ?? {};
  const known = made?.[layer.name];
  if (Array.isArray(known)) return known.filter((run) => Array.isArray(run) && run[0] < run[1]);
  // Stores of before said only, and only of a complete stage, how many of each layer there are.
  const filters = config?.filters;
  if (!complete || filters === undefined) return [];
  const count = filters === "all" ? layer.channels : Math.min(layer.channels, Number(filters) || 0);
  return count > 0 ? [[0, count]] : [];
}

/** How many of a layer's filters have a filter image. */
export function ascentCount(manifest, layer) {
  return ascentRuns(manifest, layer).reduce((sum, [from, to]) => sum + to - from, 0);
}

/** Whether a filter has a filter image. */
export function hasAscent(manifest, layer, channel) {
  return ascentRuns(manifest, layer).some(([from, to]) => from <= channel && channel < to);
}

/** Whether a filter of the layer gives a map: a number for each of many places of an image, not one in all. */
export function hasMap(layer) {
  return layer.shape.slice(1).some((side) => side > 1);
}

/** Whether a layer has crops: where each unit sees all of the image there is none, and no size of one. */
export function hasCrops(manifest, layer) {
  return hasMap(layer) && tileSize(manifest, "cropped", layer) !== null;
}

/** The tile kind that a layer shows unless told otherwise. */
export function usualTile(manifest, layer) {
  if (!hasCrops(manifest, layer)) return "image";
  return ascentCount(manifest, layer) === layer.channels ? "ascent" : "crop";
}

/**
 * A few of a layer's pictures that exist without asking its data: spread evenly over the channels.
 * @param {object} manifest
 * @param {object} layer
 * @param {number} most
 * @param {Record<string, Array<[number, number]>>|null} [there] the pictures there are, where the layer is being written
 * @returns {Array<{kind: string, channel: number}>}
 */
export function previews(manifest, layer, most, there = null) {
  if (there) return previewsOf(there, Math.min(most, layer.channels));
  const made = ascentCount(manifest, layer);
  const enough = made > 0 && made >= Math.min(most, layer.channels);
  const kind = enough ? "max_activ" : "cropped";
  // A unit that sees all of the image has no crop.
  if (kind === "cropped" && !(manifest.stages.scan?.complete && hasCrops(manifest, layer))) return [];
  const runs = enough ? ascentRuns(manifest, layer) : [[0, layer.channels]];
  const from = enough ? made : layer.channels;
  const n = Math.min(most, from);
  return Array.from({ length: n }, (_, i) => ({ kind, channel: at(runs, Math.floor((i * from) / n)) }));
}

/** The channel at a place, counted over runs. */
function at(runs, place) {
  for (const [from, to] of runs) {
    if (place < to - from) return from + place;
    place -= to - from;
  }
  return 0;
}

function previewsOf(made, most) {
  const all = (kind) => (made[kind] ?? []).flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i));
  const kind = all("max_activ").length >= most ? "max_activ" : "cropped";
  const channels = all(kind);
  const n = Math.min(most, channels.length);
  return Array.from({ length: n }, (_, i) => ({ kind, channel: channels[Math.floor((i * channels.length) / n)] }));
}

/** `[height, width]` of one tile of a folder's strips; null where the manifest does not say. */
export function tileSize(manifest, kind, layer) {
  return manifest.tiles?.[kind]?.[layer.name] ?? null;
}

/** What share of the input's width a layer's unit sees: 1 for all of it. */
export function seenShare(manifest, layer) {
  if (!layer.receptive_field) return 1;
  const [, height, width] = manifest.input.shape;
  const [h, w] = layer.receptive_field.size;
  return Math.min(1, Math.max(h / height, w / width));
}

/** A class's name; a number where there is none. */
export function className(manifest, index) {
  if (index === null || index === undefined) return "no class";
  return manifest.dataset.classes[index] ?? `class ${index}`;
}

/**
 * How to enlarge a crop so that the part of it that lies in the image fills a square, without its padding.
 * @param {object} layer of the manifest
 * @param {{position: number[], box: number[]}} entry of a `max` list
 * @returns {{scale: number, x: number, y: number}|null} the factor, and the corner to begin at as a share of the
 *   crop; null where there is no padding
 */
export function withoutPadding(layer, { position, box }) {
  const seen = layer.receptive_field;
  if (!seen || !position || !box) return null;
  const [left, top, right, bottom] = box;
  const start = [0, 1].map((axis) => position[axis] * seen.stride[axis] + seen.offset[axis]);
  const [height, width] = [(bottom - top) / seen.size[0], (right - left) / seen.size[1]];
  const share = Math.min(height, width);
  if (share <= 0 || share >= 1) return null;
  return {
    scale: 1 / share,
    x: (left - start[1]) / seen.size[1] + (width - share) / 2,
    y: (top - start[0]) / seen.size[0] + (height - share) / 2,
  };
}

/**
 * What to call the networks of a site: by title, and by name too where two share a title.
 * @param {Array<{name: string, title: string}>} networks
 * @returns {string[]}
 */
export function networkLabels(networks) {
  const shared = (title) => networks.filter((one) => one.title === title).length > 1;
  return networks.map(({ name, title }) => (shared(title) ? `${title} (${name})` : title));
}
