/** Which classes excite a filter most, as bars; the bar that is pointed at or focused shows images of its class. */
import { h, replace } from "../../dom/dom.js";
import { classImages } from "../../data/filters.js";
import { truncate, number, plural } from "../../text/format.js";
import { className, hasCrops, hasMap, imageUrl } from "../../data/manifest.js";
import { boxOverlay, frame, picture } from "../../dom/pictures.js";
import { classBars } from "../../plots/class-bars.js";
import { plot } from "../../plots/plot.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";

const MOST = 6;

/** Pointing this long (in ms) means it: crossing other bars on the way fetches nothing. */
const PAUSE = 70;

function thumb(scene, name, { image, rank, entry }) {
  const { manifest, root, layer, images } = scene;
  const [, height, width] = manifest.input.shape;
  const alt = rank ? `${name}, number ${rank} of this filter's strongest` : `${name}, another image`;
  const node = frame([height, width], picture({ src: imageUrl(root, image), alt, natural: width }));
  if (entry?.box && hasCrops(manifest, layer)) node.append(boxOverlay(entry.box, manifest.input.shape));
  return h(
    "figure",
    { class: rank ? "thumb own" : "thumb", title: images[image]?.path },
    node,
    h("figcaption", null, rank ? [h("b", null, number(entry.score))] : h("span", { class: "detail" }, "other")),
  );
}

/** The images of one class, in a place that is as tall however many there are. */
function gallery(scene, best, index) {
  const name = truncate(className(scene.manifest, index), 60);
  const found = classImages(best, scene.images, index, MOST);
  const own = found.filter((one) => one.rank !== null).length;
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
      found.map((one) => thumb(scene, name, one)),
      Array.from({ length: MOST - found.length }, () => h("span", { class: "thumb", "aria-hidden": "true" })),
    ),
  ];
}

function panel(scene, title, kind, tone) {
  const { manifest, filter, signal } = scene;
  const rows = filter.classes[kind].map(([index, value]) => ({ index, value, label: className(manifest, index) }));
  if (!rows.length) {
    return h(
      "div",
      { class: "panel" },
      h("h3", null, title),
      h("p", { class: "absent" }, "No classes in this data set."),
    );
  }
  const id = `gallery-${kind}`;
  const place = h("div", {
    class: "gallery",
    id,
    role: "region",
    "aria-label": `Images of a class, by ${title.toLowerCase()}`,
  });
  let chosen = 0; // the row whose images are shown; -1 once they were sent away
  let waiting = 0;

  function mark() {
    for (const bar of chart.querySelectorAll(".class-bar")) {
      bar.setAttribute("aria-pressed", String(Number(bar.dataset.index) === chosen));
    }
  }
  function choose(at) {
    clearTimeout(waiting);
    if (at === chosen) return;
    chosen = at;
    mark();
    replace(
      place,
      at < 0
        ? h(
            "p",
            { class: "gallery-head" },
            "Point at a bar, tap it, or move to it with the arrow keys, to see images of its class.",
          )
        : gallery(scene, filter[kind], rows[at].index),
    );
  }

  const words = rows
    .slice(0, 3)
    .map((row) => `${truncate(row.label, 40)} ${number(row.value)}`)
    .join(", ");
  const draw = (width) => {
    const svg = classBars(rows, width, tone, id);
    queueMicrotask(() => {
      mark();
      roving.setCurrent(chart.querySelectorAll(".class-bar")[Math.max(0, chosen)]);
    });
    return svg;
  };
  const chart = plot(`${title}, by class: ${words}`, draw, signal, "group");
  const roving = rovingTabindex(chart, () => [...chart.querySelectorAll(".class-bar")]);
  const rowOf = (event) => {
    const bar = event.target.closest?.(".class-bar");
    return bar ? Number(bar.dataset.index) : null;
  };
  const at = (event) => rowOf(event) !== null && choose(rowOf(event));
  chart.addEventListener("focusin", at);
  chart.addEventListener("click", at);
  chart.addEventListener("pointerover", (event) => {
    clearTimeout(waiting);
    const row = rowOf(event);
    if (row !== null && event.pointerType === "mouse") waiting = setTimeout(choose, PAUSE, row);
  });
  chart.addEventListener("pointerleave", () => clearTimeout(waiting));
  const node = h("div", { class: "panel" }, h("h3", null, title), chart, place);
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      if (rowOf(event) === null) return;
      choose(rowOf(event));
    } else if (event.key === "Escape" && chosen >= 0) choose(-1);
    else return;
    event.preventDefault(); // Escape leads one level up only when there is nothing to send away
  });
  replace(place, gallery(scene, filter[kind], rows[0].index));
  return node;
}

/** Which classes excite the filter most. */
export function classSection(scene) {
  const map = hasMap(scene.layer);
  return h(
    "section",
    { class: "block profile" },
    h(
      "header",
      { class: "block-head" },
      h("h2", null, "Classes"),
      h(
        "p",
        null,
        map
          ? "The ten classes whose images excite the filter most: the mean, over a class, of an image's strongest response and of its mean response."
          : "The ten classes whose images excite the filter most: the mean response over a class.",
        " Point at a bar, or tap it, to see images of its class.",
      ),
    ),
    h(
      "div",
      { class: "panels" },
      panel(scene, map ? "Strongest response" : "Response", "max", "max"),
      map ? panel(scene, "Mean response", "avg", "avg") : null,
    ),
  );
}
