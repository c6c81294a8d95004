/**
 * Reading a store: fetch, cache, abort, and what can go wrong. No DOM.
 */
import { Lru } from "./lru.js";
import { dedupe } from "./dedupe.js";

/** The newest format that this site reads. */
export const FORMAT = 1;

/** What could not be read, and why, in words for the visitor. */
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
 * The URL path of a path of the store: each part encoded (a file name may hold a `%`).
 * @param {string} path
 */
export function urlOf(path) {
  return path.split("/").map(encodeURIComponent).join("/");
}

function check(value, what, fields) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new StoreError("broken", `${what} is not an object.`);
  }
  if (fields.includes("format") && value.format !== FORMAT) {
    if (typeof value.format === "number" && value.format > FORMAT) {
      throw new StoreError(
        "format",
        `${what} has format ${value.format}; this page reads format ${FORMAT}. ` +
          "Build the site again with a newer Torchlurk.",
      );
    }
    throw new StoreError("broken", `${what} does not say that it has format ${FORMAT}.`);
  }
  for (const field of fields) {
    if (!(field in value)) throw new StoreError("broken", `${what} lacks “${field}”.`);
  }
  return value;
}

/** What a visitor calls a file that is not written yet. */
const AWAITED = { layer: "This layer", changes: "What changed in this layer", classes: "What each class excites" };

const NEEDED = {
  index: ["format", "networks"],
  network: ["format", "name", "layers", "edges", "dataset", "input", "stages", "tiles", "activation_edges"],
  layer: ["format", "layer", "filters"],
  images: [],
  classes: ["format", "filters"],
  comparisons: ["format", "comparisons"],
  comparison: ["format", "name", "stores", "measures", "pairs", "layers"],
  changes: ["format", "layer", "pairs"],
  previews: ["format", "layers"],
};

/**
 * @param {object} options
 * @param {string} options.index URL of index.json
 * @param {typeof fetch} [options.fetch]
 * @param {number} [options.layers] how many layers to keep in memory
 */
export function openStore({ index, fetch = globalThis.fetch.bind(globalThis), layers = 6 }) {
  const base = index.slice(0, index.lastIndexOf("/") + 1);
  const kept = new Map();
  const keptLayers = new Lru(layers);
  const share = dedupe();
  let there = null; // of stores that grow: URL -> stamp of the files that are there; null where all are
  let made = null; // by network and layer, which pictures there are
  let best = null; // likewise, a few of its filters with their best image

  async function read(url, kind, signal) {
    const what = decodeURIComponent(url.slice(base.length));
    // To ask for what is not there yet would be an error in the visitor's console.
    if (there && !there.has(url)) {
      throw new StoreError(
        "waiting",
        `${AWAITED[kind] ?? what} is not computed yet; it is shown here as soon as it is.`,
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
    return check(value, what, NEEDED[kind]);
  }

  async function once(cache, url, kind, signal) {
    const known = cache.get(url);
    if (known) return known;
    return share(url, signal, async (wanted) => {
      const stamp = there?.get(url);
      const value = await read(url, kind, wanted);
      // It may have been replaced while it was read.
      if (there?.get(url) === stamp) cache.set(url, value);
      return value;
    });
  }

  async function folder(name, signal) {
    const { networks } = await once(kept, index, "index", signal);
    const entry = networks.find((network) => network.name === name);
    if (!entry) throw new StoreError("unknown", `There is no network “${name}” here.`);
    return `${base}${urlOf(entry.path)}/`;
  }

  const comparisons = (signal) => once(kept, `${base}comparisons.json`, "comparisons", signal);

  async function comparisonFolder(name, signal) {
    const entry = (await comparisons(signal)).comparisons.find((one) => one.name === name);
    if (!entry) throw new StoreError("unknown", `There is no comparison “${name}” here.`);
    return `${base}${urlOf(entry.path)}/`;
  }

  return {
    /**
     * Of stores that are being written: forget what has changed, and know what is there.
     * @param {import("./live.js").Live} live
     */
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
        made.set(name, new Map(Object.entries(layers).map(([layer, one]) => [layer, one.made])));
        best.set(name, Object.fromEntries(Object.entries(layers).map(([layer, one]) => [layer, one.best])));
      }
      for (const [url, stamp] of there ?? []) {
        if (now.get(url) === stamp) continue;
        kept.delete(url);
        keptLayers.delete(url);
      }
      there = now;
    },
    /** Which pictures a layer has, by kind, as ranges of channels; null where the manifest says it. */
    made: (name, layer) => (made ? (made.get(name)?.get(layer) ?? {}) : null),
    /** The networks there are. */
    index: (signal) => once(kept, index, "index", signal),
    /** The URL of a network's folder, with a slash at its end. */
    folder,
    /** The manifest of a network. */
    network: async (name, signal) => once(kept, `${await folder(name, signal)}network.json`, "network", signal),
    /** The images of a network that some filter refers to. */
    images: async (name, signal) => once(kept, `${await folder(name, signal)}images.json`, "images", signal),
    /** For each class, the filters that prefer it; a store that an older version wrote has none. */
    classes: async (name, signal) => once(kept, `${await folder(name, signal)}classes.json`, "classes", signal),
    /** By layer, a few filters with their best image; of stores that grow, those that are known so far. */
    previews: async (name, signal) => {
      if (best) return best.get(name) ?? {};
      return (await once(kept, `${await folder(name, signal)}previews.json`, "previews", signal)).layers;
    },
    /** One layer: `data` is the path that the manifest gives. */
    layer: async (name, data, signal) =>
      once(keptLayers, `${await folder(name, signal)}${urlOf(data)}`, "layer", signal),
    /** The comparisons there are. */
    comparisons,
    /** What a comparison of networks comes to. */
    comparison: async (name, signal) =>
      once(kept, `${await comparisonFolder(name, signal)}comparison.json`, "comparison", signal),
    /** What became of the filters of one layer: `data` is the path that the comparison gives. */
    changes: async (name, data, signal) =>
      once(keptLayers, `${await comparisonFolder(name, signal)}${urlOf(data)}`, "changes", signal),
  };
}
