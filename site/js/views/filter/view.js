/** One filter: what excites it most, and its numbers. */
import { h, replace } from "../../dom/dom.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { SORT_TEXTS, neighboursOf } from "../../data/filters.js";
import { className, hasCrops, hasMap } from "../../data/manifest.js";
import { pictureSources } from "../../data/packs.js";
import { formatRoute } from "../../data/route.js";
import { count, number, percent, sizeText, truncate, truncateStart } from "../../text/format.js";
import { neighbours, showChoices } from "../shared/controls.js";
import { filterOf, layerOf, openImages, openNetwork } from "../shared/open.js";
import { section } from "../shared/section.js";
import { gradientMethod } from "../shared/tile-pictures.js";
import { circuitSection } from "./circuit.js";
import { classSection } from "./classes.js";
import { responseSection, statisticsSection } from "./numbers.js";
import { averageFigures, filterImageSection, strongestFigures } from "./pictures.js";

/** @import { Filter, Layer, Manifest, PictureSources, Route } from "../../types.js" */

/**
 * What kind of filter this is, in one sentence.
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @param {Filter} filter
 */
function summary(manifest, layer, filter) {
  const { active, selectivity } = filter.stats;
  if (active === 0) return "No image of this data set excites this filter: it is dead here.";
  const best = filter.classes.max[0];
  const where = hasMap(layer) ? "somewhere in" : "to";
  const words = [`It responds ${where} ${active === 1 ? "every image" : `${percent(active)} of the images`}`];
  if (best) words.push(`, most of all to “${truncate(className(manifest, best[0]), 60)}”`);
  if (selectivity !== null && selectivity !== undefined) {
    const how = selectivity > 0.6 ? "strongly" : selectivity > 0.3 ? "moderately" : "barely";
    words.push(`, and is ${how} selective for its class (${number(selectivity, 2)})`);
  }
  return `${words.join("")}.`;
}

/**
 * The pictures to fetch before a neighbour is opened. Of packs these are those of the next filter, which come in one
 * request; its images lie in many packs, and the previous filter is more often one that the visitor comes from.
 * @param {PictureSources} sources
 * @param {import("../../data/filters.js").Neighbours} neighbours
 */
function picturesAhead(sources, { before, after }) {
  const strips = (filter) => filter.pictures.map((kind) => sources.strip(kind, filter.channel));
  const images = ({ max, avg }) => [...max, ...avg].map(({ image }) => sources.image(image));
  if (sources.isPacked) return after ? strips(after) : [];
  return [after, before].flatMap((filter) => (filter ? [...strips(filter), ...images(filter)] : []));
}

/**
 * What the strongest images are, in words.
 * @param {Manifest} manifest
 * @param {Layer} layer
 */
function strongestText(manifest, layer) {
  if (!hasMap(layer)) {
    return [
      "This layer has no map: each filter gives one number per image. These are the images with the highest; ",
      "a gradient shows which pixels excite the filter, by ",
      gradientMethod(manifest),
      "; mid-gray means none.",
    ];
  }
  if (!hasCrops(manifest, layer)) {
    return [
      "The images with the highest single activation. Each unit of this layer sees all of an image; ",
      "a gradient shows which pixels excite the one that responds, by ",
      gradientMethod(manifest),
      "; mid-gray means none.",
    ];
  }
  const field = layer.receptive_field ? `${sizeText(layer.receptive_field.size)} pixels` : "the whole input";
  return [
    "The images with the highest single activation; the box is the receptive field of the unit that responds (",
    field,
    "). Below each, that patch and its gradient.",
  ];
}

/**
 * Where a filter stands in the order that the visitor chose; null in order of number.
 * @param {Manifest} manifest
 * @param {Route} route
 * @param {import("../../data/filters.js").Neighbours} neighbours
 */
function sortedPosition(manifest, route, { place, of, chosen }) {
  if (route.sort === "channel" && !chosen) return null;
  const name = chosen ? ` with an image of \u201c${truncate(className(manifest, route.class), 40)}\u201d` : "";
  return h(
    "p",
    { class: "sorted-position" },
    `${count(place)} of ${count(of)} filters${name}, ${SORT_TEXTS[route.sort]}`,
  );
}

/** @type {import("../../types.js").ViewFunction} */
export async function filterView(ctx) {
  const { store, route, signal } = ctx;
  const { manifest, root } = await openNetwork(store, route.network, signal);
  const layer = layerOf(manifest, route.layer);
  const [file, images] = await Promise.all([
    store.layer(route.network, layer.data, signal),
    openImages(store, route.network, signal),
  ]);
  const { filters, names } = file;
  const filter = filterOf(filters, layer.name, route.channel);
  const name = names?.[filter.channel];
  const title = `Filter ${filter.channel}${name ? `: ${truncate(name, 60)}` : ""}`;
  const sources = pictureSources({ manifest, root, layer, file, images });
  const scene = { manifest, root, layer, sources, show: ctx.show, filter, images: images?.images ?? {}, signal };
  let near = neighboursOf(filters, route, filter.channel);
  const step = (other) =>
    other ? { href: formatRoute({ ...ctx.current(), channel: other.channel }), text: String(other.channel) } : null;
  const strongest = h("div", { class: "entries" });
  const averages = h("div", { class: "entries" });
  const toolbar = h("div", { class: "toolbar" });
  const nav = h("div", { class: "nav-slot" });

  /** @param {Route} now */
  function draw(now) {
    near = neighboursOf(filters, now, filter.channel);
    replace(nav, neighbours("filter", step(near.before), step(near.after)), sortedPosition(manifest, route, near));
    preserveFocus(toolbar, () => replace(toolbar, showChoices(now)));
    replace(strongest, strongestFigures(scene, now.show));
    replace(averages, averageFigures(scene, now.show));
  }
  draw(route);

  const averageText = [
    "The images that excite the filter most over their whole area. A gradient shows which pixels excite it, by ",
    gradientMethod(manifest),
    "; mid-gray means none.",
  ];
  const ahead = picturesAhead(sources, near);
  return {
    title: `${title}, ${layer.name}, ${manifest.title ?? manifest.name}`,
    crumbs: [
      {
        text: layer.name,
        short: truncateStart(layer.name),
        href: formatRoute({ ...route, channel: null, show: "image" }),
      },
      { text: String(filter.channel), href: formatRoute(route) },
    ],
    get steps() {
      return { before: step(near.before)?.href, after: step(near.after)?.href };
    },
    node: h(
      "article",
      { class: "view filter" },
      h(
        "header",
        { class: "intro" },
        h("div", { class: "title-row" }, h("h1", { tabindex: "-1" }, title), nav),
        h("p", { class: "lede" }, summary(manifest, layer, filter)),
      ),
      h(
        "div",
        { class: "hero" },
        filterImageSection(scene),
        section({ title: "Strongest responses", text: strongestText(manifest, layer) }, toolbar, strongest),
      ),
      hasMap(layer) ? section({ title: "Highest on average", text: averageText }, averages) : null,
      h("div", { class: "plots" }, classSection(scene), responseSection(scene, ctx)),
      circuitSection(scene, ctx),
      statisticsSection(scene),
    ),
    update: draw,
    ready: () => ctx.prefetch(ahead),
  };
}
