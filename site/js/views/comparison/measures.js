/** All measures of a layer: what each comes to, as a small histogram that leads to the filters sorted by it. */
import { changeText, measureSentence, rankText } from "../../text/changes.js";
import { changeRank } from "../../data/comparison.js";
import { binIndex, changeBins } from "../../plots/bins.js";
import { h } from "../../dom/dom.js";
import { truncate, number } from "../../text/format.js";
import { changeHistogram, distributionText } from "../../plots/change-histogram.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { histogramEnds } from "./layers.js";

/**
 * @param {object} comparison
 * @param {Record<string, import("../../data/comparison.js").Distribution>} distributions by measure
 * @param {string} current
 * @param {(measure: string) => string} hrefOf
 */
export function measureCards({ measures }, distributions, current, hrefOf) {
  const links = measures
    .filter(({ name }) => distributions[name])
    .map((measure) => {
      const own = distributions[measure.name];
      const here = measure.name === current;
      return h(
        "a",
        {
          class: "measure",
          href: hrefOf(measure.name),
          title: measure.says,
          tabindex: here ? "0" : "-1",
          "aria-current": here ? "true" : null,
          data: { value: measure.name },
        },
        h("span", { class: "measure-name" }, truncate(measure.title, 32)),
        changeHistogram(changeBins(own.histogram, measure.edges), { label: distributionText(own) }),
        h("span", { class: "measure-figure" }, h("b", null, number(own.mean, 2)), " on average"),
      );
    });
  if (links.length && !distributions[current]) links[0].tabIndex = 0;
  const list = h("div", { class: "measures", role: "group", "aria-label": "Change of" }, links);
  rovingTabindex(list, () => links);
  return list;
}

/**
 * Every measure of one filter, in words, and where the filter stands.
 * @param {object} scene
 */
export function measureList({ comparison, pair, layerName, changes, channel }) {
  const layer = comparison.layers.find(({ name }) => name === layerName);
  const { distributions } = layer.changes[pair.at];
  const line = (measure) => {
    const values = changes.values[measure.name];
    const value = values?.[channel] ?? null;
    const own = distributions[measure.name];
    if (!own) return null;
    const place = changeRank(values, channel);
    const filter = {
      k: Math.min(comparison.k, comparison.dataset.images),
      partner: changes.partners?.[channel] ?? null,
      channel,
    };
    const rows = changeBins(own.histogram, measure.edges);
    return h(
      "div",
      { class: "measure-row" },
      h("dt", { title: measure.says }, truncate(measure.title, 40)),
      h("dd", { class: "measure-value" }, changeText(measure, value)),
      h(
        "dd",
        { class: "measure-text" },
        measureSentence(measure, value, filter),
        value ? h("span", { class: "measure-rank" }, ` ${capital(rankText(place))}.`) : null,
      ),
      h(
        "dd",
        { class: "measure-histogram" },
        changeHistogram(rows, {
          label: `The layer: ${distributionText(own)}`,
          mark: value === null ? -1 : binIndex(measure.edges, value),
        }),
        h(
          "span",
          { class: "change-ends", "aria-hidden": "true" },
          histogramEnds(measure).map((text) => h("span", null, text)),
        ),
      ),
    );
  };
  return h(
    "section",
    { class: "block" },
    h(
      "header",
      { class: "block-head" },
      h("h2", null, "The change in numbers"),
      h(
        "p",
        null,
        "Every measure is 0 where nothing changed. Each plot shows the filters of this layer; the bar in color is the one that this filter is in.",
      ),
    ),
    h("dl", { class: "measure-list" }, comparison.measures.map(line)),
  );
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
