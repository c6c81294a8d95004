/** The spectrum of a filter: images at quantiles of its maxima. Uses no DOM. */
import { layerFolder } from "./manifest.js";

/** @import { Layer, QuantileImages, SpectrumFile } from "../types.js" */

/**
 * The path of the spectra of a layer, in the store.
 * @param {Pick<Layer, "data">} layer
 */
export function spectrumPath(layer) {
  return `spectrum/${layerFolder(layer)}.json`;
}

/**
 * The spectrum of a filter; images that are not what the format says are left out.
 * @param {SpectrumFile} file of its layer
 * @param {number} channel
 * @returns {QuantileImages[]|null} null where the file does not say
 */
export function spectrumOf(file, channel) {
  const rows = Array.isArray(file.filters) ? file.filters[channel] : null;
  if (!Array.isArray(rows) || !Array.isArray(file.quantiles) || rows.length !== file.quantiles.length) return null;
  const isNumbers = (list, length) => Array.isArray(list) && list.length === length && list.every(Number.isFinite);
  return file.quantiles.map((quantile, at) => ({
    quantile,
    images: (Array.isArray(rows[at]) ? rows[at] : []).flatMap((row) => {
      const [image, score, position, box] = Array.isArray(row) ? row : [];
      const isEntry = Number.isInteger(image) && Number.isFinite(score) && isNumbers(position, 2) && isNumbers(box, 4);
      return isEntry ? [{ image, score, position, box }] : [];
    }),
  }));
}

/**
 * What a quantile is called.
 * @param {number} quantile
 */
export function quantileName(quantile) {
  if (quantile === 0) return "minimum";
  if (quantile === 0.5) return "median";
  return `${Math.round(quantile * 100)}\u00a0%`;
}
