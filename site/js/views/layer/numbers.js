/** A layer in numbers: how its filters differ, as small histograms. */
import { h } from "../../dom/dom.js";
import d3 from "../../vendored/d3.js";
import { deadCount } from "../../data/filters.js";
import { number, percent, plural } from "../../text/format.js";
import { barReadout } from "../../plots/bar-readout.js";
import { fullestBin, valueBins } from "../../plots/bins.js";
import { fullestText, valueBinTexts, valueHistogram } from "../../plots/value-histogram.js";

/** Fewer values than this get no histogram. */
const LEAST = 8;

const short = (value) => number(value, 2);
const share = (value) => `${Math.round(value * 100)}\u202f%`;

/** @import { Filter } from "../../types.js" */

/**
 * @typedef {object} Subject
 * @property {string} title
 * @property {number[]} values
 * @property {[number, number]} [domain]
 * @property {boolean} [clip]
 * @property {(value: number) => string} text how to write a value
 * @property {() => string[]} words what the histogram means
 */

/**
 * What is plotted, and what it means.
 * @param {Filter[]} filters
 */
function subjects(filters) {
  const dead = deadCount(filters);
  const half = (values, text) => `Half of the filters reach ${text(d3.median(values))} or more.`;
  const pick = (of) => filters.map(of).filter((value) => Number.isFinite(value));
  const selectivity = pick((filter) => filter.stats.selectivity);
  const active = pick((filter) => filter.stats.active);
  const score = pick((filter) => filter.max[0]?.score);
  const ratio = pick((filter) => filter.ascent?.ratio);
  /** @type {Subject[]} */
  const all = [
    {
      title: "Class selectivity",
      values: selectivity,
      domain: [0, 1],
      text: (value) => String(Math.round(value * 100) / 100),
      words: () => ["0: all classes excite it alike; 1: only one does. ", half(selectivity, short)],
    },
    {
      title: "Share of active images",
      values: active,
      domain: [0, 1],
      text: share,
      words: () => [
        "In how many of the images a filter responds. ",
        dead
          ? `${plural(dead, "filter responds", "filters respond")} to none: dead.`
          : half(active, percent).replace(" or more", d3.median(active) === 1 ? "" : " or more"),
      ],
    },
    {
      title: "Strongest activation",
      values: score,
      text: (value) => String(Number(value.toPrecision(3))),
      words: () => ["The highest response to any image. ", half(score, number)],
    },
    {
      title: "Filter image against images",
      values: ratio,
      clip: true,
      text: (value) => `${Math.round(value * 100) / 100}×`,
      words: () => [
        "How many times the mean response of the best image the made picture reaches. ",
        ratio.length < filters.length ? `Known for ${plural(ratio.length, "filter")}.` : half(ratio, short),
      ],
    },
  ];
  return all.filter(({ values }) => values.length >= LEAST);
}

/**
 * Facts and histograms of a layer; closed on a small screen, so that the tiles come first.
 * @param {HTMLElement} facts
 * @param {Filter[]} filters
 * @param {AbortSignal} signal
 * @returns {HTMLElement}
 */
export function layerStatistics(facts, filters, signal) {
  const panels = subjects(filters).map(({ title, values, domain, clip, text, words }) => {
    const rows = valueBins(values, { domain, clip });
    return h(
      "div",
      { class: "layer-histogram" },
      h("h2", null, title),
      barReadout({
        label: `Histogram of ${title.toLowerCase()} of ${plural(values.length, "filter")}`,
        usual: fullestText(rows, text),
        words: valueBinTexts(rows, text),
        first: rows.indexOf(fullestBin(rows)),
        draw: (width) => valueHistogram(rows, width, text),
        signal,
      }),
      h("p", null, words()),
    );
  });
  return h(
    "details",
    { class: "layer-numbers", open: matchMedia("(min-width: 700px)").matches },
    h("summary", null, "The layer in numbers"),
    facts,
    panels.length ? h("div", { class: "layer-histograms" }, panels) : null,
  );
}
