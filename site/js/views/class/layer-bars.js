/** In which layers a class lives: one bar a layer, as high as its share of the layer's filters. */
import { h } from "../../dom/dom.js";
import { count, percent, plural } from "../../text/format.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";

/** Up to so many layers, each bar says what it stands for. */
const ROOMY = 24;

/**
 * @param {import("../../data/classes.js").Home[]} all every layer
 * @param {import("../../data/classes.js").Home} most the one with the largest share
 * @param {(at: number) => void} go to the layer's filters
 */
export function layerBars(all, most, go) {
  const roomy = all.length <= ROOMY;
  const bars = all.map(({ at, layer, filters, share }) => {
    const words = `${layer.name}: ${count(filters.length)} of ${plural(layer.channels, "filter")} (${percent(share)})`;
    const inside = [
      h(
        "span",
        { class: "layer-bar-room" },
        roomy && filters.length ? h("span", { class: "layer-bar-value", "aria-hidden": "true" }, percent(share)) : null,
        h("span", {
          class: "layer-bar-mark",
          style: { height: `calc((100% - var(--above)) * ${share / most.share})` },
        }),
      ),
      h("span", { class: "layer-bar-number", "aria-hidden": "true" }, at + 1),
      h("span", { class: "visually-hidden" }, words),
    ];
    return h(
      "li",
      null,
      filters.length
        ? h(
            "button",
            {
              type: "button",
              class: "layer-bar",
              title: words,
              tabindex: at === most.at ? "0" : "-1",
              on: { click: () => go(at) },
            },
            inside,
          )
        : h("span", { class: "layer-bar none", title: words }, inside),
    );
  });
  const list = h("ol", { class: roomy ? "layer-bars" : "layer-bars many" }, bars);
  rovingTabindex(list, () => [...list.querySelectorAll("button")]);
  return h(
    "section",
    { class: "layer-bars-section", "aria-labelledby": "lives" },
    h("h2", { id: "lives" }, "Where it lives"),
    h(
      "p",
      { class: "chart-note" },
      "A bar for each layer, from the first to the last: the share of its filters that prefer this class. ",
      `The highest, ${most.layer.name.length > 60 ? `layer ${most.at + 1}` : most.layer.name}, stands for ${percent(most.share)}. A bar leads to its filters.`,
    ),
    list,
  );
}
