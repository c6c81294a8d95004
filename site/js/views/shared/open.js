/** Open what several views are made of; what the store lacks is a StoreError with a text for the visitor. */
import { StoreError } from "../../data/store.js";
import { truncate } from "../../text/format.js";

/** @import { Filter, ImagesFile, Layer, Manifest, Store } from "../../types.js" */

/**
 * A network's manifest and the URL of its folder.
 * @param {Store} store
 * @param {string} name
 * @param {AbortSignal} signal
 * @returns {Promise<{manifest: Manifest, root: string}>}
 */
export async function openNetwork(store, name, signal) {
  const [manifest, root] = await Promise.all([store.network(name, signal), store.folder(name, signal)]);
  return { manifest, root };
}

/**
 * @param {Manifest} manifest
 * @param {string|null} name
 * @returns {Layer}
 */
export function layerOf(manifest, name) {
  const layer = manifest.layers.find((candidate) => candidate.name === name);
  if (layer) return layer;
  throw new StoreError("unknown", `${truncate(manifest.name)} has no layer “${truncate(name)}”.`);
}

/**
 * @param {Filter[]} filters of a layer
 * @param {string} layer its name
 * @param {number} channel
 * @returns {Filter}
 */
export function filterOf(filters, layer, channel) {
  const filter = filters.find((candidate) => candidate.channel === channel);
  if (filter) return filter;
  throw new StoreError(
    "unknown",
    `${truncate(layer)} has no filter ${channel}: they are numbered from 0 to ${filters.length - 1}.`,
  );
}

/**
 * Read a file without which a view is still useful.
 * @template T
 * @param {Promise<T>} reading
 * @param {T} fallback
 * @param {AbortSignal} signal
 */
export async function optional(reading, fallback, signal) {
  try {
    return await reading;
  } catch (error) {
    if (signal.aborted) throw error;
    return fallback;
  }
}

/**
 * The paths and classes of a network's images, and where they lie.
 * @param {Store} store
 * @param {string} name
 * @param {AbortSignal} signal
 * @returns {Promise<ImagesFile|null>} null where they cannot be read
 */
export function openImages(store, name, signal) {
  return optional(store.images(name, signal), null, signal);
}
