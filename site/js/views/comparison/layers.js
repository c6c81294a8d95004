/** The layers of a comparison: a bar for each, and a row for each with how its filters changed. */
import { h } from "../../dom/dom.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { layerHistory } from "../../data/comparison.js";
import { formatRoute } from "../../data/route.js";
import { changeBins } from "../../plots/bins.js";
import { changeHistogram, distributionText } from "../../plots/change-histogram.js";
import { sparkline } from "../../plots/sparkline.js";
import { count, number, plural, truncate } from "../../text/format.js";
import { layerBars } from "../shared/layer-bars.js";
import { layerNumber } from "../shared/section.js";
import { histogramEnds } from "./measures.js";
import { picturePair, previewKinds, previewPicture } from "./pictures.js";

/** @import { LayerRow } from "../../data/comparison.js" */
/** @import { ComparedLayer, Comparison, Distribution, Measure, Pair, Route, Side } from "../../types.js" */

/**
 * @typedef {object} RowsScene
 * @property {Comparison} comparison
 * @property {Pair} pair
 * @property {Measure} measure
 * @property {Side[]} sides
 * @property {Route} now
 */

/** The largest mean change of the layers, for scales. */
const largestMean = (rows) => Math.max(...rows.map(({ distribution }) => distribution?.mean ?? 0)) || 1;

/**
 * A bar for each layer: how much its filters changed on average.
 * @param {LayerRow[]} rows in the order of the network
 * @param {Route} now
 */
export function changeChart(rows, now) {
  const largest = largestMean(rows);
  const bars = rows.map(({ at, layer, distribution }) => {
    const mean = distribution?.mean ?? null;
    return {
      at,
      value: number(mean, 2),
      share: (mean ?? 0) / largest,
      words: `${layer.name}: ${mean === null ? "not known" : number(mean, 2)}`,
      href: formatRoute({ ...now, layer: layer.name }),
    };
  });
  return layerBars(bars, { label: "Layers, from the first to the last", first: 0 });
}

/**
 * Two small pictures of the layer's most changed filter.
 * @param {Side[]} sides
 * @param {ComparedLayer} layer
 * @param {Distribution|null} distribution
 */
function example(sides, layer, distribution) {
  const channel = distribution?.max ? distribution.most : null;
  const [kind] = channel === null ? [] : previewKinds(sides, layer.name, channel);
  if (!kind) return null;
  const [before, after] = sides.map((side) => previewPicture(side, layer.name, channel, kind));
  return h(
    "span",
    { class: "change-example" },
    picturePair(before, after),
    h("span", { class: "change-note" }, `most: filter ${channel}, ${number(distribution.max, 2)}`),
  );
}

/**
 * With more than two networks: how the layer changed from the first to the last.
 * @param {RowsScene} scene
 * @param {number} at the layer's index
 */
function history({ comparison, pair, measure }, at) {
  if (comparison.stores.length < 3) return null;
  const values = layerHistory(comparison, at, measure.name);
  const words = values.map((value) => number(value, 2)).join(", ");
  return sparkline(values, { label: `Change since the first network: ${words}`, marks: [pair.from, pair.to] });
}

/**
 * @param {LayerRow} row
 * @param {RowsScene} scene
 * @param {number} largest mean change of all layers
 */
function layerRow({ at, layer, change, distribution }, scene, largest) {
  const { measure, sides, now } = scene;
  const mean = distribution?.mean ?? null;
  const href = formatRoute({ ...now, layer: layer.name });
  const link = h("a", { class: "change-link", href, title: layer.name }, truncate(layer.name, 60));
  const changed = distribution
    ? `${count(distribution.counted - distribution.unchanged)} of ${count(distribution.counted)} changed`
    : "no filter has this measure";
  const histogram = () => [
    changeHistogram(changeBins(distribution.histogram, measure.edges), {
      label: `The distribution over its filters: ${distributionText(distribution)}`,
    }),
    histogramEnds(measure),
  ];
  return h(
    "li",
    { class: "change-row", data: { layer: layer.name } },
    h(
      "div",
      { class: "change-head" },
      layerNumber(at),
      h("h3", null, link),
      h("span", { class: "change-kind" }, `${truncate(layer.kind, 24)}, ${plural(layer.channels, "filter")}`),
    ),
    h(
      "div",
      { class: "change-size" },
      h("span", { class: "change-figure" }, number(mean, 2)),
      h(
        "span",
        { class: "change-track", "aria-hidden": "true" },
        h("span", { style: { width: `${((mean ?? 0) / largest) * 100}%` } }),
      ),
      h("span", { class: "change-note" }, changed),
      history(scene, at),
    ),
    h("div", { class: "change-distribution" }, distribution ? histogram() : null),
    example(sides, layer, distribution),
    h("p", { class: "change-summary" }, change.summary),
  );
}

/**
 * A row for each layer.
 * @param {LayerRow[]} rows in the order to show
 * @param {RowsScene} scene
 */
export function changeRows(rows, scene) {
  const largest = largestMean(rows);
  const list = h(
    "ol",
    { class: "change-rows" },
    rows.map((row) => layerRow(row, scene, largest)),
  );
  const links = () => /** @type {HTMLElement[]} */ ([...list.querySelectorAll(".change-link")]);
  const roving = rovingTabindex(list, links);
  for (const link of links()) link.tabIndex = -1;
  roving.reset();
  const layerOfLink = (link) => link.closest("li").dataset.layer;
  return {
    node: list,
    /** @param {string} name of a layer */
    linkTo: (name) => links().find((link) => layerOfLink(link) === name) ?? null,
    setCurrent: roving.setCurrent,
  };
}
