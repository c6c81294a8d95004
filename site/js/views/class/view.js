/** A class: the filters of all layers that prefer it. */
import { initialTileCount, filtersByLayer, classSummary } from "../../data/classes.js";
import { h, replace } from "../../dom/dom.js";
import { count, truncate, plural } from "../../text/format.js";
import { ascentCount, className } from "../../data/manifest.js";
import { StoreError } from "../../data/store.js";
import { formatRoute } from "../../data/route.js";
import { layerBars } from "./layer-bars.js";
import { layerSection } from "./layer-section.js";
import { choices, fact, neighbours } from "../shared/controls.js";

const TILE_NAMES = { crop: "Best crop", ascent: "Filter image" };

const MEANINGS = {
  crop: "A tile shows the one patch that excites the filter most, or the image where a unit sees all of it. It may come from another class: which class a filter prefers is an average over all images.",
  ascent:
    "A tile shows a picture that was made from noise to excite the filter as much as it can; where there is none, the crop stands in for it.",
};

/** The tile kinds that make sense across layers; others show the crop. */
function kindOf(route) {
  return route.tile === "ascent" ? "ascent" : "crop";
}

async function read(store, route, signal) {
  try {
    return await store.classes(route.network, signal);
  } catch (error) {
    // An older store lacks the file; the view says so, and what there is instead.
    if (error.name === "StoreError" && error.kind === "missing") return null;
    throw error;
  }
}

function otherClass(ctx, manifest, index) {
  const select = h(
    "select",
    {
      id: "class-choice",
      on: { change: ({ target }) => ctx.go(formatRoute({ ...ctx.current(), class: Number(target.value) })) },
    },
    manifest.dataset.classes.map((name, i) => h("option", { value: i, selected: i === index }, truncate(name, 40))),
  );
  return h("label", { class: "select" }, h("span", { class: "choices-label" }, "Class"), select);
}

function head(manifest, index, sum, rest) {
  const name = className(manifest, index);
  const { classes } = manifest.dataset;
  const step = (i) =>
    i >= 0 && i < classes.length
      ? { href: formatRoute({ network: manifest.name, class: i }), text: truncate(classes[i], 24) }
      : null;
  return h(
    "header",
    { class: "intro" },
    h(
      "div",
      { class: "title-row" },
      h("h1", { tabindex: "-1", title: name }, truncate(name, 80)),
      neighbours("class", step(index - 1), step(index + 1), "classes"),
    ),
    rest,
    sum && sum.filters
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

/** What is said where the store does not know: a layer at a time can still be asked. */
function unknown(manifest, index) {
  return h(
    "section",
    { class: "message" },
    h("h2", null, "Not in this store"),
    h(
      "p",
      null,
      "An earlier Torchlurk wrote this store, without the list of which filters prefer a class. ",
      "Run the same ",
      h("code", null, "torchlurk precompute"),
      " again to add it. Each layer can show the filters that have an image of this class among their best:",
    ),
    h(
      "ul",
      { class: "chips" },
      manifest.layers.map(({ name }) =>
        h(
          "li",
          null,
          h(
            "a",
            { class: "chip", href: formatRoute({ network: manifest.name, layer: name, class: index }), title: name },
            truncate(name, 32),
          ),
        ),
      ),
    ),
  );
}

/** @param {object} ctx */
export async function classView(ctx) {
  const { store, route, signal } = ctx;
  const [manifest, root] = await Promise.all([
    store.network(route.network, signal),
    store.folder(route.network, signal),
  ]);
  const index = route.class;
  if (index >= manifest.dataset.classes.length) {
    throw new StoreError("unknown", `${truncate(manifest.name)} has no class ${index}.`);
  }
  const name = className(manifest, index);
  const shared = {
    title: `${name}, ${manifest.title ?? manifest.name}`,
    crumbs: [{ text: name, href: formatRoute({ network: route.network, class: index }) }],
    steps: {
      before: index > 0 ? formatRoute({ network: route.network, class: index - 1 }) : null,
      after:
        index + 1 < manifest.dataset.classes.length ? formatRoute({ network: route.network, class: index + 1 }) : null,
    },
  };
  const classes = await read(store, route, signal);
  if (!classes) {
    return {
      ...shared,
      node: h("article", { class: "view class" }, head(manifest, index, null), unknown(manifest, index)),
    };
  }
  const all = filtersByLayer(manifest, classes, index);
  const sum = classSummary(all);
  const called = truncate(name, 60);
  if (!sum.filters) {
    const none = h(
      "p",
      { class: "lede" },
      `No filter responds more strongly to images of \u201c${called}\u201d than to those of every other class.`,
    );
    return {
      ...shared,
      node: h(
        "article",
        { class: "view class" },
        head(manifest, index, sum, none),
        h("div", { class: "toolbar" }, otherClass(ctx, manifest, index)),
      ),
    };
  }
  const most = initialTileCount(manifest.layers.length);
  const sections = all
    .filter(({ filters }) => filters.length)
    .map((home) => layerSection(home, { manifest, root, store, signal, most, scale: sum.most.share }));
  const bar = h("div", { class: "toolbar" });
  const meaning = h("p", { class: "chart-note", role: "status" });
  const made = manifest.layers.some((layer) => ascentCount(manifest, layer) > 0);

  function draw(now) {
    const kind = kindOf(now);
    const focused = bar.contains(document.activeElement) ? document.activeElement.dataset.value : null;
    replace(
      bar,
      made
        ? choices(
            "Show",
            Object.entries(TILE_NAMES).map(([value, text]) => ({
              value,
              text,
              href: formatRoute({ ...now, tile: value === "crop" ? null : value }),
            })),
            kind,
          )
        : null,
      otherClass(ctx, manifest, index),
    );
    if (focused) [...bar.querySelectorAll(".choice")].find((one) => one.dataset.value === focused)?.focus();
    meaning.textContent = MEANINGS[kind];
    for (const section of sections) section.draw(kind);
  }
  draw(route);
  const lede = h(
    "p",
    { class: "lede" },
    `${plural(sum.filters, "filter responds", "filters respond")} more strongly to images of \u201c${called}\u201d than to those of any other class `,
    "(on average, each image counted by its highest response). The number under a tile is the filter\u2019s selectivity: ",
    "1 if only this class excites it, 0 if all classes do alike. Each layer begins with its most selective.",
  );
  return {
    ...shared,
    node: h(
      "article",
      { class: "view class" },
      head(manifest, index, sum, lede),
      layerBars(all, sum.most, (at) => sections.find((section) => section.at === at)?.enter()),
      bar,
      meaning,
      sections.map(({ node }) => node),
    ),
    update: draw,
    focus: (previous) => {
      if (previous.network !== route.network || previous.channel === null) return null;
      const section = sections.find((one) => one.name === previous.layer);
      return section?.find(previous.channel) ?? null;
    },
  };
}
