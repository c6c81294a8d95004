/** Load pictures of a view: files as the browser does, parts of packs when they come near the window. */
import { savesData } from "../data/prefetch.js";

/** @import { Part, PictureSource, ShowPicture } from "../types.js" */
/** @import { PackLoader } from "../data/pack-loader.js" */

/** How far from the window a picture is loaded. */
const NEAR = "400px";

/**
 * Pictures of at most so many bytes are put into their URLs. Another process serves the URLs of blobs, and asking it for
 * each of a hundred tiles takes longer than a frame.
 */
const INLINE = 4096;

const idle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 300));

/**
 * A URL in this page for the bytes of a picture.
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
function pictureUrl(bytes) {
  if (bytes.length > INLINE) return URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
  return `data:image/jpeg;base64,${btoa(String.fromCharCode(...bytes))}`;
}

/**
 * @param {PackLoader} packs
 * @param {AbortSignal} signal of the view: then loading stops, and the URLs of its pictures are revoked
 * @returns {{show: ShowPicture, prefetch: (sources: Array<PictureSource|null>) => void}}
 */
export function pictureLoading(packs, signal) {
  /** @type {Map<string, Promise<string>>} */
  const urls = new Map(); // by part, its URL in this page: all tiles of a strip share it
  /** @type {WeakMap<Element, PictureSource>} */
  const waiting = new WeakMap();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        load(/** @type {HTMLImageElement} */ (target), waiting.get(target));
      }
    },
    { rootMargin: NEAR, scrollMargin: NEAR },
  );
  signal.addEventListener("abort", release, { once: true });

  function release() {
    observer.disconnect();
    for (const url of urls.values()) url.then((text) => URL.revokeObjectURL(text)).catch(() => {});
  }

  /** @param {Part} part */
  function urlOf(part) {
    const key = `${part.url}#${part.start}-${part.end}`;
    if (!urls.has(key)) {
      const url = packs.load(part, signal).then(pictureUrl);
      urls.set(key, url);
      url.catch(() => urls.delete(key)); // the next picture that needs it tries again
    }
    return urls.get(key);
  }

  /**
   * @param {HTMLImageElement} image
   * @param {PictureSource} source
   */
  async function load(image, source) {
    try {
      let found = source;
      while ("find" in found) found = await found.find();
      const url = "start" in found ? await urlOf(found) : found.url;
      if (!signal.aborted) image.src = url;
    } catch {
      if (!signal.aborted) image.dispatchEvent(new Event("error"));
    }
  }

  return {
    show(image, source, eager = false) {
      image.dataset.picture = source.name;
      if ("url" in source && !("start" in source)) {
        if (!eager) image.loading = "lazy";
        image.src = source.url;
      } else if (eager) {
        load(image, source);
      } else {
        waiting.set(image, source);
        observer.observe(image);
      }
    },
    prefetch(sources) {
      if (savesData()) return;
      const found = sources.filter((source) => source !== null);
      const parts = found.filter((source) => "start" in source);
      const files = found.flatMap((source) => ("url" in source && !("start" in source) ? [source.url] : []));
      // The page's own pictures come first.
      const begin = () => {
        for (const part of parts) packs.load(part, signal).catch(() => {});
        prefetchFiles(files, signal);
      };
      if (document.readyState === "complete") idle(begin);
      else addEventListener("load", () => idle(begin), { once: true, signal });
    },
  };
}

/**
 * Load pictures one after the other; failures are ignored.
 * @param {string[]} urls
 * @param {AbortSignal} signal stops it, and aborts what is being loaded
 */
function prefetchFiles(urls, signal) {
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
  next();
}
