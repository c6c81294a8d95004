/** The picture of a kernel: a cell for each weight, in diverging colours. */
import { s } from "../dom/dom.js";
import { kernelPaths, kernelText } from "../data/circuits.js";
import { number } from "../text/format.js";

/** @import { Kernel } from "../types.js" */

/**
 * The cells of a kernel, in units of a cell.
 * @param {Kernel} kernel
 */
export function kernelCells(kernel) {
  const [height, width] = kernel.size;
  return [
    s("rect", { class: "kernel-zero", width, height }),
    kernelPaths(kernel).map(({ level, d }) =>
      s("path", { d, class: level > 0 ? "exciting" : "inhibiting", "fill-opacity": Math.abs(level) }),
    ),
    s("rect", { class: "kernel-edge", width, height, "vector-effect": "non-scaling-stroke" }),
  ];
}

/**
 * @param {Kernel} kernel
 * @param {number} scale the weight of the strongest colour
 */
export function kernelPicture(kernel, scale) {
  const [height, width] = kernel.size;
  const label = kernelText(kernel, (weight) => number(weight * scale, 2));
  return s(
    "svg",
    { class: "kernel", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    s("title", null, label),
    kernelCells(kernel),
  );
}
