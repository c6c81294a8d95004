/** Pictures: one tile of a strip, a whole image with a box; never a broken-image sign. */
import { h, s } from "./dom.js";

/** What stands where a picture should be. */
function lost(label) {
  return h("span", { class: "missing", role: "img", "aria-label": label, title: label }, "missing");
}

/**
 * One picture, loaded when it comes near the window.
 * @param {object} options
 * @param {string} options.src
 * @param {string} options.alt
 * @param {[number, number]} [options.at] this tile of a strip of so many: `[index, tiles]`
 * @param {boolean} [options.eager]
 * @param {number} [options.natural] width of the tile in its own pixels: much enlarged, it is drawn as pixels
 * @param {import("./crop-square.js").Part|null} [options.part] of the tile to show in a square frame, if not all
 * @returns {HTMLElement}
 */
export function picture({ src, alt, at = [0, 1], eager = false, natural = 0, part = null }) {
  const image = h("img", {
    src,
    alt,
    loading: eager ? null : "lazy",
    decoding: "async",
    draggable: "false",
    on: { error: () => image.replaceWith(lost(`Missing picture: ${alt}`)), load: () => sharpen(image, natural) },
  });
  const [index, tiles] = at;
  if (tiles > 1) image.classList.add("cut"); // hides the seam to the next tile
  if (tiles > 1) image.style.objectPosition = `${(index / (tiles - 1)) * 100}% 50%`;
  if (part) {
    image.classList.add("part");
    for (const [property, value] of Object.entries(part)) image.style[property] = `${value * 100}%`;
  }
  return image;
}

function sharpen(image, natural) {
  const width = natural || Math.min(image.naturalWidth, image.naturalHeight);
  if (width <= 64 && image.clientWidth > width * 2) image.classList.add("pixels");
}

/**
 * A frame of a tile's shape.
 * @param {[number, number]|null} size `[height, width]`
 * @param {...any} children
 */
export function frame(size, ...children) {
  const node = h("span", { class: "frame" }, children);
  if (size && size[0] !== size[1]) node.style.aspectRatio = `${size[1]} / ${size[0]}`;
  return node;
}

/**
 * The receptive field over an image: the box is bright, what the unit does not see is dimmed,
 * and a very small box gets a ring around it.
 * @param {number[]} box `[left, top, right, bottom]`
 * @param {number[]} shape the input's `[C, H, W]`
 */
export function boxOverlay(box, [, height, width]) {
  const [left, top, right, bottom] = box;
  const [w, h2] = [right - left, bottom - top];
  const whole = `M0,0H${width}V${height}H0Z`;
  const hole = `M${left},${top}V${bottom}H${right}V${top}Z`;
  const small = Math.max(w / width, h2 / height) < 0.08;
  const ring = {
    cx: left + w / 2,
    cy: top + h2 / 2,
    r: Math.max(width, height) * 0.055,
    "vector-effect": "non-scaling-stroke",
  };
  const rect = { x: left, y: top, width: w, height: h2, "vector-effect": "non-scaling-stroke" };
  return s(
    "svg",
    { class: "box", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "xMidYMid meet", "aria-hidden": "true" },
    small ? null : s("path", { class: "dim", d: whole + hole, "fill-rule": "evenodd" }),
    small ? [s("circle", { class: "halo", ...ring }), s("circle", { class: "line", ...ring })] : null,
    s("rect", { class: "halo", ...rect }),
    s("rect", { class: "line", ...rect }),
  );
}
