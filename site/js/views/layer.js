/** A layer: all its filters as tiles, sorted and chosen by the visitor. */
import { h, paper, replace } from "../dom.js";
import { choose, classCounts, deadCount, median, sortValue } from "../filters.js";
import { count, cut, number, percent, plural, times } from "../format.js";
import { PICTURES, className, layerIndex, pictureUrl, tileSize, usualTile, withoutPadding } from "../manifest.js";
import { frame, picture } from "../pictures.js";
import { rove } from "../roving.js";
import { StoreError } from "../store.js";
import { format, up } from "../state.js";
import { choices, fact, neighbours } from "./controls.js";

const FOLDERS = { ascent: "max_activ", crop: "cropped", gradient: "cropped_grad" };
const TILE_NAMES = { ascent: "Filter image", crop: "Best crop", gradient: "Gradient" };
const SORT_NAMES = { channel: "Number", selectivity: "Selectivity", active: "Active", score: "Strongest" };

const MEANINGS = {
  ascent: () => [
    "Each tile is a picture made from noise by gradient ascent until it excites the filter as much as it can: a ",
    paper("https://distill.pub/2017/feature-visualization/", "feature visualization"), ".",
  ],
  crop: () => [
    "Each tile is the patch of an image that excites the filter most: exactly what the unit sees, its receptive field.",
  ],
  gradient: (method) => [
    "Each tile shows which pixels of the best patch excite the filter, found by ",
    method === "guided"
      ? paper("https://arxiv.org/abs/1412.6806", "guided backpropagation")
      : paper("https://arxiv.org/abs/1311.2901", "deconvolution"),
    "; mid-gray means no influence.",
  ],
};

const VALUES = {
  channel: () => "",
  selectivity: (value) => number(value, 2),
  active: (value) => percent(value),
  score: (value) => number(value),
};

function method(manifest) {
  const config = manifest.stages.gradients?.config ?? {};
  return config.method ?? config.rule ?? "deconv";
}

/** A tile: the picture that was asked for, or the crop, labelled, where there is none. */
function tile(ctx, manifest, root, layer, filter, kind) {
  const folder = FOLDERS[kind];
  const there = filter.pictures.includes(folder) ? folder : filter.pictures.includes("cropped") ? "cropped" : null;
  const size = there && tileSize(manifest, there, layer);
  const alt = there ? `${PICTURES[there]} of filter ${filter.channel}` : "";
  const n = there === "max_activ" ? 1 : filter.max.length;
  const zoom = there === "cropped" || there === "cropped_grad" ? withoutPadding(layer, filter.max[0]) : null;
  return [
    frame(
      null,
      there
        ? picture({ src: pictureUrl(root, layer, there, filter.channel), alt, at: [0, n], natural: size?.[1], zoom })
        : h("span", { class: "lost" }, "no picture"),
      there && there !== folder ? h("span", { class: "instead" }, "crop") : null,
    ),
  ];
}

function classSelect(ctx, manifest, counts, route) {
  const select = h(
    "select",
    {
      id: "class-choice",
      on: {
        change: (event) => {
          const value = event.target.value;
          ctx.go(format({ ...ctx.current(), class: value === "" ? null : Number(value) }));
        },
      },
    },
    h("option", { value: "" }, "all classes"),
    counts.map(([index, n]) => h("option", { value: index }, `${cut(className(manifest, index), 40)} (${n})`)),
    route.class !== null && !counts.some(([index]) => index === route.class)
      ? h("option", { value: route.class }, `${cut(className(manifest, route.class), 40)} (0)`)
      : null,
  );
  return h("label", { class: "select" }, h("span", { class: "choices-label" }, "Class"), select);
}

function head(manifest, layer, filters, at) {
  const dead = deadCount(filters);
  const selectivity = median(filters.map((filter) => filter.stats.selectivity));
  const step = (other) =>
    other ? { href: format({ network: manifest.name, layer: other.name }), text: cut(other.name, 24) } : null;
  return h(
    "header",
    { class: "intro" },
    h(
      "div",
      { class: "title-row" },
      h("h1", { tabindex: "-1", title: layer.name }, cut(layer.name, 80)),
      neighbours("layer", step(manifest.layers[at - 1]), step(manifest.layers[at + 1])),
    ),
    h("p", { class: "lede", data: { part: "meaning" } }),
    h(
      "dl",
      { class: "facts" },
      fact("filters", count(layer.channels)),
      fact("kind", h("span", { title: layer.kind }, cut(layer.kind, 24))),
      fact("map", layer.shape.slice(1).join("\u202f×\u202f") || "1"),
      fact("a unit sees", layer.receptive_field ? `${times(layer.receptive_field.size)} px` : "all"),
      fact("dead filters", count(dead)),
      fact("median selectivity", number(selectivity, 2)),
    ),
  );
}

