/** All measures of a layer, as small histograms; all measures of a filter, in words. */
import { h } from "../../dom/dom.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { changeRank } from "../../data/comparison.js";
import { binIndex, changeBins } from "../../plots/bins.js";
import { changeHistogram, distributionText } from "../../plots/change-histogram.js";
import { changeText, measureSentence, rankText } from "../../text/changes.js";
import { number, truncate } from "../../text/format.js";
import { section } from "../shared/section.js";
import { measureLink } from "./controls.js";

/** @import { ComparedScene, Comparison, Distribution, Measure } from "../../types.js" */

/**
 * What stands below the ends of a histogram.
 * @param {Measure} measure
 */
export function histogramEnds({ signed, edges }) {
  const last = `\u2265 ${number(edges.at(-1), 2)}`;
  const ends = signed ? [`\u2264 ${number(edges[0], 2)}`, "same", last] : ["same", last];
  return h(
    "span",
    { class: "change-ends", "aria-hidden": "true" },
    ends.map((text) => h("span", null, text)),
  );
}

/**
 * A card for each measure of a layer; it links to the filters sorted by the measure.
 * @param {Comparison} comparison
 * @param {Record<string, Distribution>} distributions by measure
 * @param {string} current
 * @param {(measure: string) => string} hrefOf
 */
export function measureCards({ measures }, distributions, current, hrefOf) {
  const links = measures
    .filter(({ name }) => distributions[name])
    .map((measure) => {
      const distribution = distributions[measure.name];
      const rows = changeBins(distribution.histogram, measure.edges);
      return measureLink(measure, {
        href: hrefOf(measure.name),
        current: measure.name === current,
        plot: changeHistogram(rows, { label: distributionText(distribution) }),
        figure: [h("b", null, number(distribution.mean, 2)), " on average"],
      });
    });
  if (links.length && !distributions[current]) links[0].tabIndex = 0;
  const list = h("div", { class: "measures", role: "group", "aria-label": "Change of" }, links);
  rovingTabindex(list, () => links);
  return list;
}

const capitalize = (text) => text[0].toUpperCase() + text.slice(1);

/**
 * Every measure of one filter, in words, and the filter's rank in its layer.
 * @param {ComparedScene & {channel: number}} scene
 */
export function measuresSection({ comparison, layer, pair, changes, channel }) {
  const { distributions } = layer.changes[pair.at];
  const facts = {
    k: Math.min(comparison.k, comparison.dataset.images),
    partner: changes.partners?.[channel] ?? null,
    channel,
  };
  const row = (measure) => {
    const distribution = distributions[measure.name];
    if (!distribution) return null;
    const values = changes.values[measure.name];
    const value = values?.[channel] ?? null;
    const rank = value
      ? h("span", { class: "measure-rank" }, ` ${capitalize(rankText(changeRank(values, channel)))}.`)
      : null;
    return h(
      "div",
      { class: "measure-row" },
      h("dt", { title: measure.says }, truncate(measure.title, 40)),
      h("dd", { class: "measure-value" }, changeText(measure, value)),
      h("dd", { class: "measure-text" }, measureSentence(measure, value, facts), rank),
      h(
        "dd",
        { class: "measure-histogram" },
        changeHistogram(changeBins(distribution.histogram, measure.edges), {
          label: `The layer: ${distributionText(distribution)}`,
          mark: value === null ? -1 : binIndex(measure.edges, value),
        }),
        histogramEnds(measure),
      ),
    );
  };
  const text =
    "Every measure is 0 where nothing changed. Each plot shows the filters of this layer; " +
    "the bar in color is the one that this filter is in.";
  return section(
    { title: "The change in numbers", text },
    h("dl", { class: "measure-list" }, comparison.measures.map(row)),
  );
}
