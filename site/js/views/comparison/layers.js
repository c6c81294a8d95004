/** The layers of a comparison: a bar each, in order, and a row each with what became of it. */
import { layerHistory } from "../../data/comparison.js";
import { changeBins } from "../../plots/bins.js";
import { h } from "../../dom/dom.js";
import { count, truncate, number, plural } from "../../text/format.js";
import { changeHistogram, distributionText } from "../../plots/change-histogram.js";
import { sparkline } from "../../plots/sparkline.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { formatRoute } from "../../data/route.js";
import { picturePair, previewKinds, previewPicture } from "./pictures.js";

/** Up to so many layers, each bar says what it stands for. */
const ROOMY = 24;

/**
 * One bar a layer, as high as its filters changed on average.
 * @param {import("../../data/comparison.js").Row[]} rows in the order of the network
 * @param {import("../../data/route.js").Route} now
 */
export function changeChart(rows, now) {
  const roomy = rows.length <= ROOMY;
  const top = Math.max(...rows.map(({ distribution }) => distribution?.mean ?? 0)) || 1;
  const links = rows.map(({ at, layer, distribution }) => {
    const mean = distribution?.mean ?? null;
    const words = `${layer.name}: ${mean === null ? "not known" : number(mean, 2)}`;
    return h(
      "li",
      null,
      h(
        "a",
        {
          class: mean ? "layer-bar" : "layer-bar none",
          href: formatRoute({ ...now, layer: layer.name }),
          title: words,
          tabindex: at === 0 ? "0" : "-1",
        },
        h(
          "span",
          { class: "layer-bar-room", "aria-hidden": "true" },
          roomy ? h("span", { class: "layer-bar-value" }, number(mean, 2)) : null,
          h("span", {
            class: "layer-bar-mark",
            style: { height: `calc((100% - var(--above)) * ${(mean ?? 0) / top})` },
          }),
        ),
        h("span", { class: "layer-bar-number", "aria-hidden": "true" }, at + 1),
        h("span", { class: "visually-hidden" }, words),
      ),
    );
  });
  const list = h(
    "ol",
    { class: roomy ? "layer-bars" : "layer-bars many", "aria-label": "Layers, from the first to the last" },
    links,
  );
  rovingTabindex(list, () => [...list.querySelectorAll("a")]);
  return list;
}

/** Two small pictures of the layer's most changed filter. */
function example(sides, layer, distribution) {
  const channel = distribution?.most ?? null;
  const [kind] = channel === null || !distribution.max ? [] : previewKinds(sides, layer.name, channel);
  if (!kind) return null;
  return h(
    "span",
    { class: "change-example" },
    picturePair(...sides.map((side) => previewPicture(side, layer.name, channel, kind))),
    h("span", { class: "change-note" }, `most: filter ${channel}, ${number(distribution.max, 2)}`),
  );
}

/** Where there are more than two networks: how the layer went from the first to the last. */
function trend({ comparison, pair, measure }, at) {
  if (comparison.stores.length < 3) return null;
  const values = layerHistory(comparison, at, measure.name);
  const words = values.map((value) => number(value, 2)).join(", ");
  return sparkline(values, { label: `Change since the first network: ${words}`, marks: [pair.from, pair.to] });
}

function row({ at, layer, change, distribution }, scene) {
  const { measure, sides, scale, now } = scene;
  const mean = distribution?.mean ?? null;
  return h(
    "li",
    { class: "change-row", data: { layer: layer.name } },
    h(
      "div",
      { class: "change-head" },
      h("span", { class: "card-number", "aria-hidden": "true" }, String(at + 1).padStart(2, "0")),
      h(
        "h3",
        null,
        h(
          "a",
          { class: "change-link", href: formatRoute({ ...now, layer: layer.name }), title: layer.name },
          truncate(layer.name, 60),
        ),
      ),
      h("span", { class: "change-kind" }, `${truncate(layer.kind, 24)}, ${plural(layer.channels, "filter")}`),
    ),
    h(
      "div",
      { class: "change-size" },
      h("span", { class: "change-figure" }, number(mean, 2)),
      h(
        "span",
        { class: "change-track", "aria-hidden": "true" },
        h("span", { style: { width: `${((mean ?? 0) / scale) * 100}%` } }),
      ),
      h(
        "span",
        { class: "change-note" },
        distribution
          ? `${count(distribution.counted - distribution.unchanged)} of ${count(distribution.counted)} changed`
          : "no filter has this measure",
      ),
      trend(scene, at),
    ),
    h(
      "div",
      { class: "change-distribution" },
      distribution
        ? [
            changeHistogram(changeBins(distribution.histogram, measure.edges), {
              label: `How its filters are spread: ${distributionText(distribution)}`,
            }),
            h(
              "span",
              { class: "change-ends", "aria-hidden": "true" },
              histogramEnds(measure).map((text) => h("span", null, text)),
            ),
          ]
        : null,
    ),
    example(sides, layer, distribution),
    h("p", { class: "change-summary" }, change.summary),
  );
}

/** What stands below the ends of a histogram. */
export function histogramEnds({ signed, edges }) {
  const last = number(edges.at(-1), 2);
  return signed ? [`\u2264 ${number(edges[0], 2)}`, "same", `\u2265 ${last}`] : ["same", `\u2265 ${last}`];
}

/**
 * A row a layer.
 * @param {import("../../data/comparison.js").Row[]} rows in the order to show
 * @param {object} scene
 */
export function changeRows(rows, scene) {
  const scale = Math.max(...rows.map(({ distribution }) => distribution?.mean ?? 0)) || 1;
  const list = h(
    "ol",
    { class: "change-rows" },
    rows.map((one) => row(one, { ...scene, scale })),
  );
  const links = () => [...list.querySelectorAll(".change-link")];
  const roving = rovingTabindex(list, links);
  for (const link of links()) link.tabIndex = -1;
  roving.reset();
  return {
    node: list,
    linkTo: (name) => links().find((link) => link.closest("li").dataset.layer === name) ?? null,
    setCurrent: roving.setCurrent,
  };
}
