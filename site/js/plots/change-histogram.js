/** How many filters changed by how much: a small histogram that stretches to its container. */
import d3 from "../vendored/d3.js";
import { s } from "../dom/dom.js";
import { number, plural } from "../text/format.js";
import { binText } from "./bins.js";

/** @import { Distribution } from "../types.js" */

/** The width of a bar and the height of the highest, in units of the drawing. */
const STEP = 10;
const HEIGHT = 40;

/**
 * @param {Array<import("./bins.js").Bin & {same: boolean}>} rows
 * @param {object} options
 * @param {string} options.label what it shows, for screen readers
 * @param {number|null} [options.mark] the bin to highlight
 */
export function changeHistogram(rows, { label, mark = null }) {
  const height = d3.scaleLinear(
    [
      0,
      Math.max(
        1,
        d3.max(rows, ({ n }) => n),
      ),
    ],
    [0, HEIGHT],
  );
  const bar = (row, i) => {
    const tall = row.n ? Math.max(2, height(row.n)) : 0; // one filter among hundreds is still visible
    const tone = mark !== null && i !== mark ? "dim" : row.same ? "still" : "moved";
    const range = row.same ? "unchanged" : binText(row, (value) => number(value, 2));
    return s(
      "g",
      null,
      s("title", null, `${range}: ${plural(row.n, "filter")}`),
      s("rect", { class: "hit-area", x: i * STEP, y: 0, width: STEP, height: HEIGHT }),
      s("rect", { class: `mark ${tone}`, x: i * STEP + 0.6, y: HEIGHT - tall, width: STEP - 1.2, height: tall }),
    );
  };
  return s(
    "svg",
    {
      class: "change-histogram",
      viewBox: `0 0 ${rows.length * STEP} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    rows.map(bar),
  );
}

/**
 * A distribution in words.
 * @param {Distribution} distribution
 */
export function distributionText({ counted, unchanged, median, max }) {
  if (unchanged === counted) return `all ${plural(counted, "filter")} unchanged`;
  const still = unchanged ? `${unchanged} of ${plural(counted, "filter")} unchanged, ` : "";
  return `${still}half of them changed by ${number(median, 2)} or more, at most ${number(max, 2)}`;
}
