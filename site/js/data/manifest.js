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
  return held(ascentRuns(manifest, layer));
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
export function defaultTile(manifest, layer) {
  if (!hasCrops(manifest, layer)) return "image";
  return ascentCount(manifest, layer) === layer.channels ? "ascent" : "crop";
}

/**
 * @typedef {object} Known what is known of a layer before its data are there
 * @property {Record<string, Array<[number, number]>>|null} [made] the pictures there are, where the layer is being written
 * @property {Array<{channel: number, image: number, position: number[], box: number[]}>} [best] a few filters with their
 *   best image
 *
 * @typedef {object} Preview
 * @property {"max_activ"|"cropped"|"image"} kind
 * @property {number} channel
 * @property {number} [image] for an image, which
 * @property {{position: number[], box: number[]}|null} [entry] for a crop, where it is from, if that is known
 */

/**
 * A few of a layer's pictures that exist without asking its data, spread evenly over the channels: filter images where
 * there are enough, else crops, else, where a unit sees all of the image, the best images.
 * @param {object} manifest
 * @param {object} layer
 * @param {number} most
 * @param {Known} [known]
 * @returns {Preview[]}
 */
export function previews(manifest, layer, most, { made = null, best = [] } = {}) {
  const few = Math.min(most, layer.channels);
  const drawn = made ? (made.max_activ ?? []) : ascentRuns(manifest, layer);
  if (held(drawn) >= few) return pick(drawn, few).map((channel) => ({ kind: "max_activ", channel }));
  const cut = made
    ? (made.cropped ?? [])
    : manifest.stages.scan?.complete && hasCrops(manifest, layer)
      ? [[0, layer.channels]]
      : [];
  if (held(cut)) {
    const entry = (channel) => best.find((one) => one.channel === channel) ?? null;
    return pick(cut, few).map((channel) => ({ kind: "cropped", channel, entry: entry(channel) }));
  }
  return pick([[0, best.length]], few).map((i) => ({ kind: "image", channel: best[i].channel, image: best[i].image }));
}

/** How many numbers runs hold. */
function held(runs) {
  return runs.reduce((sum, [from, to]) => sum + to - from, 0);
}

/** So many numbers of runs, or all there are, spread evenly. */
function pick(runs, most) {
  const all = held(runs);
  const n = Math.min(most, all);
  return Array.from({ length: n }, (_, i) => at(runs, Math.floor((i * all) / n)));
}

/** The number at a place, counted over runs. */
function at(runs, place) {
  for (const [from, to] of runs) {
    if (place < to - from) return from + place;
    place -= to - from;
  }
  return 0;
}

/** `[height, width]` of one tile of a folder's strips; null where the manifest does not say. */
export function tileSize(manifest, kind, layer) {
  return manifest.tiles?.[kind]?.[layer.name] ?? null;
}

/** What share of the input's width a layer's unit sees: 1 for all of it. */
export function receptiveFieldShare(manifest, layer) {
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
 * What to call the networks of a site: by title, and by name too where two share a title.
 * @param {Array<{name: string, title: string}>} networks
 * @returns {string[]}
 */
export function networkLabels(networks) {
  const shared = (title) => networks.filter((one) => one.title === title).length > 1;
  return networks.map(({ name, title }) => (shared(title) ? `${title} (${name})` : title));
}
