/** One filter: what excites it most, and the numbers behind that. */
import { h, externalLink, replace } from "../../dom/dom.js";
import { SORT_TEXTS, neighboursOf } from "../../data/filters.js";
import { count, truncate, number, percent, truncateStart, sizeText } from "../../text/format.js";
import { className, hasCrops, hasMap, imageUrl, layerIndex, pictureUrl } from "../../data/manifest.js";
import { prefetchPictures } from "../../dom/prefetch-pictures.js";
import { StoreError } from "../../data/store.js";
import { formatRoute } from "../../data/route.js";
import { choices, neighbours } from "../shared/controls.js";
import { averageFigures, filterImageSection, strongestFigures } from "./pictures.js";
import { classSection } from "./classes.js";
import { responseSection, statisticsSection } from "./numbers.js";

const SHOW_NAMES = { image: "Image", gradient: "Gradient", overlay: "Overlay" };

/** One sentence that says what kind of filter this is. */
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

function find(manifest, route, filters) {
  const filter = filters.find((one) => one.channel === route.channel);
  if (filter) return filter;
  throw new StoreError(
    "unknown",
    `${truncate(route.layer)} has no filter ${route.channel}: they are numbered from 0 to ${filters.length - 1}.`,
  );
}

/** All pictures of a filter's page. */
function picturesOf(root, layer, filter) {
  return [
    ...filter.pictures.map((kind) => pictureUrl(root, layer, kind, filter.channel)),
    ...[...filter.max, ...filter.avg].map((entry) => imageUrl(root, entry.image)),
  ];
}

function methods() {
  return [
    externalLink("https://arxiv.org/abs/1311.2901", "deconvolution"),
    " or ",
    externalLink("https://arxiv.org/abs/1412.6806", "guided backpropagation"),
  ];
}

/** What the images are, in plain words. */
function strongestWords(manifest, layer) {
  if (!hasMap(layer)) {
    return [
      "This layer has no map: each filter gives one number per image. These are the images with the highest; a gradient shows which pixels excite the filter, by ",
      ...methods(),
      "; mid-gray means none.",
    ];
  }
  if (!hasCrops(manifest, layer)) {
    return [
      "The images with the highest single activation. Each unit of this layer sees all of an image; a gradient shows which pixels excite the one that responds, by ",
      ...methods(),
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

/** Where a filter stands among those that the visitor came through; empty where that is in order of number. */
function standing(manifest, route, { place, of, chosen }) {
  if (route.sort === "channel" && !chosen) return null;
  const name = chosen ? ` with an image of \u201c${truncate(className(manifest, route.class), 40)}\u201d` : "";
  return h(
    "p",
    { class: "sorted-position" },
    `${count(place)} of ${count(of)} filters${name}, ${SORT_TEXTS[route.sort]}`,
  );
}

function section(title, explanation, ...content) {
  return h(
    "section",
    { class: "block" },
    h("header", { class: "block-head" }, h("h2", null, title), h("p", null, explanation)),
    content,
  );
}

/** @param {object} ctx */
export async function filterView(ctx) {
  const { store, route, signal } = ctx;
  const [manifest, root] = await Promise.all([
    store.network(route.network, signal),
    store.folder(route.network, signal),
  ]);
  const layer = manifest.layers[layerIndex(manifest, route.layer)];
  if (!layer) throw new StoreError("unknown", `${truncate(manifest.name)} has no layer “${truncate(route.layer)}”.`);
  const { filters, names } = await store.layer(route.network, layer.data, signal);
  const filter = find(manifest, route, filters);
  const name = names?.[filter.channel];
  const called = `Filter ${filter.channel}${name ? `: ${truncate(name, 60)}` : ""}`;
  // Paths of images are a courtesy: without them everything else still stands.
  const images = await store.images(route.network, signal).catch((error) => {
    if (signal.aborted) throw error;
    return {};
  });
  const scene = { ctx, manifest, root, layer, filter, images, signal };
  let beside = neighboursOf(filters, route, filter.channel);
  const step = (other) =>
    other ? { href: formatRoute({ ...ctx.current(), channel: other.channel }), text: String(other.channel) } : null;
  const top = h("div", { class: "entries" });
  const mean = h("div", { class: "entries" });
  const bar = h("div", { class: "toolbar" });
  const nav = h("div", { class: "nav-slot" });

  function draw(now) {
    const focused = document.activeElement?.closest?.(".toolbar .choice")?.dataset.value ?? null;
    const options = Object.keys(SHOW_NAMES).map((value) => ({
      value,
      text: SHOW_NAMES[value],
      href: formatRoute({ ...now, show: value }),
    }));
    beside = neighboursOf(filters, now, filter.channel);
    replace(nav, neighbours("filter", step(beside.before), step(beside.after)), standing(manifest, route, beside));
    replace(bar, choices("Show", options, now.show));
    if (focused) [...bar.querySelectorAll(".choice")].find((one) => one.dataset.value === focused)?.focus();
    replace(top, strongestFigures(scene, now.show));
    replace(mean, averageFigures(scene, now.show));
  }
  draw(route);
  const map = hasMap(layer);
  const near = [beside.after, beside.before];
  return {
    title: `${called}, ${layer.name}, ${manifest.title ?? manifest.name}`,
    crumbs: [
      {
        text: layer.name,
        short: truncateStart(layer.name),
        href: formatRoute({ ...route, channel: null, show: "image" }),
      },
      { text: String(filter.channel), href: formatRoute(route) },
    ],
    get steps() {
      return { before: step(beside.before)?.href, after: step(beside.after)?.href };
    },
    node: h(
      "article",
      { class: "view filter" },
      h(
        "header",
        { class: "intro" },
        h("div", { class: "title-row" }, h("h1", { tabindex: "-1" }, called), nav),
        h("p", { class: "lede" }, summary(manifest, layer, filter)),
      ),
      h(
        "div",
        { class: "hero" },
        filterImageSection(scene),
        section("Strongest responses", strongestWords(manifest, layer), bar, top),
      ),
      map
        ? section(
            "Highest on average",
            [
              "The images that excite the filter most over their whole area. A gradient shows which pixels excite it, by ",
              ...methods(),
              "; mid-gray means none.",
            ],
            mean,
          )
        : null,
      h("div", { class: "plots" }, classSection(scene), responseSection(scene)),
      statisticsSection(scene),
    ),
    update: draw,
    ready: () =>
      prefetchPictures(
        near.flatMap((one) => (one ? picturesOf(root, layer, one) : [])),
        signal,
      ),
  };
}
