/** A comparison: which layers changed, and how much. */
import { scaleText } from "../../text/changes.js";
import { filterCount, layerRows, measureOf, pairOf } from "../../data/comparison.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { h, replace } from "../../dom/dom.js";
import { truncate, plural } from "../../text/format.js";
import { formatRoute } from "../../data/route.js";
import { measureChoice, pairChoice, sideLink, sidesOf, usedControl } from "./controls.js";
import { changeChart, changeRows } from "./layers.js";
import { comparisonsNav } from "../shared/comparisons-nav.js";
import { choices } from "../shared/controls.js";

const ORDER_NAMES = { change: "Most changed first", place: "In order" };

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
      `What became of each of ${filters} in ${plural(layers.length, "layer")}, from `,
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

/** @param {object} ctx */
export async function comparisonView(ctx) {
  const { store, route, signal } = ctx;
  const [comparison, list] = await Promise.all([store.comparison(route.comparison, signal), store.comparisons(signal)]);
  const pair = pairOf(comparison, route.pair);
  const sides = await sidesOf(store, comparison, [pair.from, pair.to], signal);
  const bar = h("div", { class: "toolbar" });
  const meaning = h("p", { class: "chart-note" });
  const chart = h("div", { class: "change-chart" });
  const place = h("section", { class: "block", "aria-labelledby": "layers" });
  const many = comparison.stores.length > 2;
  let rows = null;

  function draw(now) {
    const measure = measureOf(comparison, now.by);
    const inOrder = layerRows(comparison, pair.at, measure.name);
    preserveFocus(bar, () =>
      replace(
        bar,
        pairChoice(ctx, comparison, pair, now),
        measureChoice(ctx, comparison, measure),
        choices(
          "Rows",
          Object.entries(ORDER_NAMES).map(([value, text]) => ({
            value,
            text,
            href: formatRoute({ ...now, order: value }),
          })),
          now.order,
        ),
      ),
    );
    replace(
      meaning,
      "A bar for each layer, from the first to the last: how much its filters changed on average; it leads to them. The change is that of ",
      h("b", null, measure.title),
      `: ${measure.says} (${scaleText(measure)}).`,
    );
    replace(chart, changeChart(inOrder, now));
    rows = changeRows(layerRows(comparison, pair.at, measure.name, now.order), {
      comparison,
      pair,
      measure,
      sides,
      now,
    });
    replace(
      place,
      h(
        "header",
        { class: "block-head" },
        h("h2", { id: "layers" }, "Layer by layer"),
        h(
          "p",
          null,
          "The mean change of a layer\u2019s filters",
          many ? `, and its course over the ${comparison.stores.length} networks` : null,
          "; how many filters changed by how much (gray: not at all); and the filter that changed most, before and after.",
        ),
      ),
      rows.node,
    );
  }
  draw(route);
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
      bar,
      place,
      comparisonsNav(
        "Other comparisons",
        list.comparisons.filter(({ name }) => name !== comparison.name),
      ),
    ),
    update: draw,
    focus: (previous) => {
      const link =
        previous.comparison === route.comparison && previous.layer !== null ? rows.linkTo(previous.layer) : null;
      if (link) rows.setCurrent(link);
      return link ?? usedControl(bar, previous, route);
    },
  };
}
