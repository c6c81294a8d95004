/** Where a large drawing lies in a small window: `{k, x, y}` scales it by k, then moves it by (x, y). Pure. */

/** @typedef {{k: number, x: number, y: number}} Place */
/** @typedef {{width: number, height: number}} Size */
/** @typedef {{x: number, y: number, width: number, height: number}} Box */

/** Above this, a card's small print can be read. */
export const READABLE = 0.7;
/** From so many layers, a network that is not a chain is a map rather than a page. */
const MAP_FROM = 16;
/** Narrower than this, layers are a list. */
const LIST_BELOW = 620;

/**
 * How to show the layers.
 * @param {{room: number, layers: number, chain: boolean}} graph
 * @returns {"list"|"rows"|"map"}
 */
export function layoutMode({ room, layers, chain }) {
  if (room < LIST_BELOW) return "list";
  return chain || layers < MAP_FROM ? "rows" : "map";
}

/**
 * All of it in the middle of the window, never enlarged.
 * @param {Size} world
 * @param {Size} view
 * @param {number} margin
 * @returns {Place}
 */
export function fitToView(world, view, margin) {
  const across = (view.width - 2 * margin) / world.width;
  const down = (view.height - 2 * margin) / world.height;
  const k = Math.max(0.02, Math.min(1, across, down));
  return { k, x: (view.width - k * world.width) / 2, y: (view.height - k * world.height) / 2 };
}

/** Whether nothing of the drawing lies outside the window. */
export function showsAll({ k, x, y }, world, view) {
  const slack = 1;
  return (
    x >= -slack &&
    y >= -slack &&
    x + k * world.width <= view.width + slack &&
    y + k * world.height <= view.height + slack
  );
}

/** The part of the drawing that the window shows, in the drawing's own measure. */
export function visibleBox({ k, x, y }, view) {
  return { x: -x / k, y: -y / k, width: view.width / k, height: view.height / k };
}

/**
 * Move so that a box can be seen whole; stay where it can be already.
 * @param {Place} place
 * @param {Box} box
 * @param {Size} view
 * @param {{margin: number, corner: Size|null}} keep the margin, and the lower right corner that is covered
 * @returns {Place}
 */
export function reveal(place, box, view, { margin, corner }) {
  const { k, x, y } = place;
  const [left, top] = [x + k * box.x, y + k * box.y];
  const [right, bottom] = [left + k * box.width, top + k * box.height];
  const inside = left >= margin && top >= margin && right <= view.width - margin && bottom <= view.height - margin;
  const covered = corner && right > view.width - corner.width && bottom > view.height - corner.height;
  if (inside && !covered) return place;
  return {
    k,
    x: view.width / 2 - k * (box.x + box.width / 2),
    y: view.height / 2 - k * (box.y + box.height / 2),
  };
}
