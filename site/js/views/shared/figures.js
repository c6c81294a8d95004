/** The pictures of a filter, for its own page and for comparisons: images, gradients, crops, the filter image. */
import { h } from "../../dom/dom.js";
import { boxOverlay, frame, picture } from "../../dom/pictures.js";
import { cropSquare } from "../../dom/crop-square.js";
import { className, hasCrops, imageUrl, pictureUrl, tileSize } from "../../data/manifest.js";
import { truncate } from "../../text/format.js";

/** @import { Entry, LayerScene, Scene } from "../../types.js" */

/**
 * One tile of a filter's strip.
 * @param {LayerScene} layerScene
 * @param {string} kind a key of PICTURES
 * @param {number} channel
 * @param {object} options
 * @param {string} options.alt
 * @param {[number, number]} [options.tile] its index, and how many the strip has
 * @param {boolean} [options.eager]
 * @param {boolean} [options.square] show the part that fills a square
 * @param {Pick<Entry, "position"|"box">|null} [options.entry] the image it is from, if known
 */
export function tilePicture({ manifest, root, layer }, kind, channel, options) {
  const { alt, tile, eager, square = false, entry = null } = options;
  return picture({
    src: pictureUrl(root, layer, kind, channel),
    alt,
    tile,
    eager,
    tileWidth: tileSize(manifest, kind, layer)?.[1],
    part: square ? cropSquare(manifest, layer, kind, entry) : null,
  });
}

/**
 * A whole image of the data set.
 * @param {LayerScene} layerScene
 * @param {number} image
 * @param {string} alt
 * @param {boolean} [eager] load it at once
 */
export function wholeImage({ manifest, root }, image, alt, eager = false) {
  return picture({ src: imageUrl(root, image), alt, eager, tileWidth: manifest.input.shape[2] });
}

/**
 * The best image of a filter, not cropped.
 * @param {LayerScene} layerScene
 * @param {number} channel
 * @param {Pick<Entry, "image">} entry
 */
export function bestImage(layerScene, channel, { image }) {
  const node = wholeImage(layerScene, image, `best image of filter ${channel}`);
  node.classList.add("whole");
  return node;
}

/**
 * The receptive field of the unit that responds, over an image; null where that is the whole image.
 * @param {LayerScene} layerScene
 * @param {Entry|null} entry
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
