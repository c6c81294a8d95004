/** A layer as a card: its name, a few pictures, what it is. */
import { breakable, h, s } from "../../dom/dom.js";
import { count, truncate, truncateStart, sizeText } from "../../text/format.js";
import { hasCrops, imageUrl, pictureUrl, previews, receptiveFieldShare, tileSize } from "../../data/manifest.js";
import { frame, picture } from "../../dom/pictures.js";
import { cropSquare } from "../../dom/crop-square.js";
import { formatRoute } from "../../data/route.js";

/** A square for the input, and in it the part that one unit sees. */
function fieldSign(share) {
  const side = Math.max(1.5, 22 * share);
  const at = 12 - side / 2;
  return s(
    "svg",
    { class: "field", viewBox: "0 0 24 24", "aria-hidden": "true" },
    s("rect", { class: "input", x: 1, y: 1, width: 22, height: 22, rx: 2 }),
    s("rect", { class: "seen", x: at, y: at, width: side, height: side, rx: share === 1 ? 2 : 0.5 }),
  );
}

/** What a unit sees, in words. */
function fieldWords(manifest, layer) {
  const part = layer.receptive_field && hasCrops(manifest, layer);
  return part ? `${sizeText(layer.receptive_field.size)} px` : "whole input";
}

/** @param {import("../../data/manifest.js").Preview} preview */
function shown(manifest, root, layer, { kind, channel, image, entry }, eager) {
  const whole = kind === "image";
  return picture({
    src: whole ? imageUrl(root, image) : pictureUrl(root, layer, kind, channel),
    alt: "",
    at: [0, kind === "cropped" ? 2 : 1],
    eager,
    natural: whole ? manifest.input.shape[2] : tileSize(manifest, kind, layer)?.[1],
    part: kind === "cropped" ? cropSquare(manifest, layer, kind, entry) : null,
  });
}

/**
 * @param {object} manifest
 * @param {string} root the network's folder
 * @param {number} index the layer's place
 * @param {object} options
 * @param {string|null} options.from the layers it follows, where that is not plain
 * @param {number} options.pictures how many
 * @param {import("../../data/manifest.js").Known} options.known
 */
export function layerCard(manifest, root, index, { from, pictures: most, known }) {
  const layer = manifest.layers[index];
  const pictures = previews(manifest, layer, most, known);
  // Room for pictures that are yet to come: cards are of one height, and nothing jumps.
  const awaited = known.made && !pictures.length ? Math.min(most, layer.channels) : 0;
  const href = formatRoute({ network: manifest.name, layer: layer.name });
  return h(
    "a",
    { class: "card", href, draggable: "false", tabindex: index === 0 ? "0" : "-1", data: { layer: layer.name } },
    h(
      "span",
      { class: "card-head" },
      h("span", { class: "card-number", "aria-hidden": "true" }, String(index + 1).padStart(2, "0")),
      h(
        "span",
        { class: "card-name", title: layer.name },
        h("bdi", { class: "name-full" }, truncate(layer.name, 80)),
        // From afar there is room for its end only; the first line does not end after the dots that stand for the rest.
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
      pictures.map((preview) => frame(null, shown(manifest, root, layer, preview, index < 4))),
      Array.from({ length: awaited }, () => frame(null)),
    ),
    h(
      "span",
      { class: "card-facts" },
      h("span", { class: "card-filters" }, h("b", null, count(layer.channels)), " filters"),
      h("span", { class: "card-field" }, fieldSign(receptiveFieldShare(manifest, layer)), fieldWords(manifest, layer)),
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
