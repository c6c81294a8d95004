/** In which layers a class lives: one bar a layer, as high as its share of the layer's filters. */
import { h } from "../../dom/dom.js";
import { count, percent, plural } from "../../text/format.js";
import { rove } from "../../dom/roving-tabindex.js";

/** Up to so many layers, each bar says what it stands for. */
const ROOMY = 24;

/**
 * @param {import("../../data/classes.js").Home[]} all every layer
 * @param {import("../../data/classes.js").Home} most the one with the largest share
 * @param {(at: number) => void} go to the layer's filters
 */
export function homeBars(all, most, go) {
  const roomy = all.length <= ROOMY;
  const bars = all.map(({ at, layer, filters, share }) => {
    const words = `${layer.name}: ${count(filters.length)} of ${plural(layer.channels, "filter")} (${percent(share)})`;
    const inside = [
      h(
        "span",
        { class: "life-room" },
        roomy && filters.length ? h("span", { class: "life-value", "aria-hidden": "true" }, percent(share)) : null,
        h("span", { class: "life-mark", style: { height: `calc((100% - var(--above)) * ${share / most.share})` } }),
      ),
      h("span", { class: "life-number", "aria-hidden": "true" }, at + 1),
      h("span", { class: "unseen" }, words),
    ];
    return h(
      "li",
      null,
      filters.length
        ? h(
            "button",
            {
              type: "button",
              class: "life",
              title: words,
              tabindex: at === most.at ? "0" : "-1",
              on: { click: () => go(at) },
            },
            inside,
          )
        : h("span", { class: "life none", title: words }, inside),
    );
  });
  const list = h("ol", { class: roomy ? "life-bars" : "life-bars many" }, bars);
  rove(list, () => [...list.querySelectorAll("button")]);
  return h(
    "section",
    { class: "lives", "aria-labelledby": "lives" },
    h("h2", { id: "lives" }, "Where it lives"),
    h(
      "p",
      { class: "lives-meaning" },
      "A bar for each layer, from the first to the last: the share of its filters that prefer this class. ",
      `The highest, ${most.layer.name.length > 60 ? `layer ${most.at + 1}` : most.layer.name}, stands for ${percent(most.share)}. A bar leads to its filters.`,
    ),
    list,
  );
}
