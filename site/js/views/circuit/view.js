/** The circuit of a filter over several layers: what it is made of, or what it is used for, as a tree. */
import { closest, h, replace } from "../../dom/dom.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { rovingTabindex } from "../../dom/roving-tabindex.js";
import { circuitOf, circuitsPath, hasCircuits } from "../../data/circuits.js";
import { buildTree, filterKey, keysOf, removeNode, toggleNode } from "../../data/circuit-tree.js";
import { DEPTHS, WIDTHS, formatRoute, parentRoute } from "../../data/route.js";
import { StoreError } from "../../data/store.js";
import { rowsPlan, treePlan } from "../../layout/circuit-layout.js";
import { plural, truncate, truncateStart } from "../../text/format.js";
import { choices } from "../shared/controls.js";
import { layerOf, openNetwork, optional } from "../shared/open.js";
import { zoomMap } from "../shared/zoom-map.js";
import { drawCircuit } from "./drawing.js";
import { nodePanel } from "./panel.js";
import { saveButtons, svgFile } from "./save.js";
import { circuitReader } from "./reader.js";
import { circuitThumbs } from "./thumbs.js";

/** @import { Tree, TreeNode } from "../../data/circuit-tree.js" */
/** @import { Route } from "../../types.js" */

/** Below this width, in px, the nodes are rows. */
const ROWS_BELOW = 620;

/** The shape of a drawing that is saved, in px. */
const PAPER = { width: 1600, height: 1000 };

const NOTE = "orange: excites; blue, dashed: inhibits; width and %: the share of the filter's sum";

/** @param {Route} now */
function switches(now) {
  const options = (key, values, text = (value) => String(value)) =>
    values.map((value) => ({
      value: `${key}-${value}`,
      text: text(value),
      href: formatRoute({ ...now, opened: null, folded: null, removed: null, [key]: value }),
    }));
  const made = { up: "Made of", down: "Used by" };
  return [
    choices(
      "Direction",
      options("direction", ["up", "down"], (value) => made[value]),
      `direction-${now.direction}`,
    ),
    choices("Layers", options("depth", DEPTHS), `depth-${now.depth}`),
    choices("Filters of each", options("width", WIDTHS), `width-${now.width}`),
  ];
}

