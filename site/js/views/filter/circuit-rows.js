/** Rows of filters up- or downstream of a filter: share, kernel, pictures, and a link to each. */
import { h, replace } from "../../dom/dom.js";
import { frame } from "../../dom/pictures.js";
import { PICTURES, hasCrops } from "../../data/manifest.js";
import { pictureSources } from "../../data/packs.js";
import { formatRoute } from "../../data/route.js";
import { kernelPicture } from "../../plots/kernel.js";
import { percent, truncate, truncateStart } from "../../text/format.js";
import { bestImage, bestTile } from "../shared/figures.js";

/** @import { CircuitPart, Filter, FilterScene, Layer, LayerFile, LayerScene, Store } from "../../types.js" */

/** @typedef {ReturnType<typeof partRows>} PartRows */

/**
 * A share with its sign.
 * @param {number} share
 */
export function signedPercent(share) {
  return `${share < 0 ? "\u2212" : ""}${percent(Math.abs(share))}`;
}

/**
 * The best crop of a filter, or its best image where a unit sees all of it.
 * @param {LayerScene} scene
 * @param {Filter} filter
 */
function bestPicture(scene, filter) {
  const { channel, max, pictures } = filter;
  if (!max.length) return h("span", { class: "missing" }, "no picture");
  if (!hasCrops(scene.manifest, scene.layer) || !pictures.includes("cropped")) return bestImage(scene, channel, max[0]);
  const alt = `${PICTURES.cropped} of filter ${channel}`;
  return bestTile(scene, "cropped", channel, { alt, tiles: max.length, square: true, entry: max[0] });
}

/**
 * @param {FilterScene} scene
 * @param {Store} store
 */
export function partRows({ manifest, root, show, signal }, store) {
  /** @type {Map<Layer, Promise<{scene: LayerScene, file: LayerFile}|null>>} */
  const opened = new Map();

  /** The pictures of a layer, once its file is read. @param {Layer} layer */
  function open(layer) {
    const reading = async () => {
      const file = await store.layer(manifest.name, layer.data, signal);
      return { file, scene: { manifest, root, layer, show, sources: pictureSources({ manifest, root, layer, file }) } };
    };
    if (!opened.has(layer))
      opened.set(
        layer,
        reading().catch(() => null),
      );
    return opened.get(layer);
  }

  /**
   * @param {CircuitPart} part
   * @param {number|null} scale of the kernels; null where there are none, and then no filter image either
   */
  function row({ layer, channel, share, kernel }, scale) {
    const [crop, image] = [frame(null), frame(null)];
    const name = h("span", { class: "part-label", title: layer.name });
    const label = (text) =>
      replace(
        name,
        h("bdi", null, truncateStart(layer.name, 28)),
        h("wbr"),
        h("span", { class: "part-channel" }, ":", h("b", null, channel)),
        text,
      );
    label(null);
    open(layer).then((found) => {
      const filter = found?.file.filters.find((candidate) => candidate.channel === channel);
      if (signal.aborted) return;
      if (!filter) return [crop, image].forEach((box) => replace(box, h("span", { class: "missing" }, "no picture")));
      replace(crop, bestPicture(found.scene, filter));
      if (scale !== null && filter.pictures.includes("max_activ")) {
        const alt = `${PICTURES.max_activ} of filter ${channel}`;
        replace(image, bestTile(found.scene, "max_activ", channel, { alt, tiles: 1 }));
      } else image.remove();
      const title = found.file.names?.[channel];
      if (title) label(h("span", { class: "part-title" }, truncate(title, 40)));
    });
    return h(
      "li",
      null,
      h(
        "a",
        { class: "part-row", href: formatRoute({ network: manifest.name, layer: layer.name, channel }) },
        h("span", { class: `part-share ${share < 0 ? "inhibiting" : "exciting"}` }, signedPercent(share)),
        kernel ? kernelPicture(kernel, scale) : null,
        crop,
        scale === null ? null : image,
        name,
      ),
    );
  }

  return {
    /**
     * @param {CircuitPart[]} parts
     * @param {number|null} scale of the kernels; null without kernels and filter images
     */
    list: (parts, scale) =>
      h(
        "ul",
        { class: "part-rows" },
        parts.map((part) => row(part, scale)),
      ),
    /**
     * A few of some parts, and the others on demand.
     * @param {CircuitPart[]} parts
     * @param {number} first how many are shown at first
     * @param {(shown: CircuitPart[]) => any} draw
     */
    more(parts, first, draw) {
      const body = h("div", { class: "part-list" }, draw(parts.slice(0, first)));
      const rest = parts.length - first;
      const all = () => {
        replace(body, draw(parts));
        button.remove();
        /** @type {HTMLElement|undefined} */ ([...body.querySelectorAll(".part-row")][first])?.focus();
      };
      const button = h("button", { type: "button", class: "button", on: { click: all } }, `Show ${rest} more`);
      return h("div", { class: "part-group" }, body, rest > 0 ? button : null);
    },
  };
}
