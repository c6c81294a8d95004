/** How one number changed from network to network: a small line with a dot for each, stretched to its container. */
import d3 from "../vendored/d3.js";
import { s } from "../dom/dom.js";

const STEP = 20;
const HEIGHT = 40;
const MARGIN = 4;
const FIXED_STROKE = { "vector-effect": "non-scaling-stroke" };

/**
 * @param {Array<number|null>} values null leaves a gap
 * @param {object} options
 * @param {string} options.label what it shows, for screen readers
 * @param {number[]} [options.marks] the values to highlight, by index
 */
export function sparkline(values, { label, marks = [] }) {
  const [low, high] = d3.extent([0, ...values]);
  const x = (i) => STEP * (i + 0.5);
  const y = d3.scaleLinear([low, high === low ? low + 1 : high], [HEIGHT - MARGIN, MARGIN]);
  const line = d3
    .line((_, i) => x(i), y)
    .defined((value) => value !== null)
    .digits(2);
  // A line of no length has round ends; a circle would be stretched to an ellipse.
  const dot = (value, i) =>
    value === null
      ? null
      : s("path", {
          class: marks.includes(i) ? "dot marked" : "dot",
          d: `M${x(i)},${y(value).toFixed(2)}h0`,
          ...FIXED_STROKE,
        });
  return s(
    "svg",
    {
      class: "sparkline",
      viewBox: `0 0 ${STEP * values.length} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    s("path", { class: "zero", d: `M0,${y(0).toFixed(2)}H${STEP * values.length}`, ...FIXED_STROKE }),
    s("path", { class: "course", d: line(/** @type {any} */ (values)), ...FIXED_STROKE }),
    values.map(dot),
  );
}
