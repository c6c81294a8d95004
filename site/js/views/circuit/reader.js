/** Read the circuits of the layers that a tree reaches, and expanded weights between its filters. */
import { circuitOf, circuitsPath, expandedKernel, expandedPath } from "../../data/circuits.js";
import { filterKey } from "../../data/circuit-tree.js";

/** @import { CircuitsFile, Context, ExpandedFile, Layer, Manifest } from "../../types.js" */

/**
 * The circuits that have been read, by filter, and the expanded weights.
 * @param {Context} ctx
 * @param {Manifest} manifest
 */
export function circuitReader({ store, signal }, manifest) {
  /** @type {Map<Layer, CircuitsFile|null>} */
  const files = new Map();
  /** @type {Map<Layer, ExpandedFile|null>} */
  const expanded = new Map();
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
    /**
     * The expanded weights of a filter with respect to another.
     * @param {{layer: Layer, channel: number}} filter
     * @param {{layer: Layer, channel: number}} upstream
     * @returns {ReturnType<typeof expandedKernel>|undefined} undefined where they are not read yet
     */
    expanded({ layer, channel }, upstream) {
      if (!manifest.expanded?.includes(layer.name)) return null;
      if (!expanded.has(layer)) return undefined;
      const file = expanded.get(layer);
      return file && expandedKernel(file, channel, upstream);
    },
    /** @param {Layer} layer */
    async readExpanded(layer) {
      const file = await store.expanded(manifest.name, expandedPath(layer), signal).catch(() => null);
      if (!signal.aborted) expanded.set(layer, file);
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
