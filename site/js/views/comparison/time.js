/** One filter over time, where there are more than two networks: a column each, and a small line a measure. */
import { changeText } from "../../text/changes.js";
import { filterHistory } from "../../data/comparison.js";
import { h } from "../../dom/dom.js";
import { truncate } from "../../text/format.js";
import { sparkline } from "../../plots/sparkline.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { sideLink } from "./controls.js";
import { previewKinds, previewPicture } from "./pictures.js";

/** The networks in their order, each with its pictures of the filter and how far it is from the first. */
function columns({ comparison, layer, file, channel, pair, moments }, measure) {
  const kinds = previewKinds(moments, layer.name, channel);
  return filterHistory(comparison, file, measure.name, channel).map(({ store, since, step }) => {
    const tag = store === pair.from ? "before" : store === pair.to ? "after" : null;
    const line = (what, value) =>
      h("p", { class: "network-moment-line" }, what, " ", h("b", null, changeText(measure, value)));
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
        kinds.map((kind) => previewPicture(moments[store], layer.name, channel, kind)),
      ),
      store ? line("since the first", since) : h("p", { class: "network-moment-line" }, "the first"),
      store > 1 ? line("this step", step) : null,
    );
  });
}

/** A small line for each measure, which leads to it. */
function lines({ comparison, file, channel, pair }, current, hrefOf) {
  const links = comparison.measures.map((measure) => {
    const values = filterHistory(comparison, file, measure.name, channel).map(({ since }) => since);
    if (values.slice(1).every((value) => value === null)) return null;
    const here = measure === current;
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
      sparkline(values, {
        label: values.map((value) => changeText(measure, value)).join(", "),
        marks: [pair.from, pair.to],
      }),
      h("span", { class: "measure-figure" }, "last ", h("b", null, changeText(measure, values.at(-1)))),
    );
  });
  const shown = links.filter(Boolean);
  if (shown.length && !shown.some((link) => link.tabIndex === 0)) shown[0].tabIndex = 0;
  const list = h(
    "div",
    { class: "sparklines", role: "group", "aria-label": "Every measure, as change since the first" },
    shown,
  );
  rovingTabindex(list, () => shown);
  return list;
}

/**
 * @param {object} scene
 * @param {object} measure
 * @param {(measure: string) => string} hrefOf
 * @returns {HTMLElement|null} null where there are only two networks
 */
export function historySection(scene, measure, hrefOf) {
  const { stores } = scene.comparison;
  if (stores.length < 3) return null;
  return h(
    "section",
    { class: "block" },
    h(
      "header",
      { class: "block-head" },
      h("h2", null, "Over time"),
      h(
        "p",
        null,
        `This filter in each of the ${stores.length} networks, in their order: its pictures, and the change of ${measure.title} since the first.`,
      ),
    ),
    h("ol", { class: "network-history" }, columns(scene, measure)),
    lines(scene, measure, hrefOf),
  );
}
