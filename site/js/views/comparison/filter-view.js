/** One filter before and after: what it looks for in both networks, and how much that changed. */
import { h, replace } from "../../dom/dom.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { changeRank, channelsByChange, measureOf, valuesOf } from "../../data/comparison.js";
import { hasCrops, hasMap } from "../../data/manifest.js";
import { pictureSources } from "../../data/packs.js";
import { formatRoute } from "../../data/route.js";
import { changeSummary, correlationText, rankText } from "../../text/changes.js";
import { truncate, truncateStart } from "../../text/format.js";
import { neighbours, showChoices } from "../shared/controls.js";
import { filterOf, openImages } from "../shared/open.js";
import { section } from "../shared/section.js";
import { classesSection } from "./classes.js";
import { openComparedLayer, openSides, pairControl, usedPairControl } from "./controls.js";
import { imageLists, sharedImagesText } from "./entries.js";
import { filterImagesSection } from "./filter-images.js";
import { historySection } from "./history.js";
import { measuresSection } from "./measures.js";

/** @import { Context, FilterSide, Route } from "../../types.js" */

/**
 * What the view is drawn from.
 * @param {Context} ctx
 */
async function open(ctx) {
  const { store, route, signal } = ctx;
  const scene = await openComparedLayer(ctx);
  const { comparison, layer } = scene;
  const { channel } = route;
  /** @type {FilterSide[]} */
  const sides = await Promise.all(
    scene.sides.map(async (side) => {
      const filter = filterOf(side.filters.slice(0, layer.channels), layer.name, channel);
      const images = await openImages(store, side.name, signal);
      const sources = pictureSources({ ...side, images });
      return { ...side, sources, filter, images: images?.images ?? {} };
    }),
  );
  const all = comparison.stores.map((_, i) => i);
  const networks = all.length > 2 ? await openSides(ctx, comparison, all) : [];
  return { ...scene, sides, channel, networks };
}

/**
 * What the strongest images are, in words.
 * @param {FilterSide[]} sides
 */
function strongestText(sides) {
  const [{ manifest, layer }] = sides;
  const shared = sharedImagesText(sides, "max");
  if (!hasMap(layer)) return ["The images to which the filter gives the highest number. ", shared];
  if (!hasCrops(manifest, layer)) return ["The images with the highest single activation. ", shared];
  const gradients = sides.some(({ filter }) => filter.pictures.includes("cropped_grad"));
  return [
    "The images with the highest single activation; the box is the receptive field of the unit that responds. ",
    `Below each, that patch${gradients ? " and its gradient" : ""}. `,
    shared,
  ];
}

/**
 * Which filter is most like this one after, if another is.
 * @param {FilterSide} after
 * @param {[number, number]|null|undefined} partner the filter and the correlation
 */
function partnerText(after, partner) {
  if (!partner || partner[0] === after.filter.channel) return null;
  const [channel, correlation] = partner;
  const href = formatRoute({ network: after.name, layer: after.layer.name, channel });
  return [
    " After, ",
    h("a", { class: "text-link", href }, `filter ${channel}`),
    ` is more like it than the one in its own place: their maps correlate at ${correlationText(correlation)}.`,
  ];
}

/** @type {import("../../types.js").ViewFunction} */
export async function comparisonFilterView(ctx) {
  const { route } = ctx;
  const scene = await open(ctx);
  const { comparison, layer, pair, sides, changes, channel } = scene;
  const name = sides[0].names?.[channel];
  const title = `Filter ${channel}${name ? `: ${truncate(name, 60)}` : ""}`;
  const k = Math.min(comparison.k, comparison.dataset.images);
  const hasGradients = sides.some(({ filter }) =>
    filter.pictures.some((kind) => kind === "max_grads" || kind === "avg_grads"),
  );
  const pairs = h("div", { class: "toolbar" }, pairControl(ctx, comparison, pair, route));
  const toolbar = h("div", { class: "toolbar" });
  const nav = h("div", { class: "nav-slot" });
  const rank = h("p", { class: "status" });
  const history = h("div", { class: "history" });
  const strongest = h("div", { class: "side-by-side" });
  const averages = h("div", { class: "side-by-side" });
  /** @type {{before?: string|null, after?: string|null}} */
  const steps = {};

  /** @param {Route} now */
  function draw(now) {
    const measure = measureOf(comparison, now.by);
    const values = valuesOf(changes, measure.name, layer.channels);
    const order = channelsByChange(values);
    const at = order.indexOf(channel);
    const step = (other) =>
      other === undefined ? null : { href: formatRoute({ ...now, channel: other }), text: String(other) };
    const [before, after] = [step(order[at - 1]), step(order[at + 1])];
    Object.assign(steps, { before: before?.href, after: after?.href });
    replace(nav, neighbours("filter", before, after));
    const own = changeRank(values, channel);
    replace(rank, own && values[channel] ? `By ${measure.title}, ${rankText(own)} in this layer.` : null);
    preserveFocus(toolbar, () => replace(toolbar, hasGradients || now.show !== "image" ? showChoices(now) : null));
    const left = history.querySelector(".sparklines")?.scrollLeft ?? 0;
    preserveFocus(history, () =>
      replace(
        history,
        historySection(scene, measure, (by) => formatRoute({ ...now, by })),
      ),
    );
    if (left) history.querySelector(".sparklines").scrollLeft = left;
    replace(strongest, imageLists(sides, "max", now.show));
    replace(averages, imageLists(sides, "avg", now.show));
  }
  draw(route);

  const averageText = [
    "The images that excite the filter most over their whole area. ",
    sharedImagesText(sides, "avg"),
  ];
  return {
    title: `${title}, ${layer.name}, ${comparison.title}`,
    crumbs: [
      {
        text: layer.name,
        short: truncateStart(layer.name),
        href: formatRoute({ ...route, channel: null, show: "image" }),
      },
      { text: String(channel), href: formatRoute(route) },
    ],
    steps,
    node: h(
      "article",
      { class: "view filter compared" },
      h(
        "header",
        { class: "intro" },
        h("div", { class: "title-row" }, h("h1", { tabindex: "-1" }, title), nav),
        h(
          "p",
          { class: "lede" },
          changeSummary(changes, channel, k),
          partnerText(sides[1], changes.partners?.[channel]),
        ),
        rank,
      ),
      comparison.pairs.length > 1 ? pairs : null,
      history,
      filterImagesSection(sides, changes.cross?.[channel] ?? null),
      section({ title: "Strongest responses", text: strongestText(sides) }, toolbar, strongest),
      hasMap(sides[0].layer) ? section({ title: "Highest on average", text: averageText }, averages) : null,
      classesSection(sides),
      measuresSection(scene),
    ),
    update: draw,
    focus: (previous) => usedPairControl(pairs, previous, route),
  };
}
