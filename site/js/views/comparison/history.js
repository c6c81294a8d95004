/** One filter in more than two networks: a column for each, and a sparkline for each measure. */
import { h } from "../../dom/dom.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { filterHistory } from "../../data/comparison.js";
import { sparkline } from "../../plots/sparkline.js";
import { changeText } from "../../text/changes.js";
import { section } from "../shared/section.js";
import { measureLink, sideLink } from "./controls.js";
import { previewKinds, previewPicture } from "./pictures.js";

/** @import { ComparedScene, Measure, Side } from "../../types.js" */

/** @typedef {ComparedScene & {channel: number, networks: Side[]}} HistoryScene `networks` are all of the comparison */

/**
 * The networks in their order, each with its pictures of the filter and its distance from the first.
 * @param {HistoryScene} scene
 * @param {Measure} measure
 */
function networkColumns({ comparison, layer, file, channel, pair, networks }, measure) {
  const kinds = previewKinds(networks, layer.name, channel);
  const line = (...content) => h("p", { class: "network-moment-line" }, content);
  const value = (what, change) => line(what, " ", h("b", null, changeText(measure, change)));
  return filterHistory(comparison, file, measure.name, channel).map(({ store, since, step }) => {
    const tag = store === pair.from ? "before" : store === pair.to ? "after" : null;
    return h(
      "li",
      { class: "network-moment", data: tag ? { side: tag } : null },
      h(
        "p",
        { class: "network-moment-head" },
        sideLink(comparison.stores[store], { layer: layer.name, channel }),
        tag ? h("span", { class: "side-tag" }, tag) : null,
      ),
      h(
        "span",
        { class: "network-moment-pictures" },
        kinds.map((kind) => previewPicture(networks[store], layer.name, channel, kind)),
      ),
      store ? value("since the first", since) : line("the first"),
      store > 1 ? value("this step", step) : null,
    );
  });
}

/**
 * A sparkline for each measure, which links to it.
 * @param {HistoryScene} scene
 * @param {Measure} current
 * @param {(measure: string) => string} hrefOf
 */
function sparklines({ comparison, file, channel, pair }, current, hrefOf) {
  const links = comparison.measures.flatMap((measure) => {
    const values = filterHistory(comparison, file, measure.name, channel).map(({ since }) => since);
    if (values.slice(1).every((value) => value === null)) return [];
    const label = values.map((value) => changeText(measure, value)).join(", ");
    return measureLink(measure, {
      href: hrefOf(measure.name),
      current: measure === current,
      plot: sparkline(values, { label, marks: [pair.from, pair.to] }),
      figure: ["last ", h("b", null, changeText(measure, values.at(-1)))],
    });
  });
  if (links.length && !links.some((link) => link.tabIndex === 0)) links[0].tabIndex = 0;
  const label = "Every measure, as change since the first";
  const list = h("div", { class: "sparklines", role: "group", "aria-label": label }, links);
  rovingTabindex(list, () => links);
  return list;
}

/**
 * @param {HistoryScene} scene
 * @param {Measure} measure
 * @param {(measure: string) => string} hrefOf
 * @returns {HTMLElement|null} null where there are only two networks
 */
export function historySection(scene, measure, hrefOf) {
  const { stores } = scene.comparison;
  if (stores.length < 3) return null;
  const text =
    `This filter in each of the ${stores.length} networks, in their order: its pictures, ` +
    `and the change of ${measure.title} since the first.`;
  return section(
    { title: "Over time", text },
    h("ol", { class: "network-history" }, networkColumns(scene, measure)),
    sparklines(scene, measure, hrefOf),
  );
}
