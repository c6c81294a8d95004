/** Layout of a grid of equal tiles: the position of each, and which are near the window. Uses no DOM. */

/** The padding of a tile and the gap between its frames, in px, as in the stylesheet. */
const PADDING = 3;
const FRAME_GAP = 3;

/**
 * @typedef {object} Grid
 * @property {number} count tiles
 * @property {number} width of the grid
 * @property {number} columns
 * @property {number} rows
 * @property {number} tileWidth
 * @property {number} tileHeight
 * @property {number} gap between tiles
 * @property {number} height of all rows
 */

/**
 * Lay out equal tiles in as many columns as fit.
 * @param {object} space
 * @param {number} space.count tiles
 * @param {number} space.width of the grid
 * @param {number} space.view width of the window: larger windows have larger tiles
 * @param {number} [space.rem] the root font size, in px
 * @param {number} [space.frames] how many square frames a tile has side by side
 * @returns {Grid}
 */
export function gridLayout({ count, width, view, rem = 16, frames = 1 }) {
  const one = view <= 640 ? 84 : Math.min(168, Math.max(96, view * 0.084));
  // Side by side each may be a little smaller: two of them fit a phone.
  const least = frames === 1 ? one : frames * one * 0.9;
  const gap = Math.round(Math.min(14, Math.max(8, view * 0.008)));
  const columns = Math.max(1, Math.floor((width + gap) / (least + gap)));
  const tileWidth = Math.max(1, Math.floor((width - gap * (columns - 1)) / columns));
  const side = (tileWidth - 2 * PADDING - (frames - 1) * FRAME_GAP) / frames;
  // Frames are square, with a line of text below.
  const tileHeight = Math.ceil(side) + Math.ceil(rem * 0.84 * 1.4) + 3 * PADDING;
  const rows = Math.ceil(count / columns);
  return {
    count,
    width,
    columns,
    rows,
    tileWidth,
    tileHeight,
    gap,
    height: Math.max(0, rows * (tileHeight + gap) - gap),
  };
}

/**
 * The position of a tile.
 * @param {Grid} grid
 * @param {number} index
 */
export function tilePosition({ columns, tileWidth, tileHeight, gap }, index) {
  return { x: (index % columns) * (tileWidth + gap), y: Math.floor(index / columns) * (tileHeight + gap) };
}

/**
 * The tiles whose rows overlap a vertical range of the grid.
 * @param {Grid} grid
 * @param {number} top measured from the grid's top
 * @param {number} bottom
 * @param {number} [spare] rows to add on either side
 * @returns {[number, number]} the first, and the one after the last
 */
export function tilesInRange({ count, columns, rows, tileHeight, gap }, top, bottom, spare = 0) {
  const row = (y) => Math.floor(y / (tileHeight + gap));
  const within = (value) => Math.max(0, Math.min(rows, value));
  const from = within(row(top) - spare);
  const to = Math.max(from, within(row(bottom) + 1 + spare));
  return [Math.min(count, from * columns), Math.min(count, to * columns)];
}

/**
 * The tile that a key moves to; null if the key does not move.
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
