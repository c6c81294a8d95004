/** The network: its layers in order, as cards with a few pictures each, and what flows where. */
import { h, s } from "../dom.js";
import { count, cut, plural, times } from "../format.js";
import dagre from "../dagre.js";
import { isChain, layout } from "../layout.js";
import { className, filterCount, pictureUrl, previews, seenShare, tileSize, networkLabels } from "../manifest.js";
import { frame, picture } from "../pictures.js";
import { rove } from "../roving.js";
import { format } from "../state.js";
import { fact } from "./controls.js";

const STRIP = 8;

/** A square for the input, and in it the part that one unit sees. */
function fieldSign(share) {
  const side = Math.max(1.5, 22 * share);
  const at = 12 - side / 2;
  return s(
    "svg",
    { class: "field", viewBox: "0 0 24 24", "aria-hidden": "true" },
    s("rect", { class: "input", x: 1, y: 1, width: 22, height: 22, rx: 2 }),
    s("rect", { class: "seen", x: at, y: at, width: side, height: side, rx: share === 1 ? 2 : 0.5 }),
  );
}

function card(ctx, manifest, root, layer, index, from) {
  const pictures = previews(manifest, layer, STRIP);
  const href = format({ network: manifest.name, layer: layer.name });
  return h(
    "a",
    { class: "card", href, tabindex: index === 0 ? "0" : "-1", data: { layer: layer.name } },
    h(
      "span",
      { class: "card-head" },
      h("span", { class: "card-number", "aria-hidden": "true" }, String(index + 1).padStart(2, "0")),
      h("span", { class: "card-name", title: layer.name }, cut(layer.name, 80)),
    ),
    h(
      "span",
      { class: "strip", "aria-hidden": "true" },
      pictures.map(({ kind, channel }) =>
        frame(
          null,
          picture({
            src: pictureUrl(root, layer, kind, channel),
            alt: "",
            at: [0, kind === "cropped" ? 2 : 1],
            eager: index < 4,
            natural: tileSize(manifest, kind, layer)?.[1],
          }),
        ),
      ),
    ),
    h(
      "span",
      { class: "card-facts" },
      h("span", { class: "card-filters" }, h("b", null, count(layer.channels)), " filters"),
      h("span", { class: "card-field" }, fieldSign(seenShare(manifest, layer)), layer.receptive_field ? `${times(layer.receptive_field.size)} px` : "whole input"),
    ),
    h("span", { class: "card-kind" }, h("span", { class: "card-type", title: layer.kind }, cut(layer.kind, 40)), h("span", { class: "card-shape" }, layer.shape.join("\u202f×\u202f"))),
    from ? h("span", { class: "card-from" }, `from ${from}`) : null,
  );
}

function skipped(files) {
  if (!files.length) return null;
  return h(
    "details",
    { class: "skipped" },
    h("summary", null, `${plural(files.length, "file")} could not be read`),
    h(
      "ul",
      null,
      files.map(({ path, reason }) => h("li", null, h("code", { title: path }, cut(path, 120)), " ", cut(reason, 200))),
    ),
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
      return h("a", { class: "choice", href: format({ network: name }), title: labels[i], "aria-current": here }, cut(labels[i], 40));
    }),
  );
}

/** Where every card goes, and the lines between them; done again when the width changes. */
function arrange(place, cards, lines, manifest) {
  const names = manifest.layers.map((layer) => layer.name);
  const room = place.clientWidth;
  const narrow = room < 620;
  place.classList.toggle("listed", narrow);
  if (narrow) {
    place.style.height = "";
    for (const node of cards) node.style.translate = "";
    lines.replaceChildren();
    return;
  }
  const gapX = 36;
  const columns = Math.max(2, Math.floor((room + gapX) / (268 + gapX)));
  const width = Math.min(360, Math.floor((room + gapX) / columns - gapX));
  place.style.setProperty("--card", `${width}px`);
  const height = Math.max(...cards.map((node) => node.offsetHeight));
  const plan = layout(dagre, names, manifest.edges, { width, height, gapX, gapY: 44, room });
  const shift = Math.max(0, (room - plan.width) / 2);
  place.style.height = `${plan.height}px`;
  for (const node of cards) {
    const { x, y } = plan.cards.get(node.dataset.layer);
    node.style.translate = `${shift + x}px ${y}px`;
  }
  lines.replaceChildren(
    ...plan.edges.map(({ from, to, d }) => s("path", { d, transform: `translate(${shift},0)`, data: { from, to } })),
  );
}

function highlight(place, lines) {
  const show = (event) => {
    const name = event.target.closest?.(".card")?.dataset.layer;
    for (const path of lines.children) {
      path.classList.toggle("lit", name !== undefined && (path.dataset.from === name || path.dataset.to === name));
    }
  };
  for (const type of ["pointerover", "pointerleave", "focusin", "focusout"]) place.addEventListener(type, show);
}

/** @param {object} ctx */
export async function networkView(ctx) {
  const { store, route, signal } = ctx;
  const [index, manifest, root] = await Promise.all([
    store.index(signal),
    store.network(route.network, signal),
    store.folder(route.network, signal),
  ]);
  const { dataset, layers, edges } = manifest;
  const title = manifest.title ?? manifest.name;
  const known = new Set(layers.map((layer) => layer.name));
  const plain = isChain(layers.map((layer) => layer.name), edges);
  const inputs = (name) => edges.filter(([a, b]) => b === name && known.has(a)).map(([a]) => a);
  const cards = layers.map((layer, i) =>
    card(ctx, manifest, root, layer, i, plain ? null : cut(inputs(layer.name).join(", "), 120)),
  );
  const lines = s("g", { class: "edges" });
  const place = h(
    "div",
    { class: "graph listed" },
    s("svg", { class: "wires", "aria-hidden": "true" }, lines),
    h("ol", { class: "cards" }, cards.map((node) => h("li", null, node))),
  );
  const roving = rove(place, () => cards);
  highlight(place, lines);
  const watch = new ResizeObserver(() => arrange(place, cards, lines, manifest));
  watch.observe(place);
  signal.addEventListener("abort", () => watch.disconnect(), { once: true });
  const kind = layers.length ? previews(manifest, layers[0], STRIP)[0]?.kind : null;
  return {
    title,
    crumbs: [],
    node: h(
      "article",
      { class: "view network" },
      networks(index.networks, manifest.name),
      h(
        "header",
        { class: "intro" },
        h("h1", { tabindex: "-1", title }, cut(title, 80)),
        h(
          "p",
          { class: "lede" },
          `What does each filter of ${cut(title, 60)} look for? Every card is a layer, in the order in which a picture `,
          `passes through the network, with ${kind === "max_activ" ? "pictures made to excite a few of its filters" : "the patches that excite a few of its filters most"}. `,
          "Open one to see all of them.",
        ),
        h(
          "dl",
          { class: "facts" },
          fact("images", count(dataset.images)),
          fact("classes", h("span", { title: dataset.classes.length ? `${className(manifest, 0)}, …` : null }, count(dataset.classes.length))),
          fact("layers", count(layers.length)),
          fact("filters", count(filterCount(manifest))),
          fact("input", `${manifest.input.shape.slice(1).join("\u202f×\u202f")} px`),
          fact("data set", h("span", { title: dataset.name }, cut(dataset.name, 40))),
        ),
        skipped(dataset.skipped),
      ),
      place,
    ),
    ready: () => arrange(place, cards, lines, manifest),
    focus: (previous) => {
      const node = previous?.network === route.network && cards.find((one) => one.dataset.layer === previous.layer);
      if (node) roving.mark(node);
      return node || null;
    },
  };
}
