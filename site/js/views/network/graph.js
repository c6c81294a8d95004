/** The graph of a network's layers: a list, rows down the page, or a zoomable map. */
import { closest, h, s } from "../../dom/dom.js";
import dagre from "../../vendored/dagre.js";
import { foldToFit, layout, planColumnsTight } from "../../layout/graph-layout.js";
import { layoutMode } from "../../layout/viewport.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { zoomMap } from "../shared/zoom-map.js";

const ROWS = { gapX: 36, gapY: 44, least: 268, most: 360 };
/** With more shortcuts per layer than this, only those of the layer that is pointed at are drawn. */
const MOST_SHORTCUTS = 5;
const MAP = { gapX: 44, gapY: 60, width: 212 };

function draw(cards, lines, plan, shift) {
  for (const node of cards) {
    const { x, y } = plan.cards.get(node.dataset.layer);
    node.style.translate = `${shift + x}px ${y}px`;
  }
  lines.replaceChildren(
    ...plan.edges.map(({ from, to, over, d }) =>
      s("path", { d, class: over ? "shortcut" : null, transform: `translate(${shift},0)`, data: { from, to } }),
    ),
  );
}

function tallest(cards) {
  return Math.max(0, ...cards.map((node) => node.offsetHeight));
}

function highlight(container, lines) {
  const show = (event) => {
    const name = closest(event, ".card")?.dataset.layer;
    for (const path of lines.querySelectorAll("path")) {
      path.classList.toggle("lit", name !== undefined && (path.dataset.from === name || path.dataset.to === name));
    }
  };
  for (const type of ["pointerover", "pointerleave", "focusin", "focusout"]) container.addEventListener(type, show);
}

/**
 * @param {object} options
 * @param {import("../../types.js").Manifest} options.manifest
 * @param {boolean} options.chain whether each layer follows the previous one
 * @param {HTMLElement[]} options.cards of the layers, in order
 * @param {string} options.label for screen readers
 * @param {Map<string, any>} options.memory the last viewport of each network's map
 * @param {AbortSignal} options.signal
 * @returns {{node: HTMLElement, arrange: () => void, show: (card: HTMLElement) => void}}
 */
export function networkGraph({ manifest, chain, cards, label, memory, signal }) {
  const names = manifest.layers.map((layer) => layer.name);
  const lines = s("g", { class: "edges" });
  const world = h(
    "div",
    { class: "world" },
    s("svg", { class: "wires", "aria-hidden": "true" }, lines),
    h(
      "ol",
      { class: "cards" },
      cards.map((node) => h("li", null, node)),
    ),
  );
  const container = h("div", { class: "graph listed", role: "group", "aria-label": label }, world);
  const moving = zoomMap(container, world, {
    memory,
    name: manifest.name,
    whole: "network",
    item: ".card",
    keyOf: (card) => card.dataset.layer,
    signal,
  });
  const bar = h(
    "div",
    { class: "map-bar", hidden: true },
    h(
      "p",
      null,
      "Drag to move about; the wheel, two fingers or the keys + and \u2212 zoom, 0 shows the whole network. ",
      "Arrow keys go from layer to layer.",
    ),
    moving.tools,
  );
  const focus = (node) => {
    node.focus({ preventScroll: moving.on });
    if (moving.on) container.scrollIntoView({ block: "nearest" });
  };
  const roving = rovingTabindex(container, () => cards, focus);
  highlight(container, lines);
  let drawn = null; // the mode and the size of the window that were drawn last

  function rows(room) {
    const columns = Math.max(2, Math.floor((room + ROWS.gapX) / (ROWS.least + ROWS.gapX)));
    const width = Math.min(ROWS.most, Math.floor((room + ROWS.gapX) / columns - ROWS.gapX));
    container.style.setProperty("--card", `${width}px`);
    const plan = layout(dagre, names, manifest.edges, { ...ROWS, width, height: tallest(cards), room });
    container.style.height = `${plan.height}px`;
    draw(cards, lines, plan, Math.max(0, (room - plan.width) / 2));
  }

  let planned = null; // does not depend on the window
  function asMap(view) {
    if (!planned) {
      container.style.setProperty("--card", `${MAP.width}px`);
      const box = { ...MAP, height: tallest(cards) };
      container.style.setProperty("--tall", `${box.height}px`);
      planned = { box, plan: planColumnsTight(dagre, names, manifest.edges, box) };
    }
    const { box, plan } = planned;
    const folded = foldToFit(plan, box, view);
    const shortcuts = folded.edges.filter(({ over }) => over).length;
    container.classList.toggle("tangled", shortcuts > MOST_SHORTCUTS * cards.length);
    draw(cards, lines, folded, 0);
    moving.begin({ width: folded.width, height: folded.height }, view, box, folded.cards);
  }

  function arrange() {
    if (!cards.length) return;
    const how = layoutMode({ room: container.offsetWidth, layers: cards.length, chain });
    if (drawn?.how !== how) {
      container.classList.toggle("listed", how === "list");
      container.classList.toggle("map", how === "map");
      bar.hidden = how !== "map";
      container.style.height = "";
      if (how !== "map") moving.end();
    }
    const room = container.clientWidth; // only now: a map has a border
    const height = how === "map" ? container.clientHeight : 0;
    if (drawn && drawn.how === how && drawn.room === room && drawn.height === height) return;
    drawn = { how, room, height };
    if (how === "map") asMap({ width: room, height });
    else if (how === "rows") rows(room);
    else {
      for (const node of cards) node.style.translate = "";
      lines.replaceChildren();
    }
  }

  const watch = new ResizeObserver(arrange);
  watch.observe(container);
  signal.addEventListener("abort", () => watch.disconnect(), { once: true });
  return {
    node: h("div", { class: "graph-container" }, bar, container),
    arrange,
    show(node) {
      roving.setCurrent(node);
      if (moving.on) moving.show(node);
    },
  };
}
