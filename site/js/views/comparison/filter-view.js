/** One filter before and after: what it looks for in both networks, and how much that changed. */
import { correlationText, rankText, changeSummary } from "../../text/changes.js";
import { measureOf, channelsByChange, changeRank, valuesOf } from "../../data/comparison.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { h, replace } from "../../dom/dom.js";
import { truncate, truncateStart } from "../../text/format.js";
import { hasCrops, hasMap } from "../../data/manifest.js";
import { StoreError } from "../../data/store.js";
import { formatRoute } from "../../data/route.js";
import { pairedProfile } from "./classes.js";
import { openLayer, pairChoice, sidesOf, usedControl } from "./controls.js";
import { sharedImagesText, imageLists } from "./entries.js";
import { filterImages } from "./filter-images.js";
import { measureList } from "./measures.js";
import { historySection } from "./time.js";
import { choices, neighbours } from "../shared/controls.js";

const SHOW_NAMES = { image: "Image", gradient: "Gradient", overlay: "Overlay" };

async function open(ctx) {
  const { store, route, signal } = ctx;
  const scene = await openLayer(ctx);
  const { comparison, layer } = scene;
  const { channel } = route;
  const sides = await Promise.all(
    scene.sides.map(async (side) => {
      const filter = side.filters.find((one) => one.channel === channel);
      if (!filter || channel >= layer.channels) {
        throw new StoreError(
          "unknown",
          `${truncate(layer.name)} has no filter ${channel}: they are numbered from 0 to ${layer.channels - 1}.`,
        );
      }
      // Paths of images are a courtesy: without them everything else still stands.
      const images = await store.images(side.name, signal).catch((error) => {
        if (signal.aborted) throw error;
        return {};
      });
      return { ...side, filter, images };
    }),
  );
  const many = comparison.stores.length > 2;
  const moments = many
    ? await sidesOf(
        store,
        comparison,
        comparison.stores.map((_, i) => i),
        signal,
      )
    : [];
  return { ...scene, sides, channel, moments };
}

function section(title, explanation, ...content) {
  return h(
    "section",
    { class: "block" },
    h("header", { class: "block-head" }, h("h2", null, title), h("p", null, explanation)),
    content,
  );
}

function strongestWords(sides) {
  const [{ manifest, layer }] = sides;
  const gradients = sides.some(({ filter }) => filter.pictures.includes("cropped_grad"));
  return [
    hasCrops(manifest, layer)
      ? `The images with the highest single activation; the box is what the unit that responds sees. Below each, that patch${gradients ? " and its gradient" : ""}. `
      : hasMap(layer)
        ? "The images with the highest single activation. "
        : "The images to which the filter gives the highest number. ",
    sharedImagesText(sides, "max"),
  ];
}

/** Which filter has taken this one’s place, if another has. */
function partnerWords(after, partner) {
  if (!partner || partner[0] === after.filter.channel) return null;
  const link = h(
    "a",
    { class: "text-link", href: formatRoute({ network: after.name, layer: after.layer.name, channel: partner[0] }) },
    `filter ${partner[0]}`,
  );
  return [
    " After, ",
    link,
    ` is more like it than the one in its own place: their maps correlate at ${correlationText(partner[1])}.`,
  ];
}

/** @param {object} ctx */
export async function comparisonFilterView(ctx) {
  const { route, signal } = ctx;
  const scene = await open(ctx);
  const { comparison, layer, pair, sides, changes, channel } = scene;
  const name = sides[0].names?.[channel];
  const called = `Filter ${channel}${name ? `: ${truncate(name, 60)}` : ""}`;
  const k = Math.min(comparison.k, comparison.dataset.images);
  const map = hasMap(sides[0].layer);
  const gradients = sides.some(({ filter }) =>
    ["max_grads", "avg_grads"].some((folder) => filter.pictures.includes(folder)),
  );
  const pairs = h("div", { class: "toolbar" }, pairChoice(ctx, comparison, pair, route));
  const bar = h("div", { class: "toolbar" });
  const nav = h("div", { class: "nav-slot" });
  const place = h("p", { class: "status" });
  const time = h("div", { class: "history" });
  const top = h("div", { class: "side-by-side" });
  const mean = h("div", { class: "side-by-side" });
  const view = { steps: {} };

  function draw(now) {
    const measure = measureOf(comparison, now.by);
    const values = valuesOf(changes, measure.name, layer.channels);
    const order = channelsByChange(values);
    const at = order.indexOf(channel);
    const beside = (other) =>
      other === undefined ? null : { href: formatRoute({ ...now, channel: other }), text: String(other) };
    const steps = [beside(order[at - 1]), beside(order[at + 1])];
    [view.steps.before, view.steps.after] = steps.map((step) => step?.href ?? null);
    replace(nav, neighbours("filter", ...steps));
    const stands = changeRank(values, channel);
    replace(place, stands && values[channel] ? `By ${measure.title}, ${rankText(stands)} in this layer.` : null);
    const kinds = gradients || now.show !== "image" ? Object.keys(SHOW_NAMES) : [];
    const options = kinds.map((value) => ({
      value,
      text: SHOW_NAMES[value],
      href: formatRoute({ ...now, show: value }),
    }));
    preserveFocus(bar, () => replace(bar, options.length ? choices("Show", options, now.show) : null));
    const left = time.querySelector(".sparklines")?.scrollLeft ?? 0;
    preserveFocus(time, () =>
      replace(
        time,
        historySection(scene, measure, (by) => formatRoute({ ...now, by })),
      ),
    );
    if (left) time.querySelector(".sparklines").scrollLeft = left;
    replace(top, imageLists(sides, "max", now.show));
    replace(mean, imageLists(sides, "avg", now.show));
  }
  draw(route);
  const many = comparison.pairs.length > 1;
  return Object.assign(view, {
    title: `${called}, ${layer.name}, ${comparison.title}`,
    crumbs: [
      {
        text: layer.name,
        short: truncateStart(layer.name),
        href: formatRoute({ ...route, channel: null, show: "image" }),
      },
      { text: String(channel), href: formatRoute(route) },
    ],
    node: h(
      "article",
      { class: "view filter compared" },
      h(
        "header",
        { class: "intro" },
        h("div", { class: "title-row" }, h("h1", { tabindex: "-1" }, called), nav),
        h(
          "p",
          { class: "lede" },
          changeSummary(changes, channel, k),
          partnerWords(sides[1], changes.partners?.[channel]),
        ),
        place,
      ),
      many ? pairs : null,
      time,
      filterImages(sides, changes.cross?.[channel] ?? null),
      section("Strongest responses", strongestWords(sides), bar, top),
      map
        ? section(
            "Highest on average",
            ["The images that excite the filter most over their whole area. ", sharedImagesText(sides, "avg")],
            mean,
          )
        : null,
      pairedProfile(sides),
      measureList({ ...scene, layerName: layer.name }),
    ),
    update: draw,
    focus: (previous) => usedControl(pairs, previous, route),
  });
}
