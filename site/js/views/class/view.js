/** A class: the filters of all layers that prefer it. */
import { h, replace } from "../../dom/dom.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { classSummary, filtersByLayer, initialTileCount } from "../../data/classes.js";
import { ascentCount, className } from "../../data/manifest.js";
import { formatRoute } from "../../data/route.js";
import { StoreError } from "../../data/store.js";
import { count, percent, plural, truncate } from "../../text/format.js";
import { choices, neighbours, selectControl } from "../shared/controls.js";
import { layerBars } from "../shared/layer-bars.js";
import { openNetwork } from "../shared/open.js";
import { fact } from "../shared/section.js";
import { layerSection } from "./layer-section.js";

/** @import { ClassLayer } from "../../data/classes.js" */
/** @import { Classes, Context, Manifest, Route, Store, View } from "../../types.js" */

const TILE_NAMES = { crop: "Best crop", ascent: "Filter image" };

const MEANINGS = {
  crop:
    "A tile shows the one patch that excites the filter most, or the image where a unit sees all of it. " +
    "It may come from another class: which class a filter prefers is an average over all images.",
  ascent:
    "A tile shows a picture that was made from noise to excite the filter as much as it can; " +
    "where there is none, the crop is shown instead.",
};

/**
 * The kind of tile; kinds that do not make sense across layers show the crop.
 * @param {Route} route
 */
function kindOf(route) {
  return route.tile === "ascent" ? "ascent" : "crop";
}

/**
 * @param {Store} store
 * @param {string} network
 * @param {AbortSignal} signal
 * @returns {Promise<Classes|null>} null for an older store, which lacks the file
 */
async function readClasses(store, network, signal) {
  try {
    return await store.classes(network, signal);
  } catch (error) {
    if (error instanceof StoreError && error.kind === "missing") return null;
    throw error;
  }
}

/**
 * @param {Context} ctx
 * @param {Manifest} manifest
 * @param {number} index
 */
function classSelect(ctx, manifest, index) {
  return selectControl({
    id: "class-choice",
    label: "Class",
    options: manifest.dataset.classes.map((name, value) => ({ value, text: truncate(name, 40) })),
    current: index,
    onChange: (value) => ctx.go(formatRoute({ ...ctx.current(), class: Number(value) })),
  });
}

/**
 * @param {Manifest} manifest
 * @param {number} index
 * @param {ReturnType<typeof classSummary>|null} sum
 * @param {HTMLElement} [text]
 */
function head(manifest, index, sum, text) {
  const name = className(manifest, index);
  const { classes } = manifest.dataset;
  const step = (i) => {
    if (i < 0 || i >= classes.length) return null;
    return { href: formatRoute({ network: manifest.name, class: i }), text: truncate(classes[i], 24) };
  };
  return h(
    "header",
    { class: "intro" },
    h(
      "div",
      { class: "title-row" },
      h("h1", { tabindex: "-1", title: name }, truncate(name, 80)),
      neighbours("class", step(index - 1), step(index + 1), "classes"),
    ),
    text,
    sum?.filters
      ? h(
          "dl",
          { class: "facts" },
          fact("filters", count(sum.filters)),
          fact("layers", `${count(sum.layers)} of ${count(manifest.layers.length)}`),
          fact("largest share", h("span", { title: sum.most.layer.name }, truncate(sum.most.layer.name, 40))),
        )
      : null,
  );
}

/**
 * Where the store lacks the list, each layer can still be searched for the class.
 * @param {Manifest} manifest
 * @param {number} index
 */
function notRecorded(manifest, index) {
  return h(
    "section",
    { class: "message" },
    h("h2", null, "Not in this store"),
    h(
      "p",
      null,
      "An earlier version of Torchlurk wrote this store, without the list of the filters for each class. ",
      "Run the same ",
      h("code", null, "torchlurk precompute"),
      " again to add it. ",
      "Each layer can show the filters that have an image of this class among their best:",
    ),
    h(
      "ul",
      { class: "chips" },
      manifest.layers.map(({ name }) => {
        const href = formatRoute({ network: manifest.name, layer: name, class: index });
        return h("li", null, h("a", { class: "chip", href, title: name }, truncate(name, 32)));
      }),
    ),
  );
}

/**
 * The share of each layer's filters that prefer the class.
 * @param {ClassLayer[]} all every layer
 * @param {ClassLayer} most the layer with the largest share
 * @param {(at: number) => void} go to a layer's filters
 */
