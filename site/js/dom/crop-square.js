/** Which part of a tile of a strip fills a square: its middle, and of a crop at a border only what lies in the image. Pure. */
import { tileSize } from "../data/manifest.js";

/**
 * @typedef {object} Part where a whole tile is placed, measured in sides of the square that shows a part of it
 * @property {number} width
 * @property {number} height
 * @property {number} left
 * @property {number} top
 */

/**
 * @param {number[]} size `[height, width]` of the tile
 * @param {number[]} inside `[left, top, right, bottom]` of it that may be shown
 * @returns {Part|null} null where that is the whole tile, and a square
 */
function placed([height, width], [left, top, right, bottom]) {
  const side = Math.min(right - left, bottom - top);
  if (side <= 0 || (side === width && side === height)) return null;
  const [x, y] = [left + (right - left - side) / 2, top + (bottom - top - side) / 2];
  return { width: width / side, height: height / side, left: 0 - x / side, top: 0 - y / side };
}

/** Whether a part of a crop is padding. */
export function isPadded(layer, { box: [left, top, right, bottom] }) {
  const seen = layer.receptive_field;
  return Boolean(seen) && (bottom - top < seen.size[0] || right - left < seen.size[1]);
}

/**
 * @param {object} manifest
 * @param {object} layer
 * @param {string} folder of strips
 * @param {{position: number[], box: number[]}|null} [entry] of a `max` list, where it is known: what is padding in a crop
 * @returns {Part|null} null where a tile fills the square as it is
 */
export function cropSquare(manifest, layer, folder, entry = null) {
  const seen = layer.receptive_field;
  if (folder.startsWith("cropped") && seen && entry?.position && entry.box) {
    const [top, left] = [0, 1].map((axis) => entry.position[axis] * seen.stride[axis] + seen.offset[axis]);
    const [x0, y0, x1, y1] = entry.box;
    return placed(seen.size, [x0 - left, y0 - top, x1 - left, y1 - top]);
  }
  const size = tileSize(manifest, folder, layer);
  return size ? placed(size, [0, 0, size[1], size[0]]) : null;
}
