/**
 * Where the pictures of a store lie: each in a file of its own (format 1), or as a part of a pack, a file that holds
 * many (format 2). Uses no DOM.
 */
import { imageUrl, layerFolder, pictureUrl } from "./manifest.js";
import { urlOf } from "./store.js";

/** @import { ImagesFile, Layer, LayerFile, Manifest, Pack, Part, PictureSources, Preview } from "../types.js" */

/**
 * The parts of packs, by kind and item, as in "cropped 12"; `item` are the bytes of all kinds of the item.
 * @typedef {Map<string, {url: string, start: number, end: number, item: [number, number]}>} PartIndex
 */

/**
 * The parts of packs. A pack is its items in order, and within an item its kinds in order, without gaps.
 * @param {string} root the network's folder
 * @param {Pack[]} packs
 * @returns {PartIndex}
 */
export function indexParts(root, packs) {
  /** @type {PartIndex} */
  const parts = new Map();
  for (const { path, items, kinds, lengths } of packs) {
    const url = root + urlOf(path);
    let start = 0;
    items.forEach((item, row) => {
      /** @type {[number, number]} */
      const whole = [start, lengths[row].reduce((sum, length) => sum + length, start)];
      kinds.forEach((kind, column) => {
        const end = start + lengths[row][column];
        if (end > start) parts.set(`${kind} ${item}`, { url, start, end, item: whole });
        start = end;
      });
    });
  }
  return parts;
}

/**
 * What to fetch for some parts, in as few requests as sensible: the whole file where a part asks for it, else the whole
 * item of each part, since its other pictures are shown with it or soon after. Items of one file become one range where
 * at most `gap` bytes lie between them.
 * @param {Part[]} parts
 * @param {number} gap
 * @returns {Array<{url: string, start?: number, end?: number}>} without `start`: the whole file
 */
export function mergeParts(parts, gap) {
  const whole = new Set(parts.filter((part) => part.whole).map(({ url }) => url));
  /** @type {Array<{url: string, start?: number, end?: number}>} */
  const merged = [...whole].map((url) => ({ url }));
  const rest = parts
    .filter(({ url }) => !whole.has(url))
    .map(({ url, start, end, item = [start, end] }) => ({ url, start: item[0], end: item[1] }))
    .sort((a, b) => a.start - b.start || a.end - b.end);
  const last = new Map(); // by URL, the range that may grow
  for (const { url, start, end } of rest) {
    const range = last.get(url);
    if (range && start - range.end <= gap) range.end = Math.max(range.end, end);
    else {
      const begun = { url, start, end };
      last.set(url, begun);
      merged.push(begun);
    }
  }
  return merged;
}

/** The kind of thumb that shows the best of a folder of pictures. */
const THUMBS = {
  cropped: "cropped",
  cropped_grad: "gradient",
  max_grads: "gradient",
  max_activ: "max_activ",
  image: "image",
};

/** What a small picture is, wherever it lies. */
function thumbName(root, layer, kind, channel) {
  return `${root}thumbs/${urlOf(layerFolder(layer))}/${kind}-${channel}`;
}

/** @returns {Part|null} */
function partOf(index, key, name, whole = false) {
  return index.has(key) ? { ...index.get(key), name, whole } : null;
}

/**
 * Where the pictures of a layer lie, and the images of its network.
 * @param {object} what
 * @param {Manifest} what.manifest
 * @param {string} what.root the network's folder
 * @param {Layer} what.layer
 * @param {Pick<LayerFile, "packs">|null} [what.file] the layer's file, if it is read
 * @param {() => Promise<Pick<LayerFile, "packs">>} [what.read] reads it, if it is not
 * @param {ImagesFile|null} [what.images] images.json, if it is read
 * @param {boolean} [what.wholeThumbs] fetch small pictures together with all others in their file
 * @returns {PictureSources}
 */
export function pictureSources({ manifest, root, layer, file = null, read, images = null, wholeThumbs = false }) {
  const isPacked = file ? Boolean(file.packs) : manifest.format > 1;
  const pictures = file?.packs ? indexParts(root, file.packs.pictures) : null;
  const thumbs = file?.packs ? indexParts(root, file.packs.thumbs) : null;
  const whole = images?.packs ? indexParts(root, images.packs) : null;
  /** @type {Promise<PictureSources>|null} */
  let opening = null; // once the layer's file is needed

  function open() {
    opening ??= read().then((found) => pictureSources({ manifest, root, layer, file: found, images, wholeThumbs }));
    opening.catch(() => (opening = null));
    return opening;
  }

  return {
    isPacked,
    strip(kind, channel) {
      const name = pictureUrl(root, layer, kind, channel);
      if (!isPacked) return { url: name, name };
      if (pictures) return partOf(pictures, `${kind} ${channel}`, name);
      return read ? { name, find: async () => (await open()).strip(kind, channel) } : null;
    },
    thumb(kind, channel) {
      if (!isPacked) return null;
      const name = thumbName(root, layer, THUMBS[kind], channel);
      if (thumbs) return partOf(thumbs, `${THUMBS[kind]} ${channel}`, name, wholeThumbs);
      return read ? { name, find: async () => (await open()).thumb(kind, channel) } : null;
    },
    image(id) {
      const name = imageUrl(root, id);
      if (whole) return partOf(whole, `image ${id}`, name);
      return images || !(manifest.format > 1) ? { url: name, name } : null;
    },
  };
}

/**
 * The small picture of a preview; null where a store does not have one.
 * @param {string} root the network's folder
 * @param {Pick<Layer, "data">} layer
 * @param {"max_activ"|"cropped"|"image"} kind
 * @param {Preview|null|undefined} preview
 * @returns {Part|null}
 */
export function previewSource(root, layer, kind, preview) {
  if (!preview?.thumb) return null;
  const { path, offset, length } = preview.thumb;
  const url = root + urlOf(path);
  return { url, start: offset, end: offset + length, name: thumbName(root, layer, kind, preview.channel) };
}
