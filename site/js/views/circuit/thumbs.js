/** The pictures of a circuit's nodes, as data URLs, so that the drawing can be saved as it is. */
import { cropSquare } from "../../dom/crop-square.js";
import { h } from "../../dom/dom.js";
import { hasCrops, tileSize } from "../../data/manifest.js";
import { pictureSources } from "../../data/packs.js";
import { filterKey } from "../../data/circuit-tree.js";

/** @import { Context, Entry, Layer, LayerFile, Manifest, PictureSource, PictureSources } from "../../types.js" */

const SIDE = 128;

/** From so many pictures of a layer on, its files are fetched whole. */
const MANY = 16;

/**
 * A picture of a filter in a square.
 * @param {HTMLImageElement} image is loaded
 * @param {import("../../dom/crop-square.js").Part|null} part of the tile
 * @param {number} tiles how many tiles the picture has
 */
function squareUrl(image, part, tiles) {
  const canvas = h("canvas", { width: SIDE, height: SIDE });
  const [width, height] = [image.naturalWidth / tiles, image.naturalHeight];
  const scale = SIDE / Math.min(width, height);
  const whole = { left: (SIDE - width * scale) / 2, top: (SIDE - height * scale) / 2 };
  const [x, y, w, t] = part
    ? [part.left * SIDE, part.top * SIDE, part.width * SIDE, part.height * SIDE]
    : [whole.left, whole.top, width * scale, height * scale];
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#808080"; // a JPEG has no transparent parts
  pen.fillRect(0, 0, SIDE, SIDE);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, 0, 0, width, height, x, y, w, t);
  return canvas.toDataURL("image/jpeg", 0.86);
}

/**
 * @param {Pick<Context, "store"|"signal"|"show">} ctx
 * @param {Manifest} manifest
 * @param {string} root the network's folder
 */
export function circuitThumbs({ store, signal, show }, manifest, root) {
  /** @type {Map<Layer, Promise<LayerFile|null>>} */
  const files = new Map();
  /** @type {Map<string, string|null>} */
  const urls = new Map(); // by filter; null while it is loaded, and where there is none
  /** @type {Map<string, string>} */
  const names = new Map();

  const open = (layer) => {
    if (!files.has(layer))
      files.set(
        layer,
        store.layer(manifest.name, layer.data, signal).catch(() => null),
      );
    return files.get(layer);
  };

  /** What shows a filter best: its source, how many tiles that has, and the part of it for a square. */
  function sourceOf(layer, filter, sources) {
    const [entry] = filter.max;
    const kind = hasCrops(manifest, layer) && filter.pictures.includes("cropped") ? "cropped" : "image";
    const small = sources.thumb(kind, filter.channel);
    if (kind === "image") return { source: small ?? (entry ? sources.image(entry.image) : null), tiles: 1, part: null };
    const part = cropSquare(manifest, layer, kind, entry);
    if (small) return { source: small, tiles: 1, part };
    const tiles = tileSize(manifest, kind, layer) ? filter.max.length : 1;
    return { source: sources.strip(kind, filter.channel), tiles, part };
  }

  /** @returns {Promise<string|null>} */
  function load({ source, tiles, part }) {
    return new Promise((resolve) => {
      if (!source) return resolve(null);
      const image = h("img", {
        on: {
          load: () => resolve(signal.aborted ? null : squareUrl(image, part, tiles)),
          error: () => resolve(null),
        },
      });
      show(image, source, true);
    });
  }

  return {
    /** @param {{layer: Layer, channel: number}} filter */
    url: (filter) => urls.get(filterKey(filter)) ?? null,
    /** The name of a filter that stands for a class. @param {{layer: Layer, channel: number}} filter */
    nameOf: (filter) => names.get(filterKey(filter)) ?? null,
    /**
     * Load the pictures of filters; what is there already is not loaded again.
     * @param {Array<{layer: Layer, channel: number}>} filters
     * @param {(key: string, url: string|null) => void} done called for each filter
     */
    async load(filters, done) {
      const wanted = filters.filter((filter) => !urls.has(filterKey(filter)));
      for (const filter of wanted) urls.set(filterKey(filter), null);
      const once = [...new Map(wanted.map((filter) => [filterKey(filter), filter])).values()];
      const layers = [...new Set(once.map(({ layer }) => layer))].map(async (layer) => {
        const some = once.filter((filter) => filter.layer === layer);
        const file = await open(layer);
        if (!file || signal.aborted) return;
        const sources = pictureSources({ manifest, root, layer, file, wholeThumbs: some.length > MANY });
        const all = some.map(async ({ channel }) => {
          const filter = file.filters.find((candidate) => candidate.channel === channel);
          if (!filter) return;
          const key = filterKey({ layer, channel });
          if (file.names?.[channel]) names.set(key, file.names[channel]);
          urls.set(key, await load(sourceOf(layer, filter, sources)));
          if (!signal.aborted) done(key, urls.get(key));
        });
        await Promise.all(all);
      });
      await Promise.all(layers);
    },
  };
}
