/** How many filters changed by how much: a small histogram that grows and shrinks with its place. */
import { s } from "../dom/dom.js";
import { number, plural } from "../text/format.js";

/** A bar's room, and the height of the tallest: the drawing is stretched to its place. */
const STEP = 10;
const TALL = 40;

/** In words: where a bin lies. */
function where({ from, to, same }) {
  if (same) return "unchanged";
  if (from === -Infinity) return `below ${number(to, 2)}`;
  return to === Infinity ? `${number(from, 2)} or more` : `${number(from, 2)} to ${number(to, 2)}`;
}

/**
 * @param {Array<{from: number, to: number, n: number, same: boolean}>} rows
 * @param {object} options
 * @param {string} options.label what it shows, for those who do not see it
 * @param {number|null} [options.mark] the bin to point out; all are alike without
 */
export function changeHistogram(rows, { label, mark = null }) {
  const top = Math.max(1, ...rows.map(({ n }) => n));
  return s(
    "svg",
    {
      class: "change-histogram",
      viewBox: `0 0 ${rows.length * STEP} ${TALL}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    rows.map((row, i) => {
      // A single filter among hundreds is still seen.
      const height = row.n ? Math.max(2, (row.n / top) * TALL) : 0;
      const tone = mark !== null && i !== mark ? "dim" : row.same ? "still" : "moved";
      return s(
        "g",
        null,
        s("title", null, `${where(row)}: ${plural(row.n, "filter")}`),
        s("rect", { class: "hit-area", x: i * STEP, y: 0, width: STEP, height: TALL }),
        s("rect", { class: `mark ${tone}`, x: i * STEP + 0.6, y: TALL - height, width: STEP - 1.2, height }),
      );
    }),
  );
}

/**
 * In words: what a distribution comes to.
 * @param {{counted: number, unchanged: number, median: number, max: number}} distribution
 */
export function distributionText({ counted, unchanged, median, max }) {
  if (unchanged === counted) return `all ${plural(counted, "filter")} unchanged`;
  const still = unchanged ? `${unchanged} of ${plural(counted, "filter")} unchanged, ` : "";
  return `${still}half of them changed by ${number(median, 2)} or more, at most ${number(max, 2)}`;
}
