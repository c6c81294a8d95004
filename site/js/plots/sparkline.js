/** How one number went from moment to moment: a small line with a dot a moment, stretched to its place. */
import { s } from "../dom/dom.js";

const STEP = 20;
const TALL = 40;
const EDGE = 4;

/**
 * @param {Array<number|null>} values one a moment; null leaves a gap
 * @param {object} options
 * @param {string} options.label what it shows, for those who do not see it
 * @param {number[]} [options.marks] the moments to point out
 */
export function sparkline(values, { label, marks = [] }) {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(0, ...known), Math.max(0, ...known)];
  const x = (i) => STEP * (i + 0.5);
  const y = (value) => (high === low ? TALL - EDGE : TALL - EDGE - ((value - low) / (high - low)) * (TALL - 2 * EDGE));
  let pen = "M";
  const path = values.map((value, i) => {
    const part = value === null ? "" : `${pen}${x(i)},${y(value).toFixed(2)}`;
    pen = value === null ? "M" : "L";
    return part;
  });
  const width = STEP * values.length;
  // Stretching would make ellipses of circles; the round ends of lines of no length stay round.
  const dot = (value, i) =>
    value === null
      ? null
      : s("path", {
          class: marks.includes(i) ? "dot marked" : "dot",
          d: `M${x(i)},${y(value).toFixed(2)}h0`,
          "vector-effect": "non-scaling-stroke",
        });
  return s(
    "svg",
    {
      class: "sparkline",
      viewBox: `0 0 ${width} ${TALL}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    s("path", { class: "zero", d: `M0,${y(0).toFixed(2)}H${width}`, "vector-effect": "non-scaling-stroke" }),
    s("path", { class: "course", d: path.join(""), "vector-effect": "non-scaling-stroke" }),
    values.map(dot),
  );
}
