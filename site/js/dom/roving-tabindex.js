/** Roving tabindex: arrow keys move the focus among links or buttons, and one of them is in the tab order. */

/**
 * @param {HTMLElement} container
 * @param {() => Array<HTMLElement|SVGElement>} items those that can be reached, in order
 * @param {(item: HTMLElement|SVGElement) => void} [focus] how to move to one
 */
export function rovingTabindex(container, items, focus = (item) => item.focus()) {
  /** @param {HTMLElement|SVGElement|null|undefined} current the item that is in the tab order */
  const setCurrent = (current) => {
    for (const item of container.querySelectorAll('[tabindex="0"]')) item.setAttribute("tabindex", "-1");
    current?.setAttribute("tabindex", "0");
  };
  container.addEventListener("focusin", (event) => {
    const item = items().find((candidate) => candidate.contains(/** @type {Node} */ (event.target)));
    if (item) setCurrent(item);
  });
  container.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const all = items();
    const at = all.findIndex((item) => item === document.activeElement);
    if (at < 0) return;
    const to = nextIndex(all, at, event.key);
    if (to === null) return;
    event.preventDefault();
    event.stopPropagation();
    if (all[to]) focus(all[to]);
  });
  return { reset: () => setCurrent(items()[0]), setCurrent };
}

/**
 * @param {Element[]} all
 * @param {number} at
 * @param {string} key
 * @returns {number|null} null where the key does not move the focus
 */
function nextIndex(all, at, key) {
  switch (key) {
    case "ArrowRight":
      return Math.min(all.length - 1, at + 1);
    case "ArrowLeft":
      return Math.max(0, at - 1);
    case "Home":
      return 0;
    case "End":
      return all.length - 1;
    case "ArrowDown":
      return vertical(all, at, 1);
    case "ArrowUp":
      return vertical(all, at, -1);
    default:
      return null;
  }
}

/** The nearest item in the next row, by where items are on the screen. */
function vertical(all, at, sign) {
  const here = all[at].getBoundingClientRect();
  let best = at;
  let bestScore = Infinity;
  for (let i = at + sign; i >= 0 && i < all.length; i += sign) {
    const there = all[i].getBoundingClientRect();
    const down = (there.top - here.top) * sign;
    if (down < here.height / 2) continue;
    const score = down * 4 + Math.abs(there.left - here.left);
    if (score < bestScore) [best, bestScore] = [i, score];
    else if (down * 4 > bestScore) break;
  }
  return best;
}
