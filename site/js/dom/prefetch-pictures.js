/** Fetching pictures that will probably be asked for next, when there is nothing else to do. */

const idle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 300));

/**
 * Load pictures one after the other, quietly: what fails is not missed.
 * @param {string[]} urls
 * @param {AbortSignal} signal ends it, and what is under way
 */
export function prefetchPictures(urls, signal) {
  if (navigator.connection?.saveData) return;
  const left = [...new Set(urls)];
  // Held until the end: the browser may forget a picture that nobody refers to.
  const held = [];
  const next = () => {
    const src = left.shift();
    if (src === undefined || signal.aborted) return;
    const image = new Image();
    held.push(image);
    image.fetchPriority = "low";
    image.onload = image.onerror = () => idle(next);
    image.src = src;
  };
  signal.addEventListener(
    "abort",
    () => {
      for (const image of held) if (!image.complete) image.removeAttribute("src");
    },
    { once: true },
  );
  // After the page's own pictures: they were asked for before this is.
  if (document.readyState === "complete") idle(next);
  else addEventListener("load", () => idle(next), { once: true, signal });
}
