/** One layer's filters that prefer a class, as tiles. */
import { savesData } from "../../data/prefetch.js";
import { h, replace } from "../../dom/dom.js";
import { count, truncate, number, plural } from "../../text/format.js";
import { PICTURES, hasAscent, hasCrops, imageUrl, pictureUrl, tileSize } from "../../data/manifest.js";
import { frame, picture } from "../../dom/pictures.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { isPadded, cropSquare } from "../../dom/crop-square.js";
import { formatRoute } from "../../data/route.js";

const FOLDERS = { crop: "cropped", ascent: "max_activ" };

/**
 * @param {import("../../data/classes.js").Home} home
 * @param {object} options
 * @param {object} options.manifest
 * @param {string} options.root the network's folder
 * @param {object} options.store
 * @param {AbortSignal} options.signal
 * @param {number} options.most how many tiles before the visitor asks for all
 * @param {number} options.scale the share that fills the small bar
 */
export function layerSection(home, { manifest, root, store, signal, most, scale }) {
  const { at, layer, filters, share } = home;
  const grid = h("ol", { class: "class-layer-tiles", "aria-label": `Filters of ${truncate(layer.name)}` });
  const cells = new Map();
  const crops = hasCrops(manifest, layer);
  const best = new Map(); // by channel the filter's best image, once the layer's data are there
  let kind = null;
  const roving = rovingTabindex(grid, () => [...grid.children].map((item) => item.firstElementChild));
  const more = h(
    "button",
    { type: "button", class: "button", on: { click: () => all(true) } },
    `Show all ${count(filters.length)}`,
  );
  const title = h(
    "h2",
    { tabindex: "-1" },
    h(
      "a",
      { href: formatRoute({ network: manifest.name, layer: layer.name }), title: layer.name },
      truncate(layer.name, 60),
    ),
  );
  const node = h(
    "section",
    { class: "class-layer", data: { layer: layer.name } },
    h(
      "div",
      { class: "class-layer-head" },
      h("span", { class: "card-number", "aria-hidden": "true" }, String(at + 1).padStart(2, "0")),
      title,
      h(
        "span",
        { class: "class-layer-share", "aria-hidden": "true" },
        h("span", { style: { width: `${(share / scale) * 100}%` } }),
      ),
      h(
        "p",
        { class: "class-layer-count" },
        h("b", null, count(filters.length)),
        ` of ${plural(layer.channels, "filter")}`,
      ),
    ),
    grid,
    filters.length > most ? h("div", null, more) : null,
  );

  /** The best image of a filter whose units see all of it. */
  function whole(channel) {
    const image = picture({
      src: imageUrl(root, best.get(channel).image),
      alt: `best image of filter ${channel}`,
      natural: manifest.input.shape[2],
    });
    image.classList.add("whole");
    return image;
  }

  function paint(cell, channel) {
    const folder = kind === "ascent" && !hasAscent(manifest, layer, channel) ? "cropped" : FOLDERS[kind];
    const cropped = folder === "cropped";
    if (cropped && !crops) {
      // Which image it is, only the layer's data know; until they are there the tile is empty.
      replace(cell.box, best.has(channel) ? [whole(channel), h("span", { class: "fallback-label" }, "image")] : []);
      return;
    }
    replace(
      cell.box,
      picture({
        src: pictureUrl(root, layer, folder, channel),
        alt: `${PICTURES[folder]} of filter ${channel}`,
        at: [0, cropped ? manifest.k : 1],
        natural: tileSize(manifest, folder, layer)?.[1],
        part: cropped ? cropSquare(manifest, layer, folder, best.get(channel)) : null,
      }),
      kind === "ascent" && cropped ? h("span", { class: "fallback-label" }, "crop") : null,
    );
  }

  function add(filter) {
    const { channel, selectivity } = filter;
    const box = frame(null);
    const known = selectivity !== null;
    const link = h(
      "a",
      { class: "tile", href: formatRoute({ network: manifest.name, layer: layer.name, channel }), tabindex: "-1" },
      box,
      h(
        "span",
        { class: "tile-foot" },
        h("span", { class: "tile-number" }, channel),
        known ? h("span", { class: "tile-value", title: "selectivity" }, number(selectivity, 2)) : null,
      ),
    );
    const cell = { box, link };
    cells.set(channel, cell);
    grid.append(h("li", null, link));
    if (kind) paint(cell, channel);
  }

  function all(move) {
    const next = filters.slice(cells.size);
    for (const filter of next) add(filter);
    more.parentElement?.remove();
    if (move && next.length) cells.get(next[0].channel).link.focus();
  }

  /** What only the layer's data know: the best images, and how far crops at a border are padding. */
  async function learn() {
    try {
      const data = await store.layer(manifest.name, layer.data, signal);
      for (const filter of data.filters) {
        const entry = filter.max?.[0];
        if (!entry || (crops && !isPadded(layer, entry))) continue;
        best.set(filter.channel, entry);
        const cell = cells.get(filter.channel);
        if (cell && kind) paint(cell, filter.channel);
      }
    } catch {
      // The pictures stay as they are: whole, with their padding, or absent.
      if (signal.aborted) return;
      for (const { box } of cells.values())
        if (!box.firstElementChild) replace(box, h("span", { class: "missing" }, "no picture"));
    }
  }

  for (const filter of filters.slice(0, most)) add(filter);
  roving.reset();
  if (!crops || (layer.receptive_field && !savesData())) {
    const near = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      near.disconnect();
      learn();
    });
    near.observe(node);
    signal.addEventListener("abort", () => near.disconnect(), { once: true });
  }

  return {
    at,
    name: layer.name,
    node,
    draw(asked) {
      if (asked === kind) return;
      kind = asked;
      for (const [channel, cell] of cells) paint(cell, channel);
    },
    /** Go to its heading. */
    enter() {
      node.scrollIntoView({ block: "start" });
      title.focus({ preventScroll: true });
    },
    /** The tile of a filter, shown if it was not yet. */
    find(channel) {
      if (!cells.has(channel) && filters.some((filter) => filter.channel === channel)) all(false);
      const link = cells.get(channel)?.link ?? null;
      if (link) roving.setCurrent(link);
      return link;
    },
  };
}
