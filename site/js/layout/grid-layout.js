/** Where each tile of a grid stands, and which of them are near the window. Pure. */

/** A tile's frames stand this far from its border, and from each other, as the stylesheet says. */
const BORDER = 3;
const BETWEEN = 3;

/**
 * @typedef {object} Grid
 * @property {number} count tiles
 * @property {number} width of the grid
 * @property {number} columns
 * @property {number} rows
 * @property {number} tile width of a tile
 * @property {number} tall height of a tile
 * @property {number} gap between tiles
 * @property {number} height of all rows
 */

/**
 * Lay out equal tiles in as many columns as fit.
 * @param {object} space
 * @param {number} space.count tiles
 * @param {number} space.width of the grid
 * @param {number} space.view width of the window: larger windows have larger tiles
 * @param {number} [space.rem] the visitor's text size
 * @param {number} [space.frames] how many square frames a tile has side by side
 * @returns {Grid}
 */
export function gridLayout({ count, width, view, rem = 16, frames = 1 }) {
  const one = view <= 640 ? 84 : Math.min(168, Math.max(96, view * 0.084));
  // Side by side each may be a little smaller: two of them fit a phone.
  const least = frames === 1 ? one : frames * one * 0.9;
  const gap = Math.round(Math.min(14, Math.max(8, view * 0.008)));
  const columns = Math.max(1, Math.floor((width + gap) / (least + gap)));
  const tile = Math.max(1, Math.floor((width - gap * (columns - 1)) / columns));
  const side = (tile - 2 * BORDER - (frames - 1) * BETWEEN) / frames;
  const tall = Math.ceil(side) + Math.ceil(rem * 0.84 * 1.4) + 3 * BORDER; // frames are square, a line of text is below
  const rows = Math.ceil(count / columns);
  return { count, width, columns, rows, tile, tall, gap, height: Math.max(0, rows * (tall + gap) - gap) };
}

/**
 * Where a tile stands.
 * @param {Grid} grid
 * @param {number} index
 */
export function tilePosition({ columns, tile, tall, gap }, index) {
  return { x: (index % columns) * (tile + gap), y: Math.floor(index / columns) * (tall + gap) };
}

/**
 * The tiles whose rows meet a stretch of the grid.
 * @param {Grid} grid
 * @param {number} top measured from the grid's top
 * @param {number} bottom
 * @param {number} [spare] rows to add on either side
 * @returns {[number, number]} the first, and the one after the last
 */
export function tilesInRange({ count, columns, rows, tall, gap }, top, bottom, spare = 0) {
  const row = (y) => Math.floor(y / (tall + gap));
  const within = (value) => Math.max(0, Math.min(rows, value));
  const from = within(row(top) - spare);
  const to = Math.max(from, within(row(bottom) + 1 + spare));
  return [Math.min(count, from * columns), Math.min(count, to * columns)];
}

/**
 * Where a key leads from a tile; null where it leads nowhere.
 * @param {string} key as in KeyboardEvent.key
 * @param {number} at
 * @param {Grid} grid
 * @param {number} page rows that the window holds
 * @returns {number|null}
 */
export function keyTarget(key, at, { count, columns, rows }, page) {
  const jump = (by) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const to = Math.max(0, Math.min(rows - 1, row + by));
    // The last row may be short: its last tile is then the nearest.
    return Math.min(count - 1, to * columns + column);
  };
  switch (key) {
    case "ArrowRight":
      return Math.min(count - 1, at + 1);
    case "ArrowLeft":
      return Math.max(0, at - 1);
    case "ArrowDown":
      return jump(1);
    case "ArrowUp":
      return jump(-1);
    case "PageDown":
      return jump(Math.max(1, page));
    case "PageUp":
      return jump(-Math.max(1, page));
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return null;
  }
}
