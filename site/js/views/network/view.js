/** The network: its layers as cards with a few pictures each, and the data flow between them. */
import { prefetch, savesData } from "../../data/prefetch.js";
import { closest, h } from "../../dom/dom.js";
import { count, truncate, plural } from "../../text/format.js";
import { isChain } from "../../layout/graph-layout.js";
import { className, filterCount, previews, networkLabels } from "../../data/manifest.js";
import { pictureSources } from "../../data/packs.js";
import { layoutMode } from "../../layout/viewport.js";
import { formatRoute } from "../../data/route.js";
import { layerCard } from "./card.js";
import { comparisonsNav } from "../shared/comparisons-nav.js";
import { optional } from "../shared/open.js";
import { fact } from "../shared/section.js";

import { networkGraph } from "./graph.js";

/** @import { Context, Manifest } from "../../types.js" */

/** How many pictures a card has; on a map, where cards are many and small. */
const PICTURES = 8;
const PICTURES_ON_MAP = 4;
/** What a card's pictures are. */
const PICTURED = {
  max_activ: "pictures made to excite a few of its filters",
  cropped: "the patches that excite a few of its filters most",
  image: "the images that excite a few of its filters most",
};
/** How many classes are listed; the others are found by searching. */
const CLASSES = 13;

/**
 * What was left out, with the reasons.
 * @param {string} summary
 * @param {Array<[string, string]>} entries pairs of a name and a reason
 */
function skipped(summary, entries) {
  if (!entries.length) return null;
  return h(
    "details",
    { class: "skipped" },
    h("summary", null, summary),
    h(
      "ul",
      null,
      entries.map(([name, reason]) =>
        h("li", null, h("code", { title: name }, truncate(name, 120)), " ", truncate(reason, 200)),
      ),
    ),
  );
}

function skippedFiles(files) {
  const summary = `${plural(files.length, "file")} could not be read`;
  return skipped(
    summary,
    files.map(({ path, reason }) => [path, reason]),
  );
}

function skippedLayers(layers) {
  const summary = `${plural(layers.length, "layer")} could not be scanned`;
  return skipped(
    summary,
    layers.map(({ name, kind, reason }) => [name, `(${kind}) ${reason}`]),
  );
}

function networks(list, current) {
  if (list.length < 2) return null;
  const labels = networkLabels(list);
  return h(
    "nav",
    { class: "networks", "aria-label": "Networks" },
    list.map(({ name }, i) => {
      const here = name === current ? "page" : null;
      return h(
        "a",
        { class: "choice", href: formatRoute({ network: name }), title: labels[i], "aria-current": here },
        truncate(labels[i], 40),
      );
    }),
  );
}

/**
 * Links to the first classes.
 * @param {Manifest} manifest
 * @param {() => void} search open the search dialog
 */
function classes(manifest, search) {
  const { classes: names } = manifest.dataset;
  if (!names.length) return null;
  return h(
    "nav",
    { class: "by-class", "aria-label": "Classes" },
    h("span", { class: "by-class-label" }, "Or begin with a class"),
    h(
      "ul",
      null,
      names
        .slice(0, CLASSES)
        .map((name, index) =>
          h(
            "li",
            null,
            h(
              "a",
              { class: "chip", href: formatRoute({ network: manifest.name, class: index }), title: name },
              truncate(name, 28),
            ),
          ),
        ),
      names.length > CLASSES
        ? h(
            "li",
            null,
            h(
              "button",
              { type: "button", class: "chip", on: { click: search } },
              `search all ${count(names.length)}\u2026`,
            ),
          )
        : null,
    ),
  );
}

/**
 * Prefetch the layer of a card that is pointed at or focused for a moment.
 * @param {HTMLElement} container
 * @param {Context} ctx
 * @param {Manifest} manifest
 */
function prefetchOnHover(container, ctx, manifest) {
  if (savesData()) return;
  const { store, route, signal } = ctx;
  const next = prefetch({ signal, fetch: (data, own) => store.layer(route.network, data, own) });
  const request = (event) => {
    const name = closest(event, ".card")?.dataset.layer;
    const layer = name === undefined ? null : manifest.layers.find((candidate) => candidate.name === name);
    if (layer) next.request(layer.data);
    else next.cancel();
  };
  container.addEventListener("pointerover", (event) => event.pointerType !== "touch" && request(event));
  container.addEventListener("pointerleave", next.cancel);
  container.addEventListener("focusin", request);
}

/** @type {import("../../types.js").ViewFunction} */
export async function networkView(ctx) {
  const { store, route, signal } = ctx;
  const [index, compared, manifest, root, best] = await Promise.all([
    store.index(signal),
    store.comparisons(signal),
    store.network(route.network, signal),
    store.folder(route.network, signal),
    optional(store.previews(route.network, signal), {}, signal),
  ]);
  const { dataset, layers, edges } = manifest;
  const title = manifest.title ?? manifest.name;
  const names = layers.map((layer) => layer.name);
  const named = new Set(names);
  const chain = isChain(names, edges);
  const inputs = (name) => edges.filter(([a, b]) => b === name && named.has(a)).map(([a]) => a);
  const pictures = layoutMode({ room: Infinity, layers: layers.length, chain }) === "map" ? PICTURES_ON_MAP : PICTURES;
  const available = ({ name }) => ({ made: store.made(route.network, name), best: best[name] });
  const cards = layers.map((layer, i) =>
    layerCard({ manifest, root, layer, sources: pictureSources({ manifest, root, layer }), show: ctx.show }, i, {
      from: chain ? null : truncate(inputs(layer.name).join(", "), 120),
      pictures,
      available: available(layer),
    }),
  );
  const label = `The layers of ${truncate(title)}, and which feeds which`;
  const drawing = networkGraph({ manifest, chain, cards, label, memory: ctx.memory, signal });
  prefetchOnHover(drawing.node, ctx, manifest);
  const kind = layers.length ? previews(manifest, layers[0], PICTURES, available(layers[0]))[0]?.kind : null;
  return {
    title,
    crumbs: [],
    node: h(
      "article",
      { class: "view network" },
      networks(index.networks, manifest.name),
      comparisonsNav("What changed", compared.comparisons),
      h(
        "header",
        { class: "intro" },
        h("h1", { tabindex: "-1", title }, truncate(title, 80)),
        h(
          "p",
          { class: "lede" },
          `What does each filter of ${truncate(title, 60)} look for? `,
          "Every card is a layer, in the order in which a picture ",
          `passes through the network, with ${PICTURED[kind ?? "cropped"]}. `,
          "Open one to see all of them.",
        ),
        h(
          "dl",
          { class: "facts" },
          fact("images", count(dataset.images)),
          fact(
            "classes",
            h(
              "span",
              { title: dataset.classes.length ? `${className(manifest, 0)}, …` : null },
              count(dataset.classes.length),
            ),
          ),
          fact("layers", count(layers.length)),
          fact("filters", count(filterCount(manifest))),
          fact("input", `${manifest.input.shape.slice(1).join("\u202f×\u202f")} px`),
          fact("data set", h("span", { title: dataset.name }, truncate(dataset.name, 40))),
        ),
        classes(manifest, ctx.search),
        skippedFiles(dataset.skipped),
        skippedLayers(manifest.layers_skipped ?? []),
      ),
      drawing.node,
    ),
    ready: drawing.arrange,
    focus: (previous) => {
      const node = previous?.network === route.network && cards.find((one) => one.dataset.layer === previous.layer);
      if (node) drawing.show(node);
      return node || null;
    },
  };
}
