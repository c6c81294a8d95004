/** A comparison: which layers changed, and how much. */
import { h, replace } from "../../dom/dom.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { filterCount, layerRows, measureOf, pairOf } from "../../data/comparison.js";
import { formatRoute } from "../../data/route.js";
import { scaleText } from "../../text/changes.js";
import { plural, truncate } from "../../text/format.js";
import { comparisonsNav } from "../shared/comparisons-nav.js";
import { choices } from "../shared/controls.js";
import { section } from "../shared/section.js";
import { measureControl, openSides, pairControl, sideLink, usedPairControl } from "./controls.js";
import { changeChart, changeRows } from "./layers.js";

/** @import { Comparison, Pair, Route, Side } from "../../types.js" */

const ORDER_NAMES = { change: "Most changed first", place: "In order" };

/**
 * @param {Comparison} comparison
 * @param {Side[]} sides
 * @param {Pair} pair
 */
function head(comparison, sides, pair) {
  const { dataset, layers, note } = comparison;
  const filters = plural(filterCount(comparison), "filter");
  return h(
    "header",
    { class: "intro" },
    h("h1", { tabindex: "-1", title: comparison.title }, truncate(comparison.title, 80)),
    h(
      "p",
      { class: "lede" },
      `How each of ${filters} in ${plural(layers.length, "layer")} changed, from `,
      sideLink(sides[0]),
      " (before) to ",
      sideLink(sides[1]),
      " (after), over the same ",
      h("span", { title: dataset.name }, plural(dataset.images, "image")),
      `. ${pair.summary}`,
    ),
    note ? h("p", { class: "absent" }, note) : null,
  );
}

/** @type {import("../../types.js").ViewFunction} */
export async function comparisonView(ctx) {
  const { store, route, signal } = ctx;
  const [comparison, list] = await Promise.all([store.comparison(route.comparison, signal), store.comparisons(signal)]);
  const pair = pairOf(comparison, route.pair);
  const sides = await openSides(ctx, comparison, [pair.from, pair.to]);
  const toolbar = h("div", { class: "toolbar" });
  const meaning = h("p", { class: "chart-note" });
  const chart = h("div", { class: "change-chart" });
  const rowsSlot = h("div");
  const text = [
    "The mean change of a layer\u2019s filters",
    comparison.stores.length > 2 ? `, and its course over the ${comparison.stores.length} networks` : null,
    "; how many filters changed by how much (gray: not at all); and the filter that changed most, before and after.",
  ];
  /** @type {ReturnType<typeof changeRows>|null} */
  let rows = null;

  /** @param {Route} now */
  function draw(now) {
    const measure = measureOf(comparison, now.by);
    const orders = Object.entries(ORDER_NAMES).map(([value, name]) => ({
      value,
      text: name,
      href: formatRoute({ ...now, order: value }),
    }));
    preserveFocus(toolbar, () =>
      replace(
        toolbar,
        pairControl(ctx, comparison, pair, now),
        measureControl(ctx, comparison, measure),
        choices("Rows", orders, now.order),
      ),
    );
    replace(
      meaning,
      "A bar for each layer, from the first to the last: how much its filters changed on average; it leads to them. ",
      "The change is that of ",
      h("b", null, measure.title),
      `: ${measure.says} (${scaleText(measure)}).`,
    );
    replace(chart, changeChart(layerRows(comparison, pair.at, measure.name), now));
    const ordered = layerRows(comparison, pair.at, measure.name, now.order);
    rows = changeRows(ordered, { comparison, pair, measure, sides, now });
    replace(rowsSlot, rows.node);
  }
  draw(route);

  const others = list.comparisons.filter(({ name }) => name !== comparison.name);
  return {
    title: comparison.title,
    crumbs: [],
    node: h(
      "article",
      { class: "view comparison" },
      head(comparison, sides, pair),
      h(
        "section",
        { class: "layer-bars-section", "aria-labelledby": "where" },
        h("h2", { id: "where" }, "Where it changed"),
        chart,
        meaning,
      ),
      toolbar,
      section({ title: "Layer by layer", text, id: "layers" }, rowsSlot),
      comparisonsNav("Other comparisons", others),
    ),
    update: draw,
    focus: (previous) => {
      const isBelow = previous.comparison === route.comparison && previous.layer !== null;
      const link = isBelow ? rows.linkTo(previous.layer) : null;
      if (link) rows.setCurrent(link);
      return link ?? usedPairControl(toolbar, previous, route);
    },
  };
}
