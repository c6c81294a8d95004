/** Read stores: fetch, cache, abort, and report what goes wrong. No DOM. */
import { Lru } from "./lru.js";
import { dedupe } from "./dedupe.js";

/** The newest format that this site reads; it reads the older ones as well. */
export const FORMAT = 2;

/** @import { Live, PictureKind, Ranges, Store } from "../types.js" */

/** A file could not be read; the message is for the visitor. */
export class StoreError extends Error {
  /**
   * @param {"missing"|"broken"|"format"|"offline"|"unknown"|"waiting"} kind
   * @param {string} message
   */
  constructor(kind, message) {
    super(message);
    this.name = "StoreError";
    this.kind = kind;
  }
}

/**
 * Encode each part of a path of the store for a URL (a file name may hold a `%`).
 * @param {string} path
 */
export function urlOf(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** Throw unless a value is an object of the right format that has the fields. */
function check(value, what, fields) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new StoreError("broken", `${what} is not an object.`);
  }
  if (fields.includes("format") && !(Number.isInteger(value.format) && value.format >= 1 && value.format <= FORMAT)) {
    if (typeof value.format === "number" && value.format > FORMAT) {
      throw new StoreError(
        "format",
        `${what} has format ${value.format}; this page reads formats up to ${FORMAT}. ` +
          "Build the site again with a newer Torchlurk.",
      );
    }
    throw new StoreError("broken", `${what} does not say which format it has.`);
  }
  for (const field of fields) {
    if (!(field in value)) throw new StoreError("broken", `${what} lacks “${field}”.`);
  }
  return value;
}

/** What a visitor calls the content of a file. */
const CONTENT = {
  layer: "This layer",
  changes: "What changed in this layer",
  classes: "What each class excites",
  circuits: "What this filter is made of",
  expanded: "The expanded weights of this filter",
  spectra: "The images of this filter by response",
};

/** By kind of file, the fields that it must have. */
const REQUIRED = {
  index: ["format", "networks"],
  network: ["format", "name", "layers", "edges", "dataset", "input", "stages", "tiles", "activation_edges"],
  layer: ["format", "layer", "filters"],
  images: [],
  classes: ["format", "filters"],
  comparisons: ["format", "comparisons"],
  comparison: ["format", "name", "stores", "measures", "pairs", "layers"],
  changes: ["format", "layer", "pairs"],
  previews: ["format", "layers"],
  circuits: ["format", "layer", "images", "upstream", "downstream", "filters"],
  expanded: ["format", "layer", "upstream", "filters"],
  spectra: ["format", "layer", "quantiles", "filters"],
};

/** The fields of images.json since format 2. */
const IMAGES_FIELDS = ["format", "images", "packs"];

/** Throw unless packs have one length for each of their items and kinds. */
function checkPacks(packs, what) {
  const isRow = (row, kinds) =>
    Array.isArray(row) && row.length === kinds.length && row.every((length) => Number.isInteger(length) && length >= 0);
  const isPack = ({ path, items, kinds, lengths }) =>
    typeof path === "string" &&
    [items, kinds, lengths].every(Array.isArray) &&
    lengths.length === items.length &&
    lengths.every((row) => isRow(row, kinds));
  if (!Array.isArray(packs) || !packs.every((pack) => pack && isPack(pack))) {
    throw new StoreError("broken", `${what} has a damaged list of files with pictures.`);
  }
}

/**
 * @param {object} options
 * @param {string} options.index URL of index.json
 * @param {typeof globalThis.fetch} [options.fetch]
 * @param {number} [options.layers] how many layers to keep in memory
 * @returns {Store}
 */
