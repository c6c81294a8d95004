/** The pictures of a filter, for its own page and for comparisons: images, gradients, crops, the filter image. */
import { h } from "../../dom/dom.js";
import { boxOverlay, frame, picture } from "../../dom/pictures.js";
import { cropSquare } from "../../dom/crop-square.js";
import { className, hasCrops, tileSize } from "../../data/manifest.js";
import { truncate } from "../../text/format.js";

/** @import { Entry, LayerScene, PictureSource, Scene } from "../../types.js" */

/**
 * One tile of a filter's strip.
 * @param {LayerScene} layerScene
 * @param {string} kind a key of PICTURES
 * @param {number} channel
 * @param {object} options
 * @param {string} options.alt
 * @param {[number, number]} [options.tile] its index, and how many the strip has
 * @param {boolean} [options.eager]
 */
export function tilePicture({ manifest, layer, sources, show }, kind, channel, { alt, tile, eager }) {
  const tileWidth = tileSize(manifest, kind, layer)?.[1];
  return picture({ source: sources.strip(kind, channel), show, alt, tile, eager, tileWidth });
}

/**
 * The best tile of a filter, in a square: a small picture of it, or, where a store has none, the strip's first tile.
 * @param {LayerScene} layerScene
 * @param {string} kind a key of PICTURES
 * @param {number} channel
 * @param {object} options
 * @param {string} options.alt
 * @param {number} options.tiles how many the strip has
 * @param {PictureSource|null} [options.source] the small picture, if it is known already
 * @param {boolean} [options.eager]
 * @param {boolean} [options.square] show the part that fills the square
 * @param {Pick<Entry, "position"|"box">|null} [options.entry] the image it is from, if known
 */
export function bestTile({ manifest, layer, sources, show }, kind, channel, options) {
  const { alt, tiles, eager, square = false, entry = null } = options;
  const part = square ? cropSquare(manifest, layer, kind, entry) : null;
  const small = options.source ?? sources.thumb(kind, channel);
  if (small) return picture({ source: small, show, alt, eager, part });
  const tileWidth = tileSize(manifest, kind, layer)?.[1];
  return picture({ source: sources.strip(kind, channel), show, alt, tile: [0, tiles], eager, tileWidth, part });
}

/**
 * A whole image of the data set.
 * @param {LayerScene} layerScene
 * @param {number} image
 * @param {string} alt
 * @param {boolean} [eager] load it at once
 */
export function wholeImage({ manifest, sources, show }, image, alt, eager = false) {
  return picture({ source: sources.image(image), show, alt, eager, tileWidth: manifest.input.shape[2] });
}

/**
 * The best image of a filter, not cropped.
 * @param {LayerScene} layerScene
 * @param {number} channel
 * @param {Pick<Entry, "image">} entry
 */
export function bestImage(layerScene, channel, { image }) {
  const { sources, show } = layerScene;
  const alt = `best image of filter ${channel}`;
  const small = sources.thumb("image", channel);
  const node = small ? picture({ source: small, show, alt }) : wholeImage(layerScene, image, alt);
  node.classList.add("whole");
  return node;
}

/**
 * The receptive field of the unit that responds, over an image; null where that is the whole image.
 * @param {LayerScene} layerScene
 * @param {Pick<Entry, "box">|null} entry
 */
export function receptiveFieldBox({ manifest, layer }, entry) {
  return entry?.box && hasCrops(manifest, layer) ? boxOverlay(entry.box, manifest.input.shape) : null;
}

/**
 * An entry's image, its gradient, or the gradient over the image.
 * @param {Scene} scene
 * @param {"max"|"avg"} list
 * @param {number} index of the entry
 * @param {string} show one of SHOWS
 */
export function entryPicture(scene, list, index, show) {
  const { manifest, filter } = scene;
  const [, height, width] = manifest.input.shape;
  const kind = list === "max" ? "max_grads" : "avg_grads";
  const entries = filter[list];
  const entry = entries[index];
  const alt = `${truncate(className(manifest, entry.class), 60)}, image ${entry.image}`;
  if (show !== "image" && !filter.pictures.includes(kind)) {
    return frame([height, width], h("span", { class: "missing" }, "gradient not computed"));
  }
  const gradient = (text) => tilePicture(scene, kind, filter.channel, { alt: text, tile: [index, entries.length] });
  if (show === "gradient") return frame([height, width], gradient(`gradient for ${alt}`));
  return frame(
    [height, width],
    wholeImage(scene, entry.image, alt),
    show === "overlay" ? h("span", { class: "overlay" }, gradient("")) : null,
    receptiveFieldBox(scene, entry),
  );
}

/**
 * The crop of an entry of the `max` list, or its gradient; null where the filter has none.
 * @param {Scene & {tag?: string}} scene
 * @param {"cropped"|"cropped_grad"} kind
 * @param {number} index of the entry
 */
function smallPicture(scene, kind, index) {
  const { manifest, layer, filter, tag } = scene;
  if (!filter.pictures.includes(kind)) return null;
  const name = kind === "cropped" ? "crop" : "gradient";
  const alt = `${name} ${index + 1} of filter ${filter.channel}${tag ? ` ${tag}` : ""}`;
  return h(
    "span",
    { class: "small" },
    frame(
      tileSize(manifest, kind, layer),
      tilePicture(scene, kind, filter.channel, { alt, tile: [index, filter.max.length] }),
    ),
    h("span", { class: "small-name" }, name),
  );
}

/**
 * The crop of an entry of the `max` list and its gradient, side by side.
 * @param {Scene & {tag?: string}} scene
 * @param {number} index of the entry
 */
export function cropPair(scene, index) {
  return h("div", { class: "pair" }, smallPicture(scene, "cropped", index), smallPicture(scene, "cropped_grad", index));
}

/**
 * The filter image, with a caption if the ascent failed.
 * @param {Scene & {tag?: string}} scene
 * @returns {HTMLElement[]|null} null where it is not computed
 */
export function filterImage(scene) {
  const { manifest, layer, filter, tag } = scene;
  if (!filter.pictures.includes("max_activ")) return null;
  const alt = `filter image of filter ${filter.channel}${tag ? ` ${tag}` : ""}`;
  const nodes = [
    frame(
      tileSize(manifest, "max_activ", layer),
      tilePicture(scene, "max_activ", filter.channel, { alt, eager: true }),
    ),
  ];
  if (filter.ascent?.found === false) {
    const text = "No picture was found that excites this filter: what is shown is the last attempt.";
    nodes.push(h("figcaption", null, h("span", { class: "detail" }, text)));
  }
  return nodes;
}
