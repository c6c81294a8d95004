/** Read the circuits of the layers that a tree reaches. */
import { circuitOf, circuitsPath } from "../../data/circuits.js";
import { filterKey } from "../../data/circuit-tree.js";

/** @import { CircuitsFile, Context, Layer, Manifest } from "../../types.js" */

/**
 * The circuits that have been read, by filter.
 * @param {Context} ctx
 * @param {Manifest} manifest
 */
export function circuitReader({ store, signal }, manifest) {
  /** @type {Map<Layer, CircuitsFile|null>} */
  const files = new Map();
  const found = new Map();
  return {
    failed: () => [...files].flatMap(([layer, file]) => (file ? [] : [layer.name])),
    circuit(layer, channel) {
      if (!files.has(layer)) return undefined;
      const key = filterKey({ layer, channel });
      const file = files.get(layer);
      if (!found.has(key)) found.set(key, file && circuitOf(file, manifest, channel));
      return found.get(key);
    },
    async read(layers) {
      const reading = [...layers].map(async (layer) => {
        const file = await store.circuits(manifest.name, circuitsPath(layer), signal).catch(() => null);
        if (signal.aborted) return;
        files.set(layer, file);
      });
      await Promise.all(reading);
    },
  };
}
