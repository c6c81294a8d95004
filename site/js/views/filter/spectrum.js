/** The spectrum of a filter: images from what silences it to what excites it. */
import { h, replace } from "../../dom/dom.js";
import { frame } from "../../dom/pictures.js";
import { className } from "../../data/manifest.js";
import { quantileName, spectrumOf, spectrumPath } from "../../data/spectrum.js";
import { number, truncate } from "../../text/format.js";
import { onceNearWindow } from "../shared/near-window.js";
import { receptiveFieldBox, wholeImage } from "../shared/figures.js";

/** @import { Bin } from "../../plots/bins.js" */
/** @import { Context, FilterScene, QuantileImages } from "../../types.js" */

/**
 * @param {FilterScene} scene
 * @param {QuantileImages["images"][number]} entry
 */
function thumbnail(scene, entry) {
  const { manifest, images } = scene;
  const [, height, width] = manifest.input.shape;
  const record = images[entry.image];
  const name = record ? truncate(className(manifest, record.class), 60) : `image ${entry.image}`;
  return h(
    "figure",
    { class: "thumb", title: record ? `${name}\n${record.path}` : name, data: { score: entry.score } },
    frame([height, width], wholeImage(scene, entry.image, name), receptiveFieldBox(scene, entry)),
    h("figcaption", null, number(entry.score)),
  );
}

/**
 * @param {FilterScene} scene
 * @param {QuantileImages[]} spectrum
 */
function strip(scene, spectrum) {
  return h(
    "ol",
    { class: "spectrum", "aria-label": "Images by their strongest response, from the lowest to the highest" },
    spectrum.map(({ quantile, images }) =>
      h(
        "li",
        null,
        h("p", { class: "spectrum-name" }, quantileName(quantile)),
        h(
          "div",
          { class: "spectrum-images" },
          images.map((entry) => thumbnail(scene, entry)),
        ),
      ),
    ),
  );
}

/**
 * The spectrum of a filter, which is read when it comes near the window; null if the store has no spectra.
 * @param {FilterScene} scene
 * @param {Pick<Context, "store">} ctx
 * @returns {{node: HTMLElement, mark: (bin: Bin|null) => void}|null} `mark` highlights the images of a bin
 */
export function spectrumStrip(scene, { store }) {
  const { manifest, layer, filter, signal } = scene;
  if (!manifest.spectra) return null;
  const node = h("div", { class: "spectrum-body", "aria-busy": "true" });

  async function read() {
    try {
      const file = await store.spectra(manifest.name, spectrumPath(layer), signal);
      const spectrum = spectrumOf(file, filter.channel);
      if (!spectrum) throw new Error("The file of this layer does not say which.");
      replace(node, strip(scene, spectrum));
    } catch (error) {
      if (signal.aborted) return;
      const why = error instanceof Error ? truncate(error.message, 200) : "";
      replace(node, h("p", { class: "chart-note" }, `The images by response cannot be shown. ${why}`));
    }
    node.removeAttribute("aria-busy");
  }
  onceNearWindow(node, read, signal);
  return {
    node,
    mark(bin) {
      for (const image of /** @type {NodeListOf<HTMLElement>} */ (node.querySelectorAll(".thumb"))) {
        const score = Number(image.dataset.score);
        const isIn = bin !== null && score >= bin.from && score < bin.to;
        image.classList.toggle("in-bin", isIn);
      }
      node.classList.toggle("marked", bin !== null && node.querySelector(".in-bin") !== null);
    },
  };
}
