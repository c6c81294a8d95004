/** Which part of a tile fills a square: its middle, and of a crop at the border only what lies in the image. Uses no DOM. */
import { tileSize } from "../data/manifest.js";

/** @import { Entry, Layer, Manifest } from "../types.js" */

/**
 * Where the whole tile is placed, in units of the side of the square.
 * @typedef {{width: number, height: number, left: number, top: number}} Part
 */

/**
 * The largest centered square of a rectangle.
 * @param {number[]} size `[height, width]` of the tile
 * @param {number[]} rectangle `[left, top, right, bottom]` of the tile that may be shown
 * @returns {Part|null} null where that is the whole tile, and a square
 */
function centeredSquare([height, width], [left, top, right, bottom]) {
  const side = Math.min(right - left, bottom - top);
  if (side <= 0 || (side === width && side === height)) return null;
  const [x, y] = [left + (right - left - side) / 2, top + (bottom - top - side) / 2];
  return { width: width / side, height: height / side, left: 0 - x / side, top: 0 - y / side };
}

/**
 * Whether a part of a crop is padding.
 * @param {Layer} layer
 * @param {Pick<Entry, "box">} entry
 */
export function isPadded(layer, { box: [left, top, right, bottom] }) {
  const field = layer.receptive_field;
  return Boolean(field) && (bottom - top < field.size[0] || right - left < field.size[1]);
}

/**
 * The part of a tile to show in a square frame.
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @param {string} kind of picture
 * @param {Pick<Entry, "position"|"box">|null} [entry] of a `max` list, if known: it tells the padding of a crop
 * @returns {Part|null} null where the tile fills the square as it is
 */
export function cropSquare(manifest, layer, kind, entry = null) {
  const field = layer.receptive_field;
  if (kind.startsWith("cropped") && field && entry?.position && entry.box) {
    const [top, left] = [0, 1].map((axis) => entry.position[axis] * field.stride[axis] + field.offset[axis]);
    const [x0, y0, x1, y1] = entry.box;
    return centeredSquare(field.size, [x0 - left, y0 - top, x1 - left, y1 - top]);
  }
  const size = tileSize(manifest, kind, layer);
  return size ? centeredSquare(size, [0, 0, size[1], size[0]]) : null;
}
