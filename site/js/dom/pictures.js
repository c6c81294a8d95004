/** Pictures: one tile of a strip, or a whole image with a box. */
import { h, s } from "./dom.js";

/** @import { Box, PictureSource, ShowPicture, Size } from "../types.js" */

/** What replaces a picture that cannot be loaded. */
function missing(label) {
  return h("span", { class: "missing", role: "img", "aria-label": label, title: label }, "missing");
}

/**
 * A picture, loaded when it comes near the window.
 * @param {object} options
 * @param {PictureSource|null} options.source
 * @param {ShowPicture} options.show
 * @param {string} options.alt
 * @param {[number, number]} [options.tile] of a strip: the index of the tile, and how many there are
 * @param {boolean} [options.eager] load it at once
 * @param {number} [options.tileWidth] width of the tile in its own pixels: much enlarged, it is drawn as pixels
 * @param {import("./crop-square.js").Part|null} [options.part] of the tile to show in a square frame, if not all
 */
export function picture({ source, show, alt, tile = [0, 1], eager = false, tileWidth = 0, part = null }) {
  const absent = () => missing(`Missing picture: ${alt}`);
  if (!source) return absent();
  const image = h("img", {
    alt,
    decoding: "async",
    draggable: "false",
    on: { error: () => image.replaceWith(absent()), load: () => sharpen(image, tileWidth) },
  });
  show(image, source, eager);
  const [index, tiles] = tile;
  if (tiles > 1) image.classList.add("cut"); // hides the seam to the next tile
  if (tiles > 1) image.style.objectPosition = `${(index / (tiles - 1)) * 100}% 50%`;
  if (part) {
    image.classList.add("part");
    for (const [property, value] of Object.entries(part)) image.style[property] = `${value * 100}%`;
  }
  return image;
}

function sharpen(image, tileWidth) {
  const width = tileWidth || Math.min(image.naturalWidth, image.naturalHeight);
  if (width <= 64 && image.clientWidth > width * 2) image.classList.add("pixels");
}

/**
 * A frame with the shape of a tile.
 * @param {Size|null} size null for a square
 * @param {...any} children
 */
export function frame(size, ...children) {
  const node = h("span", { class: "frame" }, children);
  if (size && size[0] !== size[1]) node.style.aspectRatio = `${size[1]} / ${size[0]}`;
  return node;
}

/** A box whose sides are below this share of the image gets a ring around it. */
const SMALL = 0.08;

/**
 * A receptive field over an image: what lies outside the box is dimmed.
 * @param {Box} box
 * @param {[number, number, number]} shape the input's `(C, H, W)`
 */
export function boxOverlay([left, top, right, bottom], [, height, width]) {
  const [boxWidth, boxHeight] = [right - left, bottom - top];
  const whole = `M0,0H${width}V${height}H0Z`;
  const hole = `M${left},${top}V${bottom}H${right}V${top}Z`;
  const small = Math.max(boxWidth / width, boxHeight / height) < SMALL;
  const ring = {
    cx: left + boxWidth / 2,
    cy: top + boxHeight / 2,
    r: Math.max(width, height) * 0.055,
    "vector-effect": "non-scaling-stroke",
  };
  const rect = { x: left, y: top, width: boxWidth, height: boxHeight, "vector-effect": "non-scaling-stroke" };
  return s(
    "svg",
    { class: "box", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", "aria-hidden": "true" },
    small ? null : s("path", { class: "dim", d: whole + hole, "fill-rule": "evenodd" }),
    small ? [s("circle", { class: "halo", ...ring }), s("circle", { class: "line", ...ring })] : null,
    s("rect", { class: "halo", ...rect }),
    s("rect", { class: "line", ...rect }),
  );
}