function layerShares(all, most, go) {
  const bars = all.map(({ at, layer, filters, share }) => ({
    at,
    value: filters.length ? percent(share) : null,
    share: share / most.share,
    words: `${layer.name}: ${count(filters.length)} of ${plural(layer.channels, "filter")} (${percent(share)})`,
    click: filters.length ? () => go(at) : undefined,
  }));
  const highest = most.layer.name.length > 60 ? `layer ${most.at + 1}` : most.layer.name;
  return h(
    "section",
    { class: "layer-bars-section", "aria-labelledby": "layer-shares" },
    h("h2", { id: "layer-shares" }, "Where it lives"),
    h(
      "p",
      { class: "chart-note" },
      "A bar for each layer, from the first to the last: the share of its filters that prefer this class. ",
      `The highest, ${highest}, stands for ${percent(most.share)}. A bar leads to its filters.`,
    ),
    layerBars(bars, { first: most.at }),
  );
}

/** @type {import("../../types.js").ViewFunction} */
export async function classView(ctx) {
  const { store, route, signal } = ctx;
  const { manifest, root } = await openNetwork(store, route.network, signal);
  const index = route.class;
  const total = manifest.dataset.classes.length;
  if (index >= total) throw new StoreError("unknown", `${truncate(manifest.name)} has no class ${index}.`);
  const name = className(manifest, index);
  const hash = (i) => (i >= 0 && i < total ? formatRoute({ network: route.network, class: i }) : null);
  /** @returns {View} */
  const view = (...content) => ({
    title: `${name}, ${manifest.title ?? manifest.name}`,
    crumbs: [{ text: name, href: hash(index) }],
    steps: { before: hash(index - 1), after: hash(index + 1) },
    node: h("article", { class: "view class" }, content),
  });
  const classes = await readClasses(store, route.network, signal);
  if (!classes) return view(head(manifest, index, null), notRecorded(manifest, index));
  const all = filtersByLayer(manifest, classes, index);
  const sum = classSummary(all);
  const label = truncate(name, 60);
  const toolbar = h("div", { class: "toolbar" });
  if (!sum.filters) {
    const images = `images of \u201c${label}\u201d`;
    const text = `No filter responds more strongly to ${images} than to those of every other class.`;
    toolbar.append(classSelect(ctx, manifest, index));
    return view(head(manifest, index, sum, h("p", { class: "lede" }, text)), toolbar);
  }
  const most = initialTileCount(manifest.layers.length);
  const sections = all
    .filter(({ filters }) => filters.length)
    .map((classLayer) =>
      layerSection(classLayer, { manifest, root, store, signal, show: ctx.show, most, scale: sum.most.share }),
    );
  const meaning = h("p", { class: "chart-note", role: "status" });
  const hasFilterImages = manifest.layers.some((layer) => ascentCount(manifest, layer) > 0);

  /** @param {Route} now */
  function draw(now) {
    const kind = kindOf(now);
    const options = Object.entries(TILE_NAMES).map(([value, text]) => ({
      value,
      text,
      href: formatRoute({ ...now, tile: value === "crop" ? null : value }),
    }));
    preserveFocus(toolbar, () =>
      replace(toolbar, hasFilterImages ? choices("Show", options, kind) : null, classSelect(ctx, manifest, index)),
    );
    meaning.textContent = MEANINGS[kind];
    for (const section of sections) section.draw(kind);
  }
  draw(route);
  const lede = h(
    "p",
    { class: "lede" },
    `${plural(sum.filters, "filter responds", "filters respond")} more strongly to images of \u201c${label}\u201d `,
    "than to those of any other class (on average, each image counted by its highest response). ",
    "The number under a tile is the filter\u2019s selectivity: ",
    "1 if only this class excites it, 0 if all classes do alike. Each layer begins with its most selective.",
  );
  return {
    ...view(
      head(manifest, index, sum, lede),
      layerShares(all, sum.most, (at) => sections.find((section) => section.at === at)?.enter()),
      toolbar,
      meaning,
      sections.map(({ node }) => node),
    ),
    update: draw,
    focus: (previous) => {
      if (previous.network !== route.network || previous.channel === null) return null;
      return sections.find((section) => section.name === previous.layer)?.find(previous.channel) ?? null;
    },
  };
}
