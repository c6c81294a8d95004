/** Fetch the pictures of the views that the visitor is likely to open next, while the browser is idle. */
import { savesData } from "../data/prefetch.js";

const idle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 300));

/**
 * Load pictures one after the other; failures are ignored.
 * @param {string[]} urls
 * @param {AbortSignal} signal stops it, and aborts what is being loaded
 */
export function prefetchPictures(urls, signal) {
  if (savesData()) return;
  const queue = [...new Set(urls)];
  // Kept until the end: the browser may drop a picture that nothing refers to.
  const loaded = [];
  const next = () => {
    const src = queue.shift();
    if (src === undefined || signal.aborted) return;
    const image = new Image();
    loaded.push(image);
    image.fetchPriority = "low";
    image.onload = image.onerror = () => idle(next);
    image.src = src;
  };
  signal.addEventListener(
    "abort",
    () => {
      for (const image of loaded) if (!image.complete) image.removeAttribute("src");
    },
    { once: true },
  );
  // The page's own pictures come first.
  if (document.readyState === "complete") idle(next);
  else addEventListener("load", () => idle(next), { once: true, signal });
}
