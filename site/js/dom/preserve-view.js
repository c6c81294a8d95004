/** Draw a view again while the visitor uses it: scroll position, focus and loaded pictures are preserved. */

/**
 * Whether the visitor is in the middle of something that a redraw would undo.
 * @param {HTMLElement} main
 */
export function isInteracting(main) {
  return main.matches(":active") || main.querySelector("select:focus") !== null;
}

/** @param {HTMLImageElement} image */
const keyOf = (image) => [image.dataset.picture ?? image.src, image.alt, image.style.cssText].join("\n");

/** The loaded pictures, by key. */
function loadedPictures(main) {
  const found = new Map();
  for (const image of main.querySelectorAll("img")) {
    if (!image.complete || image.naturalWidth === 0) continue;
    const key = keyOf(image);
    found.set(key, [...(found.get(key) ?? []), image]);
  }
  return found;
}

/**
 * Redraw a view and reuse its loaded pictures, which would otherwise flash.
 * @param {HTMLElement} main
 * @param {() => void} draw
 */
export function preserveView(main, draw) {
  const before = loadedPictures(main);
  const active = main.contains(document.activeElement) ? document.activeElement : null;
  const href = active?.getAttribute("href") ?? null;
  const [x, y] = [scrollX, scrollY];
  draw();
  scrollTo(x, y);
  for (const image of main.querySelectorAll("img")) {
    const same = before.get(keyOf(image))?.pop();
    if (same) image.replaceWith(same);
  }
  if (href === null) return;
  const link = [...main.querySelectorAll("a")].find((candidate) => candidate.getAttribute("href") === href);
  link?.focus({ preventScroll: true });
}

/**
 * Redraw controls and keep the focus on the control that has it, found by its id or its `data-value`.
 * @param {HTMLElement} container
 * @param {() => void} draw
 */
export function preserveFocus(container, draw) {
  const { activeElement } = document;
  const active = activeElement instanceof HTMLElement && container.contains(activeElement) ? activeElement : null;
  const id = active?.id;
  const value = active?.dataset.value;
  draw();
  const all = /** @type {HTMLElement[]} */ ([...container.querySelectorAll("[id], [data-value]")]);
  const isSame = (control) => (id ? control.id === id : control.dataset.value === value);
  if (id || value !== undefined) all.find(isSame)?.focus();
}
