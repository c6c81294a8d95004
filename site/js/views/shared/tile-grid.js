/**
 * A grid of thousands of links, of which only those near the window are in the page.
 *
 * Tiles are placed, not flowed, so that adding a row moves no other. The tile that has the focus stays in the
 * page however far one scrolls: taking it out would lose the visitor's place.
 */
import { h } from "../../dom/dom.js";
import { keyTarget, gridLayout, tilePosition, tilesInRange } from "../../layout/grid-layout.js";

/** Rows beyond the window that are kept, so that a turn of the wheel finds its pictures there. */
const SPARE = 3;

/**
 * After a leap only what is on the screen is put in the page at once; the rest follows this much later (in ms).
 * Of several leaps in such a time, as when the scroll bar is dragged, only the first and the last show pictures:
 * to ask for hundreds that nobody will see takes longer than a frame has.
 */
const CALM = 120;

/**
 * @param {object} options
 * @param {string} options.label what the grid holds, for those who do not see it
 * @param {(item: any, bare: boolean) => HTMLAnchorElement} options.make makes a tile; a bare one has no picture yet
 * @param {AbortSignal} options.signal ends the watching
 * @param {number} [options.frames] how many frames a tile has side by side
 */
export function tileGrid({ label, make, signal, frames = 1 }) {
  const node = h("ol", { class: "tiles", role: "list", "aria-label": label });
  const cells = new Map(); // index -> the list item that is in the page
  let items = [];
  let grid = null; // not laid out before it has a width
  let active = 0; // the tile that was last reached
  let drawnTop = 0; // where the window was when tiles were last put in the page
  let calm = 0; // a timer
  let leapTime = -Infinity;
  const bare = new Set(); // the tiles that have no picture yet

  const linkAt = (index) => cells.get(index)?.firstElementChild ?? null;
  const focused = () => node.contains(document.activeElement);

  function drop(index) {
    const cell = cells.get(index);
    // What nobody will see need not be fetched.
    for (const image of cell.querySelectorAll("img")) if (!image.complete) image.removeAttribute("src");
    cell.remove();
    cells.delete(index);
    bare.delete(index);
  }

  function put(index, after, hurried) {
    const { x, y } = tilePosition(grid, index);
    const link = make(items[index], hurried);
    if (hurried) bare.add(index);
    link.tabIndex = -1;
    const cell = h("li", { "aria-posinset": index + 1, "aria-setsize": items.length }, link);
    cell.dataset.index = index;
    cell.style.transform = `translate(${x}px, ${y}px)`;
    cells.set(index, cell);
    node.insertBefore(cell, after);
  }

  /** Put in the page what is near the window, in order, and take out the rest. */
  function draw() {
    if (!grid) return;
    const top = -node.getBoundingClientRect().top;
    const leapt = cells.size > 0 && Math.abs(top - drawnTop) > innerHeight;
    const hurried = leapt && performance.now() - leapTime < CALM;
    if (leapt) leapTime = performance.now();
    drawnTop = top;
    clearTimeout(calm);
    if (leapt) calm = setTimeout(draw, CALM);
    const [from, to] = tilesInRange(grid, top, top + innerHeight, leapt ? 0 : SPARE);
    const wanted = new Set(Array.from({ length: to - from }, (_, i) => from + i));
    if (active < items.length) wanted.add(active);
    const redone = focused() && bare.has(active) && !hurried;
    for (const index of [...cells.keys()]) if (!wanted.has(index) || (bare.has(index) && !hurried)) drop(index);
    let next = node.firstElementChild;
    for (const index of [...wanted].sort((a, b) => a - b)) {
      if (cells.get(index) === next && next) next = next.nextElementSibling;
      else put(index, next, hurried && index !== active);
    }
    if (redone) linkAt(active).focus({ preventScroll: true });
    mark(top);
  }

  /** One tile is in the tab order: the one with the focus, or else one that is on the screen. */
  function mark(top) {
    const [from, to] = tilesInRange(
      grid,
      Math.max(0, top + grid.tileHeight / 2),
      top + innerHeight - grid.tileHeight / 2,
    );
    const seen = active >= from && active < to;
    const stop = linkAt(focused() || seen || to <= from ? active : from);
    for (const link of node.querySelectorAll('[tabindex="0"]')) if (link !== stop) link.tabIndex = -1;
    if (stop) stop.tabIndex = 0;
  }

  function lay() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    grid = gridLayout({ count: items.length, width: node.clientWidth, view: innerWidth, rem, frames });
    node.style.height = `${grid.height}px`;
    node.style.setProperty("--tile", `${grid.tileWidth}px`);
  }

  /** After a change of width: lay out again, and keep the topmost tile where it was. */
  function relay() {
    if (node.clientWidth === 0) return;
    const old = grid;
    const top = old ? drawnTop : 0; // by now, what is above the grid may have moved it
    const [first] = old && top > 0 ? tilesInRange(old, top, top) : [0];
    const offset = old && top > 0 ? top - tilePosition(old, first).y : 0;
    lay();
    for (const [index, cell] of cells) {
      const { x, y } = tilePosition(grid, index);
      cell.style.transform = `translate(${x}px, ${y}px)`;
    }
    if (old && top > 0) {
      const now = -node.getBoundingClientRect().top;
      scrollBy(0, tilePosition(grid, first).y + offset - now);
    }
    draw();
  }

  function go(index) {
    active = index;
    draw();
    const link = linkAt(index);
    link.focus({ preventScroll: true });
    link.scrollIntoView({ block: "nearest" });
  }

  node.addEventListener("focusin", (event) => {
    const cell = event.target.closest("li");
    if (!cell) return;
    active = Number(cell.dataset.index);
    mark(-node.getBoundingClientRect().top);
  });
  node.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || !grid) return;
    const page = Math.floor(innerHeight / (grid.tileHeight + grid.gap)) - 1;
    const to = keyTarget(event.key, active, grid, page);
    if (to === null) return;
    event.preventDefault();
    event.stopPropagation();
    go(to);
  });

  return {
    node,
    /** Begin, once the node is in the page and has a width. */
    start() {
      relay();
      addEventListener("scroll", draw, { passive: true, signal });
      addEventListener("resize", () => grid?.width === node.clientWidth && draw(), { signal });
      // The parent grows when something above the grid does: then other rows are near the window.
      const watch = new ResizeObserver(() => (grid?.width === node.clientWidth ? draw() : relay()));
      watch.observe(node);
      if (node.parentElement) watch.observe(node.parentElement);
      signal.addEventListener("abort", () => (watch.disconnect(), clearTimeout(calm)), { once: true });
    },
    /**
     * Show these, in this order.
     * @param {any[]} list
     */
    show(list) {
      for (const index of [...cells.keys()]) drop(index);
      items = list;
      active = 0;
      grid = null; // hidden, it has no width
      if (node.clientWidth > 0) relay();
    },
    /**
     * The link of a tile, wherever it is, for the focus to go to.
     * @param {number} index
     * @returns {HTMLElement|null}
     */
    reveal(index) {
      if (index < 0 || index >= items.length) return null;
      active = index;
      draw();
      return linkAt(index);
    },
  };
}
