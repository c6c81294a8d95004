/** What a filter is made of and what it is used for: questions to circuits/NAME.json. Uses no DOM. */
import { layerFolder } from "./manifest.js";

/** @import { Circuit, CircuitPart, CircuitsFile, ExpandedFile, Kernel, Layer, Manifest, Size } from "../types.js" */

/** The letter of a weight that is zero, and how many letters lead from it to the scale of a filter. */
const ZERO = "i".charCodeAt(0);
const LEVELS = 8;

/**
 * Whether a store has circuits.
 * @param {Manifest} manifest
 */
export function hasCircuits(manifest) {
  return manifest.stages.circuits?.complete === true;
}

/**
 * The path of the circuits of a layer, in the store.
 * @param {Pick<Layer, "data">} layer
 */
export function circuitsPath(layer) {
  return `circuits/${layerFolder(layer)}.json`;
}

/**
 * The path of the expanded weights of a layer, in the store.
 * @param {Pick<Layer, "data">} layer
 */
export function expandedPath(layer) {
  return `expanded/${layerFolder(layer)}.json`;
}

/**
 * The expanded weights of a filter with respect to another.
 * @param {ExpandedFile} file of the layer of the filter
 * @param {number} channel
 * @param {{layer: Layer, channel: number}} upstream the other
 * @returns {{kernel: Kernel, scale: number}|null} null where the file does not say
 */
export function expandedKernel(file, channel, upstream) {
  if (!Array.isArray(file.filters) || !Array.isArray(file.upstream)) return null;
  const record = file.filters.find((filter) => filter?.channel === channel);
  const at = file.upstream.findIndex((source) => source?.layer === upstream.layer.name);
  const rows = Array.isArray(record?.kernels) ? record.kernels.filter(Array.isArray) : [];
  const row = rows.find(([source, other]) => source === at && other === upstream.channel);
  const size = kernelSize(file.upstream[at]?.kernel);
  const levels = row && kernelLevels(row[2], size);
  if (!levels || !(record.scale > 0) || !Number.isFinite(record.scale)) return null;
  return { kernel: { levels, size }, scale: record.scale };
}

/**
 * The weights of a kernel, in eighths of the scale of its filter.
 * @param {any} letters one for each weight, row by row
 * @param {Size|null} size
 * @returns {number[]|null} null without a kernel, or if it is not what its size says
 */
export function kernelLevels(letters, size) {
  if (typeof letters !== "string" || !size || !letters || letters.length !== size[0] * size[1]) return null;
  const levels = Array.from(letters, (letter) => letter.charCodeAt(0) - ZERO);
  return levels.every((level) => Math.abs(level) <= LEVELS) ? levels : null;
}

/** @returns {Size|null} */
function kernelSize(kernel) {
  const isSide = (side) => Number.isInteger(side) && side > 0 && side < 100;
  if (!Array.isArray(kernel) || !kernel.length || kernel.length > 2 || !kernel.every(isSide)) return null;
  return kernel.length === 1 ? [1, kernel[0]] : [kernel[0], kernel[1]];
}

/**
 * The circuit of a filter. Rows that name what the network does not have are left out.
 * @param {CircuitsFile} file of its layer
 * @param {Manifest} manifest
 * @param {number} channel
 * @returns {Circuit|null} null where the file does not say
 */
