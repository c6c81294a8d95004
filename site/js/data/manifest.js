/** Questions to a manifest (network.json). Uses no DOM. */
import { urlOf } from "./store.js";

/** @import { Box, Layer, Manifest, NetworkEntry, PictureKind, Preview, Ranges, Size } from "../types.js" */

/** What a visitor calls the kinds of pictures. */
export const PICTURES = {
  max_activ: "filter image",
  cropped: "crop",
  cropped_grad: "gradient of the crop",
  max_grads: "gradient",
  avg_grads: "gradient of the average",
};

/**
 * @param {Manifest} manifest
 * @param {string|null} name
 * @returns {number} the layer's index; -1 if there is none
 */
export function layerIndex(manifest, name) {
  return manifest.layers.findIndex((layer) => layer.name === name);
}

/**
 * How many filters all layers have together.
 * @param {Manifest} manifest
 */
export function filterCount(manifest) {
  return manifest.layers.reduce((sum, layer) => sum + layer.channels, 0);
}

/**
 * The name of a layer's folders in the store: that of its data file.
 * @param {Pick<Layer, "data">} layer
 */
export function layerFolder(layer) {
  return layer.data.slice(layer.data.lastIndexOf("/") + 1).replace(/\.json$/, "");
}

/**
 * The URL of a filter's picture.
 * @param {string} root the network's folder
 * @param {Pick<Layer, "data">} layer
 * @param {string} kind a key of PICTURES
 * @param {number} channel
 */
export function pictureUrl(root, layer, kind, channel) {
  return `${root}${kind}/${urlOf(layerFolder(layer))}/${channel}.jpg`;
}

/**
 * The URL of a whole image.
 * @param {string} root the network's folder
 * @param {number} id
 */
export function imageUrl(root, id) {
  return `${root}images/${encodeURIComponent(id)}.jpg`;
}

/**
 * The channels of a layer that have a filter image.
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @returns {Ranges}
 */
export function ascentRanges(manifest, layer) {
  const { complete, config, made } = manifest.stages.ascent ?? {};
  const recorded = made?.[layer.name];
  if (Array.isArray(recorded)) return recorded.filter((range) => Array.isArray(range) && range[0] < range[1]);
  // Older stores record only how many filters a complete stage covers.
  const filters = config?.filters;
  if (!complete || filters === undefined) return [];
  const count = filters === "all" ? layer.channels : Math.min(layer.channels, Number(filters) || 0);
  return count > 0 ? [[0, count]] : [];
}

/**
 * How many of a layer's filters have a filter image.
 * @param {Manifest} manifest
 * @param {Layer} layer
 */
export function ascentCount(manifest, layer) {
  return countIn(ascentRanges(manifest, layer));
}

/**
 * Whether a filter has a filter image.
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @param {number} channel
 */
export function hasAscent(manifest, layer, channel) {
  return ascentRanges(manifest, layer).some(([from, to]) => from <= channel && channel < to);
}

/**
 * Whether a filter of the layer gives a map: a number for each of many positions, not one for the whole image.
 * @param {Pick<Layer, "shape">} layer
 */
export function hasMap(layer) {
  return layer.shape.slice(1).some((side) => side > 1);
}

/**
 * Whether a layer has crops: there are none where the receptive field of a unit is the whole image.
 * @param {Manifest} manifest
 * @param {Layer} layer
 */
export function hasCrops(manifest, layer) {
  return hasMap(layer) && tileSize(manifest, "cropped", layer) !== null;
}

/**
 * The kind of tile that a layer shows unless the route names one.
 * @param {Manifest} manifest
 * @param {Layer} layer
 */
export function defaultTile(manifest, layer) {
  if (!hasCrops(manifest, layer)) return "image";
  return ascentCount(manifest, layer) === layer.channels ? "ascent" : "crop";
}

