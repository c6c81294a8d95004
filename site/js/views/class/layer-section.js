/** The filters of one layer that prefer a class, as tiles. */
import { h, replace } from "../../dom/dom.js";
import { isPadded } from "../../dom/crop-square.js";
import { frame } from "../../dom/pictures.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { PICTURES, hasAscent, hasCrops } from "../../data/manifest.js";
import { pictureSources } from "../../data/packs.js";
import { savesData } from "../../data/prefetch.js";
import { formatRoute } from "../../data/route.js";
import { count, number, plural, truncate } from "../../text/format.js";
import { bestImage, bestTile } from "../shared/figures.js";
import { layerNumber } from "../shared/section.js";

/** @import { Entry, Manifest, ShowPicture, Store } from "../../types.js" */

/**
 * @param {import("../../data/classes.js").ClassLayer} classLayer
 * @param {object} options
 * @param {Manifest} options.manifest
 * @param {string} options.root the network's folder
 * @param {Store} options.store
 * @param {AbortSignal} options.signal
 * @param {ShowPicture} options.show
 * @param {number} options.most how many tiles to show at first
 * @param {number} options.scale the share that fills the small bar
 */
export function layerSection({ at, layer, filters, share }, { manifest, root, store, signal, show, most, scale }) {
  const read = () => store.layer(manifest.name, layer.data, signal);
  const sources = pictureSources({ manifest, root, layer, read });
  const scene = { manifest, root, layer, sources, show };
  const crops = hasCrops(manifest, layer);
  /** @type {Map<number, {box: HTMLElement, link: HTMLElement}>} */
  const cells = new Map();
  /** @type {Map<number, Entry>} */
  const best = new Map(); // by channel, the filter's best image, once the layer's file is read
  let kind = null; // of tile: "crop" or "ascent"

  const grid = h("ol", { class: "class-layer-tiles", "aria-label": `Filters of ${truncate(layer.name)}` });
  const links = () => /** @type {HTMLElement[]} */ ([...grid.querySelectorAll(".tile")]);
  const roving = rovingTabindex(grid, links);
  const more = h(
    "button",
    { type: "button", class: "button", on: { click: () => showAll(true) } },
    `Show all ${count(filters.length)}`,
  );
  const href = formatRoute({ network: manifest.name, layer: layer.name });
  const title = h("h2", { tabindex: "-1" }, h("a", { href, title: layer.name }, truncate(layer.name, 60)));
  const node = h(
    "section",
    { class: "class-layer", data: { layer: layer.name } },
    h(
      "div",
      { class: "class-layer-head" },
      layerNumber(at),
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

  function paint(cell, channel) {
    const folder = kind === "ascent" && hasAscent(manifest, layer, channel) ? "max_activ" : "cropped";
    const entry = best.get(channel);
    if (folder === "cropped" && !crops) {
      // Only the layer's file says which image is the best; until it is read the tile is empty.
      const whole = () => [bestImage(scene, channel, entry), h("span", { class: "fallback-label" }, "image")];
      replace(cell.box, entry ? whole() : []);
      return;
    }
    const square = folder === "cropped";
    replace(
      cell.box,
      bestTile(scene, folder, channel, {
        alt: `${PICTURES[folder]} of filter ${channel}`,
        tiles: square ? manifest.k : 1,
        square,
        entry,
      }),
      kind === "ascent" && square ? h("span", { class: "fallback-label" }, "crop") : null,
    );
  }

  function addTile({ channel, selectivity }) {
    const box = frame(null);
    const foot = [h("span", { class: "tile-number" }, channel)];
    if (selectivity !== null) {
      foot.push(h("span", { class: "tile-value", title: "selectivity" }, number(selectivity, 2)));
    }
    const link = h(
      "a",
      {
        class: "tile",
        href: formatRoute({ network: manifest.name, layer: layer.name, channel }),
        tabindex: "-1",
      },
      box,
      h("span", { class: "tile-foot" }, foot),
    );
    const cell = { box, link };
    cells.set(channel, cell);
    grid.append(h("li", null, link));
    if (kind) paint(cell, channel);
  }

  function showAll(moveFocus) {
    const next = filters.slice(cells.size);
    for (const filter of next) addTile(filter);
    more.parentElement?.remove();
    if (moveFocus && next.length) cells.get(next[0].channel).link.focus();
  }

  /** Read the layer's file: the best images, and the padding of crops at a border. */
  async function readBest() {
    try {
      const data = await read();
      for (const filter of data.filters) {
        const entry = filter.max?.[0];
        if (!entry || (crops && !isPadded(layer, entry))) continue;
        best.set(filter.channel, entry);
        const cell = cells.get(filter.channel);
        if (cell && kind) paint(cell, filter.channel);
      }
    } catch {
      // Crops stay as they are, with their padding.
      if (signal.aborted) return;
      for (const { box } of cells.values()) {
        if (!box.firstElementChild) replace(box, h("span", { class: "missing" }, "no picture"));
      }
    }
  }

  for (const filter of filters.slice(0, most)) addTile(filter);
  roving.reset();
  if (!crops || (layer.receptive_field && !savesData())) {
    const observer = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      observer.disconnect();
      readBest();
    });
    observer.observe(node);
    signal.addEventListener("abort", () => observer.disconnect(), { once: true });
  }

  return {
    at,
    name: layer.name,
    node,
    /** @param {string} wanted the kind of tile */
    draw(wanted) {
      if (wanted === kind) return;
      kind = wanted;
      for (const [channel, cell] of cells) paint(cell, channel);
    },
    /** Move to the heading. */
    enter() {
      node.scrollIntoView({ block: "start" });
      title.focus({ preventScroll: true });
    },
    /**
     * The tile of a filter; shows all tiles if it is not among the first.
     * @param {number} channel
     */
    find(channel) {
      if (!cells.has(channel) && filters.some((filter) => filter.channel === channel)) showAll(false);
      const link = cells.get(channel)?.link ?? null;
      if (link) roving.setCurrent(link);
      return link;
    },
  };
}
