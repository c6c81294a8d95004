/** Drawing a view anew where the visitor is at work: what has not changed stays as it is. */

/** Whether the visitor is in the middle of something that a new drawing would take away. */
export function isInteracting(main) {
  return main.matches(":active") || main.querySelector("select:focus") !== null;
}

const keyOf = (image) => [image.src, image.alt, image.style.cssText].join("\n");

/** The pictures that are shown, by what makes two of them alike. */
function pictures(main) {
  const found = new Map();
  for (const image of main.querySelectorAll("img")) {
    if (!image.complete || image.naturalWidth === 0) continue;
    const key = keyOf(image);
    found.set(key, [...(found.get(key) ?? []), image]);
  }
  return found;
}

/**
 * Have a view drawn anew, and keep the place in the page, the focus and the pictures that are there already,
 * which would otherwise be blank for a moment.
 * @param {HTMLElement} main
 * @param {() => void} draw
 */
export function preserveView(main, draw) {
  const before = pictures(main);
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
  const link = [...main.querySelectorAll("a[href]")].find((one) => one.getAttribute("href") === href);
  link?.focus({ preventScroll: true });
}