/**
 * @typedef {object} PreviewSources what is known of a layer without its file
 * @property {Partial<Record<PictureKind, Ranges>>|null} [made] the pictures that exist, if the store is being written
 * @property {Preview[]} [best] a few filters with their best image
 *
 * @typedef {object} PreviewPicture
 * @property {"max_activ"|"cropped"|"image"} kind
 * @property {number} channel
 * @property {number} [image] the id of an image
 * @property {{position: [number, number], box: Box}|null} [entry] where a crop is from, if known
 * @property {Preview|null} [preview] what is known of the picture
 */

/**
 * A few of a layer's pictures, spread evenly over the channels: filter images if there are enough, else crops, else
 * (where the receptive field is the whole image) the best images. The layer's file is not needed.
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @param {number} most
 * @param {PreviewSources} [sources]
 * @returns {PreviewPicture[]}
 */
export function previews(manifest, layer, most, { made = null, best = [] } = {}) {
  const few = Math.min(most, layer.channels);
  if (manifest.format > 1) return packedPreviews(best, few);
  const drawn = made ? (made.max_activ ?? []) : ascentRanges(manifest, layer);
  if (countIn(drawn) >= few) return sample(drawn, few).map((channel) => ({ kind: "max_activ", channel }));
  const scanned = manifest.stages.scan?.complete && hasCrops(manifest, layer);
  /** @type {Ranges} */
  const cropped = made ? (made.cropped ?? []) : scanned ? [[0, layer.channels]] : [];
  if (countIn(cropped)) {
    const entry = (channel) => best.find((preview) => preview.channel === channel) ?? null;
    return sample(cropped, few).map((channel) => ({ kind: "cropped", channel, entry: entry(channel) }));
  }
  const images = sample([[0, best.length]], few);
  return images.map((i) => ({ kind: "image", channel: best[i].channel, image: best[i].image }));
}

/**
 * The small pictures that a packed store has in its previews.
 * @param {Preview[]} best
 * @param {number} few
 * @returns {PreviewPicture[]}
 */
function packedPreviews(best, few) {
  const some = best.filter(({ thumb }) => thumb);
  return sample([[0, some.length]], few).map((at) => {
    const { channel, image, position, box, thumb } = some[at];
    return { kind: thumb.kind, channel, image, entry: { position, box }, preview: some[at] };
  });
}

/** @param {Ranges} ranges */
function countIn(ranges) {
  return ranges.reduce((sum, [from, to]) => sum + to - from, 0);
}

/**
 * `most` channels of ranges, or all there are, spread evenly.
 * @param {Ranges} ranges
 * @param {number} most
 */
function sample(ranges, most) {
  const channels = ranges.flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i));
  const n = Math.min(most, channels.length);
  return Array.from({ length: n }, (_, i) => channels[Math.floor((i * channels.length) / n)]);
}

/**
 * The size of one tile of a kind's strips; null where the manifest does not say.
 * @param {Manifest} manifest
 * @param {string} kind a key of PICTURES
 * @param {Pick<Layer, "name">} layer
 * @returns {Size|null}
 */
export function tileSize(manifest, kind, layer) {
  return manifest.tiles?.[kind]?.[layer.name] ?? null;
}

/**
 * The share of the input's sides that a layer's receptive field covers: 1 for the whole input.
 * @param {Manifest} manifest
 * @param {Layer} layer
 */
export function receptiveFieldShare(manifest, layer) {
  if (!layer.receptive_field) return 1;
  const [, height, width] = manifest.input.shape;
  const [tall, wide] = layer.receptive_field.size;
  return Math.min(1, Math.max(tall / height, wide / width));
}

/**
 * A class's name; its number if it has none.
 * @param {Manifest} manifest
 * @param {number|null|undefined} index
 */
export function className(manifest, index) {
  if (index === null || index === undefined) return "no class";
  return manifest.dataset.classes[index] ?? `class ${index}`;
}

/**
 * The labels of the networks of a site: their titles, with the name where two share a title.
 * @param {Array<Pick<NetworkEntry, "name"|"title">>} networks
 * @returns {string[]}
 */
export function networkLabels(networks) {
  const isShared = (title) => networks.filter((network) => network.title === title).length > 1;
  return networks.map(({ name, title }) => (isShared(title) ? `${title} (${name})` : title));
}