export function openStore({ index, fetch = globalThis.fetch.bind(globalThis), layers: cachedLayers = 6 }) {
  const base = index.slice(0, index.lastIndexOf("/") + 1);
  const cache = new Map();
  const layerCache = new Lru(cachedLayers);
  const circuitCache = new Lru(2 * cachedLayers); // a view may show the circuits of many layers
  const share = dedupe();
  // Of stores that are being written:
  /** @type {Map<string, string>|null} */
  let stamps = null; // by URL, of the files that exist; null where all do
  /** @type {Map<string, Map<string, Partial<Record<PictureKind, Ranges>>>>|null} */
  let made = null; // by network and layer, the pictures that exist
  /** @type {Map<string, import("../types.js").Previews>|null} */
  let best = null; // by network and layer, a few filters with their best image

  async function read(url, kind, signal) {
    const what = decodeURIComponent(url.slice(base.length));
    // A request for a missing file would be an error in the visitor's console.
    if (stamps && !stamps.has(url)) {
      throw new StoreError(
        "waiting",
        `${CONTENT[kind] ?? what} is not computed yet; it is shown here as soon as it is.`,
      );
    }
    let response;
    try {
      response = await fetch(url, { signal });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new StoreError("offline", `${what} could not be fetched: the connection failed.`);
    }
    if (!response.ok) {
      throw new StoreError("missing", `${what} could not be fetched (status ${response.status}).`);
    }
    let text;
    try {
      text = await response.text();
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new StoreError("offline", `${what} arrived only in part: the connection failed.`);
    }
    let value;
    try {
      value = JSON.parse(text);
    } catch {
      throw new StoreError("broken", `${what} is not valid JSON.`);
    }
    check(value, what, REQUIRED[kind]);
    if (kind === "images" && "format" in value) check(value, what, IMAGES_FIELDS);
    const packs = value.packs ?? [];
    if (kind === "layer" && value.packs) checkPacks([packs.pictures, packs.thumbs].flat(), what);
    if (kind === "images") checkPacks(packs, what);
    return value;
  }

  /** Read a file unless a cache has it. */
  async function once(entries, url, kind, signal) {
    const cached = entries.get(url);
    if (cached) return cached;
    return share(url, signal, async (shared) => {
      const stamp = stamps?.get(url);
      const value = await read(url, kind, shared);
      // The file may have been replaced while it was read.
      if (stamps?.get(url) === stamp) entries.set(url, value);
      return value;
    });
  }

  async function folder(name, signal) {
    const { networks } = await once(cache, index, "index", signal);
    const entry = networks.find((network) => network.name === name);
    if (!entry) throw new StoreError("unknown", `There is no network “${name}” here.`);
    return `${base}${urlOf(entry.path)}/`;
  }

  const comparisons = (signal) => once(cache, `${base}comparisons.json`, "comparisons", signal);

  async function comparisonFolder(name, signal) {
    const entry = (await comparisons(signal)).comparisons.find((candidate) => candidate.name === name);
    if (!entry) throw new StoreError("unknown", `There is no comparison “${name}” here.`);
    return `${base}${urlOf(entry.path)}/`;
  }

  return {
    follow({ networks, comparisons: compared = [] }) {
      const listed = (all) => JSON.stringify(all.map(({ name, path }) => [name, path]));
      const now = new Map([
        [index, listed(networks)],
        [`${base}comparisons.json`, listed(compared)],
      ]);
      for (const { path, files } of compared) {
        for (const [file, stamp] of Object.entries(files)) now.set(`${base}${urlOf(path)}/${urlOf(file)}`, stamp);
      }
      made = new Map();
      best = new Map();
      for (const { name, path, files, layers } of networks) {
        const root = `${base}${urlOf(path)}/`;
        for (const [file, stamp] of Object.entries(files)) now.set(root + urlOf(file), stamp);
        for (const { data, stamp } of Object.values(layers)) now.set(root + urlOf(data), stamp);
        made.set(name, new Map(Object.entries(layers).map(([layer, live]) => [layer, live.made])));
        best.set(name, Object.fromEntries(Object.entries(layers).map(([layer, live]) => [layer, live.best])));
      }
      for (const [url, stamp] of stamps ?? []) {
        if (now.get(url) === stamp) continue;
        cache.delete(url);
        layerCache.delete(url);
        circuitCache.delete(url);
      }
      stamps = now;
    },
    made: (name, layer) => (made ? (made.get(name)?.get(layer) ?? {}) : null),
    index: (signal) => once(cache, index, "index", signal),
    folder,
    network: async (name, signal) => once(cache, `${await folder(name, signal)}network.json`, "network", signal),
    images: async (name, signal) => {
      const found = await once(cache, `${await folder(name, signal)}images.json`, "images", signal);
      return "format" in found ? found : { images: found };
    },
    classes: async (name, signal) => once(cache, `${await folder(name, signal)}classes.json`, "classes", signal),
    previews: async (name, signal) => {
      if (best) return best.get(name) ?? {};
      return (await once(cache, `${await folder(name, signal)}previews.json`, "previews", signal)).layers;
    },
    layer: async (name, data, signal) =>
      once(layerCache, `${await folder(name, signal)}${urlOf(data)}`, "layer", signal),
    circuits: async (name, path, signal) =>
      once(circuitCache, `${await folder(name, signal)}${urlOf(path)}`, "circuits", signal),
    expanded: async (name, path, signal) =>
      once(circuitCache, `${await folder(name, signal)}${urlOf(path)}`, "expanded", signal),
    spectra: async (name, path, signal) =>
      once(circuitCache, `${await folder(name, signal)}${urlOf(path)}`, "spectra", signal),
    comparisons,
    comparison: async (name, signal) =>
      once(cache, `${await comparisonFolder(name, signal)}comparison.json`, "comparison", signal),
    changes: async (name, data, signal) =>
      once(layerCache, `${await comparisonFolder(name, signal)}${urlOf(data)}`, "changes", signal),
  };
}
