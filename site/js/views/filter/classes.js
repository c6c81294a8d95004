/** Which classes excite a filter most, as bars; the current bar shows images of its class. */
import { closest, h, replace } from "../../dom/dom.js";
import { frame } from "../../dom/pictures.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { classImages } from "../../data/filters.js";
import { className, hasMap } from "../../data/manifest.js";
import { classBars } from "../../plots/class-bars.js";
import { plot } from "../../plots/plot.js";
import { number, plural, truncate } from "../../text/format.js";
import { receptiveFieldBox, wholeImage } from "../shared/figures.js";
import { section } from "../shared/section.js";

/** @import { Entry, FilterScene } from "../../types.js" */

/** How many images a gallery has. */
const IMAGES = 6;

/** How long the pointer must stay on a bar, in ms: moving across other bars fetches nothing. */
const HOVER_MS = 70;

/**
 * @param {FilterScene} scene
 * @param {string} name of the class
 * @param {{image: number, rank: number|null, entry: Entry|null}} found
 */
function thumbnail(scene, name, { image, rank, entry }) {
  const { manifest, images } = scene;
  const [, height, width] = manifest.input.shape;
  const alt = rank ? `${name}, number ${rank} of this filter's strongest` : `${name}, another image`;
  return h(
    "figure",
    { class: rank ? "thumb own" : "thumb", title: images[image]?.path },
    frame([height, width], wholeImage(scene, image, alt), receptiveFieldBox(scene, entry)),
    h("figcaption", null, rank ? h("b", null, number(entry.score)) : h("span", { class: "detail" }, "other")),
  );
}

/**
 * The images of one class. The height does not depend on how many there are.
 * @param {FilterScene} scene
 * @param {Entry[]} best
 * @param {number} index of the class
 */
function gallery(scene, best, index) {
  const name = truncate(className(scene.manifest, index), 60);
  const found = classImages(best, scene.images, index, IMAGES);
  const own = found.filter(({ rank }) => rank !== null).length;
  const others = found.length - own;
  const words = [
    own ? `${own} among this filter's best (with score)` : "none among this filter's best",
    others ? `${plural(others, "other")} of the class` : null,
  ];
  return [
    h("p", { class: "gallery-head" }, h("b", null, name), `: ${words.filter(Boolean).join(", ")}`),
    h(
      "div",
      { class: "thumbs" },
      found.map((image) => thumbnail(scene, name, image)),
      Array.from({ length: IMAGES - found.length }, () => h("span", { class: "thumb", "aria-hidden": "true" })),
    ),
  ];
}

/**
 * @param {FilterScene} scene
 * @param {string} title
 * @param {"max"|"avg"} kind
 */
function panel(scene, title, kind) {
  const { manifest, filter, signal } = scene;
  const rows = filter.classes[kind].map(([index, value]) => ({ index, value, label: className(manifest, index) }));
  if (!rows.length) {
    const text = "No classes in this data set.";
    return h("div", { class: "panel" }, h("h3", null, title), h("p", { class: "absent" }, text));
  }
  const id = `gallery-${kind}`;
  const label = `Images of a class, by ${title.toLowerCase()}`;
  const images = h("div", { class: "gallery", id, role: "region", "aria-label": label });
  let chosen = 0; // the row whose images are shown; -1 after Escape
  let timer = 0;
  const bars = () => /** @type {SVGElement[]} */ ([...chart.querySelectorAll(".class-bar")]);

  function markChosen() {
    for (const bar of bars()) bar.setAttribute("aria-pressed", String(Number(bar.dataset.index) === chosen));
  }
  function choose(at) {
    clearTimeout(timer);
    if (at === chosen) return;
    chosen = at;
    markChosen();
    const hint = "Point at a bar, tap it, or move to it with the arrow keys, to see images of its class.";
    replace(images, at < 0 ? h("p", { class: "gallery-head" }, hint) : gallery(scene, filter[kind], rows[at].index));
  }

  const words = rows.slice(0, 3).map((row) => `${truncate(row.label, 40)} ${number(row.value)}`);
  const draw = (width) => {
    const svg = classBars(rows, width, kind, id);
    queueMicrotask(() => {
      markChosen();
      roving.setCurrent(bars()[Math.max(0, chosen)]);
    });
    return svg;
  };
  const chart = plot(`${title}, by class: ${words.join(", ")}`, draw, signal, "group");
  const roving = rovingTabindex(chart, bars);
  const rowOf = (event) => {
    const bar = closest(event, ".class-bar");
    return bar ? Number(bar.dataset.index) : null;
  };
  const chooseTarget = (event) => {
    const row = rowOf(event);
    if (row !== null) choose(row);
  };
  chart.addEventListener("focusin", chooseTarget);
  chart.addEventListener("click", chooseTarget);
  chart.addEventListener("pointerover", (event) => {
    clearTimeout(timer);
    const row = rowOf(event);
    if (row !== null && event.pointerType === "mouse") timer = setTimeout(choose, HOVER_MS, row);
  });
  chart.addEventListener("pointerleave", () => clearTimeout(timer));
  const node = h("div", { class: "panel" }, h("h3", null, title), chart, images);
  node.addEventListener("keydown", (event) => {
    const row = rowOf(event);
    if ((event.key === "Enter" || event.key === " ") && row !== null) choose(row);
    else if (event.key === "Escape" && chosen >= 0) choose(-1);
    else return;
    event.preventDefault(); // Escape leads one level up only when the gallery is closed
  });
  replace(images, gallery(scene, filter[kind], rows[0].index));
  return node;
}

/**
 * Which classes excite the filter most.
 * @param {FilterScene} scene
 */
export function classSection(scene) {
  const map = hasMap(scene.layer);
  const measure = map
    ? "the mean, over a class, of an image's strongest response and of its mean response."
    : "the mean response over a class.";
  const text = [
    `The ten classes whose images excite the filter most: ${measure}`,
    " Point at a bar, or tap it, to see images of its class.",
  ];
  return section(
    { title: "Classes", kind: "profile", text },
    h(
      "div",
      { class: "panels" },
      panel(scene, map ? "Strongest response" : "Response", "max"),
      map ? panel(scene, "Mean response", "avg") : null,
    ),
  );
}
