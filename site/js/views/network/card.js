/** A layer as a card: its name, a few pictures, and what it is. */
import { breakable, h, s } from "../../dom/dom.js";
import { frame, picture } from "../../dom/pictures.js";
import { hasCrops, previews, receptiveFieldShare } from "../../data/manifest.js";
import { previewSource } from "../../data/packs.js";
import { formatRoute } from "../../data/route.js";
import { count, sizeText, truncate, truncateStart } from "../../text/format.js";
import { bestTile, wholeImage } from "../shared/figures.js";
import { layerNumber } from "../shared/section.js";

/** @import { LayerScene } from "../../types.js" */

/** An icon: a square for the input, and in it the receptive field of a unit. */
function receptiveFieldIcon(share) {
  const side = Math.max(1.5, 22 * share);
  const at = 12 - side / 2;
  return s(
    "svg",
    { class: "field", viewBox: "0 0 24 24", "aria-hidden": "true" },
    s("rect", { class: "input", x: 1, y: 1, width: 22, height: 22, rx: 2 }),
    s("rect", { class: "seen", x: at, y: at, width: side, height: side, rx: share === 1 ? 2 : 0.5 }),
  );
}

/** The receptive field of a unit, in words. */
function receptiveFieldText(manifest, layer) {
  const part = layer.receptive_field && hasCrops(manifest, layer);
  return part ? `${sizeText(layer.receptive_field.size)} px` : "whole input";
}

/**
 * @param {LayerScene} scene
 * @param {import("../../data/manifest.js").PreviewPicture} preview
 * @param {boolean} eager
 */
function previewTile(scene, { kind, channel, image, entry, preview }, eager) {
  const source = previewSource(scene.root, scene.layer, kind, preview);
  if (kind === "image" && source) return picture({ source, show: scene.show, alt: "", eager });
  if (kind === "image") return wholeImage(scene, image, "", eager);
  const square = kind === "cropped";
  return bestTile(scene, kind, channel, { alt: "", source, tiles: square ? 2 : 1, eager, square, entry });
}

/**
 * @param {LayerScene} scene
 * @param {number} index of the layer
 * @param {object} options
 * @param {string|null} options.from the layers it follows, if not simply the previous one
 * @param {number} options.pictures how many
 * @param {import("../../data/manifest.js").PreviewSources} options.available
 */
export function layerCard(scene, index, { from, pictures: most, available }) {
  const { manifest, layer } = scene;
  const pictures = previews(manifest, layer, most, available);
  // Empty frames for pictures that are not computed yet: cards have one height, and nothing jumps.
  const awaited = available.made && !pictures.length ? Math.min(most, layer.channels) : 0;
  const href = formatRoute({ network: manifest.name, layer: layer.name });
  return h(
    "a",
    { class: "card", href, draggable: "false", tabindex: index === 0 ? "0" : "-1", data: { layer: layer.name } },
    h(
      "span",
      { class: "card-head" },
      layerNumber(index),
      h(
        "span",
        { class: "card-name", title: layer.name },
        h("bdi", { class: "name-full" }, truncate(layer.name, 80)),
        // For a small scale: the end of the name. The joiner keeps the ellipsis on the first line with what follows.
        h(
          "span",
          { class: "name-short", "aria-hidden": "true" },
          breakable(truncateStart(layer.name, 22).replace("\u2026", "\u2026\u2060")),
        ),
      ),
    ),
    h(
      "span",
      { class: "strip", "aria-hidden": "true" },
      pictures.map((preview) => frame(null, previewTile(scene, preview, index < 4))),
      Array.from({ length: awaited }, () => frame(null)),
    ),
    h(
      "span",
      { class: "card-facts" },
      h("span", { class: "card-filters" }, h("b", null, count(layer.channels)), " filters"),
      h(
        "span",
        { class: "card-field" },
        receptiveFieldIcon(receptiveFieldShare(manifest, layer)),
        receptiveFieldText(manifest, layer),
      ),
    ),
    h(
      "span",
      { class: "card-kind" },
      h("span", { class: "card-type", title: layer.kind }, truncate(layer.kind, 40)),
      h("span", { class: "card-shape" }, layer.shape.join("\u202f×\u202f")),
    ),
    from ? h("span", { class: "card-from" }, `from ${from}`) : null,
  );
}
