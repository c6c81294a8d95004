/** The filter images of both networks, and what each filter says to the other's. */
import { h, externalLink } from "../../dom/dom.js";
import { number } from "../../text/format.js";
import { hasMap, pictureUrl, tileSize } from "../../data/manifest.js";
import { frame, picture } from "../../dom/pictures.js";
import { sideHead } from "./entries.js";

function figure(side) {
  const { manifest, root, layer, filter, tag } = side;
  const size = tileSize(manifest, "max_activ", layer);
  const there = filter.pictures.includes("max_activ");
  return h(
    "div",
    { class: "side", role: "group", "aria-label": tag === "before" ? "Before" : "After" },
    sideHead(side),
    h(
      "figure",
      { class: "entry" },
      there
        ? frame(
            size,
            picture({
              src: pictureUrl(root, layer, "max_activ", filter.channel),
              alt: `filter image of filter ${filter.channel} ${tag}`,
              eager: true,
              natural: size?.[1],
            }),
          )
        : frame(size, h("span", { class: "missing" }, "not computed")),
      there && filter.ascent?.found === false
        ? h(
            "figcaption",
            null,
            h(
              "span",
              { class: "detail" },
              "No picture was found that excites this filter: what is shown is the last attempt.",
            ),
          )
        : null,
    ),
  );
}

/** Four activations, each network's filter on each picture: the longer its bar, the stronger the answer. */
function crossed(sides, four) {
  const top = Math.max(...four, 0) || 1;
  const cell = (value) =>
    h(
      "td",
      null,
      h("span", { class: "cross-figure" }, number(value)),
      h(
        "span",
        { class: "change-track", "aria-hidden": "true" },
        h("span", { style: { width: `${(Math.max(0, value) / top) * 100}%` } }),
      ),
    );
  const [mine, others, yours, own] = four;
  const unit = hasMap(sides[0].layer) ? "mean activation" : "activation";
  return h(
    "table",
    { class: "cross" },
    h(
      "caption",
      null,
      `How strongly each network\u2019s filter answers each picture (${unit}). A filter that still looks for the same answers both pictures alike.`,
    ),
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        h("td", null),
        h("th", { scope: "col" }, "picture before"),
        h("th", { scope: "col" }, "picture after"),
      ),
    ),
    h(
      "tbody",
      null,
      h("tr", null, h("th", { scope: "row" }, "filter before"), cell(mine), cell(others)),
      h("tr", null, h("th", { scope: "row" }, "filter after"), cell(yours), cell(own)),
    ),
  );
}

/**
 * @param {object[]} sides
 * @param {[number, number, number, number]|null} four as the comparison has them
 * @returns {HTMLElement|null} null where neither network has a filter image
 */
export function filterImages(sides, four) {
  if (!sides.some(({ filter }) => filter.pictures.includes("max_activ"))) return null;
  return h(
    "section",
    { class: "block" },
    h(
      "header",
      { class: "block-head" },
      h("h2", null, "Filter images"),
      h(
        "p",
        null,
        "Made from noise to excite the filter as much as possible: a ",
        externalLink("https://distill.pub/2017/feature-visualization/", "feature visualization"),
        ".",
      ),
    ),
    h(
      "div",
      { class: "filter-image-pair" },
      h("div", { class: "side-by-side" }, sides.map(figure)),
      four ? crossed(sides, four) : null,
    ),
  );
}