/** @param {object} ctx */
export async function layerView(ctx) {
  const { store, route, signal } = ctx;
  const [manifest, root] = await Promise.all([
    store.network(route.network, signal),
    store.folder(route.network, signal),
  ]);
  const at = layerIndex(manifest, route.layer);
  const layer = manifest.layers[at];
  if (!layer) throw new StoreError("unknown", `${cut(manifest.name)} has no layer “${cut(route.layer)}”.`);
  const { filters } = await store.layer(route.network, layer.data, signal);
  const counts = classCounts(filters);
  const header = head(manifest, layer, filters, at);
  const bar = h("div", { class: "toolbar" });
  const status = h("p", { class: "status", role: "status" });
  const grid = h("ol", { class: "tiles", "aria-label": `Filters of ${cut(layer.name)}` });
  const cells = new Map();
  const shown = () => [...grid.children].map((item) => item.firstElementChild);
  const roving = rove(grid, shown);
  let kindNow = null;

  function cell(filter) {
    if (!cells.has(filter.channel)) {
      const link = h("a", { class: "tile", tabindex: "-1" });
      cells.set(filter.channel, { item: h("li", null, link), link, value: h("span", { class: "tile-value" }) });
    }
    return cells.get(filter.channel);
  }

  function draw(now) {
    const kind = now.tile ?? usualTile(manifest, layer);
    const to = (change) => format({ ...now, ...change });
    const focused = document.activeElement?.closest?.(".toolbar .choice")?.dataset.value ?? null;
    const onSelect = document.activeElement?.id === "class-choice";
    replace(header.querySelector("[data-part=meaning]"), MEANINGS[kind](method(manifest)));
    const select = classSelect(ctx, manifest, counts, now);
    select.querySelector("select").value = now.class === null ? "" : String(now.class);
    replace(
      bar,
      choices("Show", Object.keys(FOLDERS).map((value) => ({ value, text: TILE_NAMES[value], href: to({ tile: value }) })), kind),
      choices("Sort by", Object.keys(SORT_NAMES).map((value) => ({ value, text: SORT_NAMES[value], href: to({ sort: value }) })), now.sort),
      counts.length ? select : null,
    );
    if (onSelect) bar.querySelector("select")?.focus();
    else if (focused) [...bar.querySelectorAll(".choice")].find((one) => one.dataset.value === focused)?.focus();
    const chosen = choose(filters, now);
    for (const filter of chosen) {
      const { link, value } = cell(filter);
      if (kind !== kindNow || !link.firstChild) {
        replace(
          link,
          tile(ctx, manifest, root, layer, filter, kind),
          h("span", { class: "tile-foot" }, h("span", { class: "tile-number" }, filter.channel), value),
        );
      }
      link.href = format({ ...now, channel: filter.channel, class: now.class });
      value.textContent = VALUES[now.sort](sortValue(filter, now.sort));
    }
    if (kind !== kindNow) for (const [channel, { link }] of cells) if (!chosen.some((f) => f.channel === channel)) replace(link);
    kindNow = kind;
    grid.replaceChildren(...chosen.map((filter) => cell(filter).item));
    roving.reset();
    const lacking = chosen.filter((filter) => !filter.pictures.includes(FOLDERS[kind])).length;
    replace(
      status,
      now.class === null
        ? plural(chosen.length, "filter")
        : `${plural(chosen.length, "filter")} with an image of “${cut(className(manifest, now.class), 60)}” among the best`,
      lacking ? `; ${count(lacking)} without this picture show the crop instead` : null,
      ".",
    );
  }
  draw(route);
  return {
    title: `${layer.name}, ${manifest.title ?? manifest.name}`,
    crumbs: [{ text: layer.name, href: format({ network: route.network, layer: layer.name }) }],
    steps: { before: at > 0 ? format({ network: route.network, layer: manifest.layers[at - 1].name }) : null, after: manifest.layers[at + 1] ? format({ network: route.network, layer: manifest.layers[at + 1].name }) : null },
    node: h("article", { class: "view layer" }, header, bar, status, grid),
    update: draw,
    focus: (previous) => {
      const same = previous?.network === route.network && previous?.layer === route.layer;
      const link = same && previous.channel !== null ? cells.get(previous.channel)?.link : null;
      if (link?.isConnected) roving.mark(link);
      return link?.isConnected ? link : null;
    },
    above: (now) => up(now),
  };
}