/** @type {import("../../types.js").ViewFunction} */
export async function circuitView(ctx) {
  const { store, route, signal, memory } = ctx;
  const { manifest, root } = await openNetwork(store, route.network, signal);
  const layer = layerOf(manifest, route.layer);
  const name = filterKey({ layer, channel: route.channel });
  const short = `${truncateStart(layer.name, 40)}:${route.channel}`;
  if (route.channel >= layer.channels) throw new StoreError("unknown", `${truncate(name)} does not exist.`);
  if (!hasCircuits(manifest)) {
    throw new StoreError("unknown", "This store has no circuits; torchlurk precompute adds them.");
  }
  const [own, layerFile] = await Promise.all([
    store.circuits(route.network, circuitsPath(layer), signal),
    optional(store.layer(route.network, layer.data, signal), null, signal),
  ]);
  if (!circuitOf(own, manifest, route.channel)) {
    throw new StoreError(
      "broken",
      `The circuits of ${truncate(layer.name)} do not say what filter ${route.channel} is.`,
    );
  }
  const circuits = circuitReader(ctx, manifest);
  const thumbs = circuitThumbs(ctx, manifest, root);
  let chosen = ""; // the key of a node
  const toggle = (node) => ctx.go(formatRoute(toggleNode(ctx.current(), node)));
  const remove = (node) => {
    chosen = node.parent.key;
    ctx.go(formatRoute(removeNode(ctx.current(), node)));
  };
  const panel = nodePanel({ network: manifest.name, current: ctx.current, toggle, remove });

  /** @type {Tree} */
  let tree = null;
  let drawn = 0; // number of the latest call of draw(); earlier ones stop
  const toolbar = h("div", { class: "toolbar" });
  const lede = h("p", { class: "lede" });
  const notes = h("p", { class: "chart-note", role: "status" });
  const world = h("div", { class: "world" });
  const map = h("div", { class: "circuit-map" }, world);
  const top = h("div", { class: "circuit-top" }, h("div", { class: "circuit-choices" }, lede, toolbar, notes));
  const moving = zoomMap(map, world, {
    memory,
    name: `circuit ${manifest.name} ${name}`,
    whole: "circuit",
    item: ".node",
    keyOf: (node) => node.dataset.key,
    signal,
  });
  const items = () => /** @type {SVGElement[]} */ ([...world.querySelectorAll(".node")]);
  // In a tree, from left to right and then down, as the arrow keys go.
  const levelOf = (element) => Number(element.getAttribute("aria-level"));
  const inRows = () => (moving.on ? items().sort((a, b) => levelOf(a) - levelOf(b)) : items());
  const roving = rovingTabindex(world, inRows, (node) => node.focus({ preventScroll: moving.on }));
  const nodeOf = (element) => tree.nodes.find(({ key }) => key === element?.dataset.key);
  const elementOf = (key) => items().find((element) => element.dataset.key === key);
  const className = layerFile?.names?.[route.channel] ?? null;
  const label = () =>
    `${name}${className ? ` (${className})` : ""}: ${ctx.current().direction === "up" ? "what it is made of" : "what it is used for"}`;

  function mark() {
    const node = tree.nodes.find(({ key }) => key === chosen) ?? tree.root;
    chosen = node.key;
    for (const element of items()) {
      const isChosen = element.dataset.key === chosen;
      element.setAttribute("aria-selected", String(isChosen));
      element.classList.toggle("same", !isChosen && element.dataset.filter === filterKey(node));
    }
    const circuit = circuits.circuit(node.layer, node.channel);
    panel.show(node, thumbs.url(node), thumbs.nameOf(node), circuit, expandedOf(node));
  }

  /**
   * The expanded weights between a node and the one two steps before it; where they are not read yet, they are shown
   * as soon as they are.
   * @param {TreeNode} node
   */
  function expandedOf(node) {
    const before = node.parent?.parent;
    if (!before) return null;
    const [filter, upstream] = ctx.current().direction === "up" ? [before, node] : [node, before];
    const found = circuits.expanded(filter, upstream);
    if (found === undefined) circuits.readExpanded(filter.layer).then(() => signal.aborted || mark());
    return found ? { filter, upstream, ...found } : null;
  }

  let size = null; // of the window that was drawn last
  /** Draw the tree that is known, for the size of the window. */
  function arrange() {
    const room = map.clientWidth;
    if (!room) return;
    const active = world.contains(document.activeElement);
    const asTree = room >= ROWS_BELOW;
    map.classList.toggle("map", asTree);
    // Only if it is elsewhere: an element that is inserted again loses the focus.
    if (asTree && panel.node.parentElement !== top) top.append(panel.node);
    if (!asTree && panel.node.previousElementSibling !== map) map.after(panel.node);
    for (const node of [moving.tools, help]) node.hidden = !asTree;
    size = { width: map.clientWidth, height: map.clientHeight };
    const plan = asTree ? treePlan(tree, size) : rowsPlan(tree, room);
    replace(world, drawCircuit(plan, tree.nodes, thumbs, label()));
    if (asTree) moving.begin({ width: plan.width, height: plan.height }, size, { width: 82, height: 120 }, plan.boxes);
    else moving.end();
    mark();
    const element = elementOf(chosen);
    roving.setCurrent(element);
    if (active) element.focus({ preventScroll: true });
    if (asTree && active) moving.show(element);
  }

  /** @param {Route} now */
  async function draw(now) {
    drawn += 1;
    const mine = drawn;
    /** @type {Tree} */
    let next;
    for (;;) {
      next = buildTree({ manifest, layer, channel: route.channel, route: now, circuit: circuits.circuit });
      if (!next.missing.size) break;
      await circuits.read(next.missing);
      if (mine !== drawn || signal.aborted) return;
    }
    tree = next;
    const up = now.direction === "up";
    const removed = keysOf(now.removed).size;
    preserveFocus(toolbar, () => replace(toolbar, switches(now)));
    replace(
      lede,
      up
        ? "Below each filter are those that contribute most to it. "
        : "Below each filter are those in whose sums it has the largest share. ",
      h("span", { class: "circuit-key exciting" }, "Orange lines excite"),
      ", ",
      h("span", { class: "circuit-key inhibiting" }, "dashed blue lines inhibit"),
      "; the width is the share.",
    );
    const failed = circuits.failed();
    replace(
      notes,
      tree.root.isOpen
        ? null
        : `There is nothing ${up ? "upstream: this layer reads the input image" : "downstream"}. `,
      failed.length ? `The circuits of ${failed.map((one) => truncateStart(one)).join(", ")} cannot be read. ` : null,
      tree.full ? "There are more filters than fit; open those that you want to follow. " : null,
      removed
        ? [
            `${plural(removed, "filter is", "filters are")} removed. `,
            h("a", { class: "text-link", href: formatRoute({ ...now, removed: null }) }, "Show all again"),
          ]
        : null,
    );
    if (map.isConnected) arrange();
    const done = (key, url) => {
      for (const image of url ? world.querySelectorAll("image") : []) {
        if (image.dataset.filter === key) image.setAttribute("href", url);
      }
      if (tree.nodes.some((node) => node.key === chosen && filterKey(node) === key)) mark();
    };
    thumbs.load(tree.nodes, done);
  }

  function act(event) {
    const element = closest(event, ".node");
    const node = element && nodeOf(element);
    if (!node) return;
    chosen = node.key;
    mark();
    if (!node.parent) return;
    if (event.type === "click" && closest(event, ".node-handle")) toggle(node);
    if (event.type !== "keydown" || event.altKey || event.ctrlKey || event.metaKey) return;
    if ((event.key === "Enter" || event.key === " ") && node.canOpen) toggle(node);
    else if (event.key === "Delete" || event.key === "Backspace") remove(node);
    else return;
    event.preventDefault();
  }
  for (const type of ["click", "focusin", "keydown"]) world.addEventListener(type, act);

  const file = () =>
    svgFile(
      drawCircuit(treePlan(tree, PAPER), tree.nodes, thumbs, label()),
      `${manifest.title ?? manifest.name}, ${label()}`,
      NOTE,
    );
  const saving = saveButtons(file, `circuit-${manifest.name}-${layer.name}-${route.channel}`, () =>
    replace(notes, "The picture could not be saved."),
  );
  const help = h(
    "p",
    { class: "chart-note" },
    "Drag to move about; the wheel, two fingers or the keys + and \u2212 zoom. Arrow keys go from filter to filter, ",
    "Enter shows or hides what lies beyond one, Delete removes it. The number under a picture is the filter, and its ",
    "share of the sum of the one above; \u00d7 marks a filter that occurs several times. The small squares are the ",
    "weights of the kernel between the two.",
  );
  await draw(route);
  const watch = new ResizeObserver(() => {
    if (size?.width !== map.clientWidth || (moving.on && size.height !== map.clientHeight)) arrange();
  });
  signal.addEventListener("abort", () => watch.disconnect(), { once: true });
  const filterRoute = parentRoute(route);
  return {
    title: `Circuit of ${name}, ${manifest.title ?? manifest.name}`,
    crumbs: [
      { text: layer.name, short: truncateStart(layer.name), href: formatRoute(parentRoute(filterRoute)) },
      { text: String(route.channel), href: formatRoute(filterRoute) },
      { text: "circuit", href: formatRoute(route) },
    ],
    node: h(
      "article",
      { class: "view circuit" },
      h(
        "header",
        { class: "intro" },
        h(
          "div",
          { class: "title-row" },
          h(
            "h1",
            { tabindex: "-1", title: label() },
            className ? `Circuit of ${truncate(className, 60)}` : `Circuit of ${short}`,
          ),
          h(
            "div",
            { class: "actions" },
            h("a", { class: "button", href: formatRoute(filterRoute) }, "To the filter"),
            saving,
          ),
        ),
      ),
      top,
      h("div", { class: "circuit-frame" }, map, moving.tools),
      help,
    ),
    update: draw,
    ready: () => {
      arrange();
      watch.observe(map);
    },
  };
}