export function circuitOf(file, manifest, channel) {
  const lists = [file.filters, file.upstream, file.downstream];
  const record = lists.every(Array.isArray) ? file.filters[channel] : null;
  if (!record) return null;
  const { score, excitation, inhibition, rest, scale } = record;
  if (![score, excitation, inhibition, rest].every(Number.isFinite)) return null;
  const layers = new Map(manifest.layers.map((layer) => [layer.name, layer]));
  const upstream = file.upstream.map((source) => ({
    layer: layers.get(source?.layer),
    kernel: kernelSize(source?.kernel),
  }));
  const downstream = file.downstream.map((name) => ({ layer: layers.get(name), kernel: null }));
  const total = excitation - inhibition;

  /** @returns {CircuitPart[]} */
  const parts = (rows, sources, shareOf) =>
    (Array.isArray(rows) ? rows : []).flatMap((row) => {
      const [at, other, value, letters] = Array.isArray(row) ? row : [];
      const { layer, kernel } = sources[at] ?? {};
      const exists = layer && Number.isInteger(other) && other >= 0 && other < layer.channels;
      if (!exists || !Number.isFinite(value) || value === 0) return [];
      const levels = kernelLevels(letters, kernel);
      return [{ layer, channel: other, value, share: shareOf(value), kernel: levels && { levels, size: kernel } }];
    });
  const shareOfSum = (value) => (total > 0 ? value / total : 0);
  const sumOf = (sum) => (Number.isFinite(sum) ? sum : 0);
  return {
    score,
    excitation,
    inhibition,
    rest,
    scale: Number.isFinite(scale) ? scale : 0,
    overAllImages: file.images === "all",
    repeated: file.repeated === true,
    upstream: upstream.flatMap(({ layer }, at) => {
      const [positive, negative] = record.sums?.[at] ?? [];
      return layer ? [{ layer, excitation: sumOf(positive), inhibition: sumOf(negative) }] : [];
    }),
    downstream: downstream.flatMap(({ layer }) => (layer ? [layer] : [])),
    excitedBy: parts(record.excited_by, upstream, shareOfSum).filter(({ value }) => value > 0),
    inhibitedBy: parts(record.inhibited_by, upstream, shareOfSum).filter(({ value }) => value < 0),
    usedBy: parts(record.used_by, downstream, (share) => share),
  };
}

/**
 * The neighbours of a filter in a circuit, the largest share first.
 * @param {Circuit} circuit
 * @param {string} direction one of DIRECTIONS
 * @returns {CircuitPart[]}
 */
export function neighboursIn(circuit, direction) {
  const parts = direction === "down" ? circuit.usedBy : [...circuit.excitedBy, ...circuit.inhibitedBy];
  return [...parts].sort((a, b) => Math.abs(b.share) - Math.abs(a.share));
}

/**
 * The share of a sum that some parts give together.
 * @param {CircuitPart[]} parts
 * @param {number} sum the excitation, or the inhibition
 */
export function coveredShare(parts, sum) {
  if (sum === 0) return 0;
  return Math.min(1, Math.max(0, parts.reduce((all, { value }) => all + value, 0) / sum));
}

/**
 * Parts by their layer, the layer with the largest sum first; layers without a part are left out.
 * @param {CircuitPart[]} parts
 * @param {Circuit["upstream"]} upstream
 * @param {"excitation"|"inhibition"} sign
 * @returns {Array<{layer: Layer, sum: number, parts: CircuitPart[]}>}
 */
export function partsByLayer(parts, upstream, sign) {
  return upstream
    .map((source) => ({
      layer: source.layer,
      sum: source[sign],
      parts: parts.filter(({ layer }) => layer === source.layer),
    }))
    .filter((group) => group.parts.length)
    .sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
}

/**
 * What a kernel looks like, in words.
 * @param {Kernel} kernel
 * @param {(weight: number) => string} text of the largest weight, given in units of the scale
 */
export function kernelText({ levels, size: [height, width] }, text) {
  const at = levels.reduce((best, level, i) => (Math.abs(level) > Math.abs(levels[best]) ? i : best), 0);
  const third = (place, side, words) => (side < 3 ? "" : words[Math.min(2, Math.floor((place * 3) / side))]);
  const row = third(Math.floor(at / width), height, ["top", "middle", "bottom"]);
  const column = third(at % width, width, ["left", "centre", "right"]);
  const positive = levels.filter((level) => level > 0).length;
  const negative = levels.filter((level) => level < 0).length;
  const where = [row, column].filter(Boolean).join(" ").replace("middle centre", "centre");
  const place = where ? `, at the ${where}` : "";
  return (
    `kernel of ${height} by ${width} weights, ${positive} positive and ${negative} negative; ` +
    `the largest is ${text(levels[at] / LEVELS)}${place}`
  );
}

/**
 * The shapes of a kernel's picture: the cells of each level as one path, in units of a cell.
 * @param {Kernel} kernel
 * @returns {Array<{level: number, d: string}>} `level` from -1 to 1; zeros are left out
 */
export function kernelPaths({ levels, size: [, width] }) {
  /** @type {Map<number, string>} */
  const paths = new Map();
  levels.forEach((level, i) => {
    const cell = `M${i % width},${Math.floor(i / width)}h1v1h-1z`;
    if (level) paths.set(level, (paths.get(level) ?? "") + cell);
  });
  return [...paths].map(([level, d]) => ({ level: level / LEVELS, d }));
}
