/** The circuit of a filter on its page: what it is made of, and what it is used for. */
import { h, replace } from "../../dom/dom.js";
import { circuitOf, circuitsPath, coveredShare, hasCircuits, partsByLayer } from "../../data/circuits.js";
import { formatRoute } from "../../data/route.js";
import { number, percent, truncate, truncateStart } from "../../text/format.js";
import { balance } from "../shared/balance.js";
import { onceNearWindow } from "../shared/near-window.js";
import { section } from "../shared/section.js";
import { partRows } from "./circuit-rows.js";

/** @import { Circuit, CircuitPart, Context, FilterScene, Route } from "../../types.js" */
/** @import { PartRows } from "./circuit-rows.js" */

/** How many filters are shown before the visitor asks for more. */
const FIRST = { exciting: 6, inhibiting: 3, users: 6 };

const WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

const inWords = (n) => WORDS[n] ?? String(n);

/**
 * Over which images the contributions are averaged.
 * @param {Circuit} circuit
 * @param {number} best how many images the filter's list has
 */
function whichImages({ overAllImages }, best) {
  if (overAllImages) return "over all images";
  return best === 1 ? "in this one image" : `in these ${inWords(best)} images`;
}

/** The colours of kernels and what they stand for. */
function kernelLegend({ scale, excitedBy, inhibitedBy }) {
  if (![...excitedBy, ...inhibitedBy].some(({ kernel }) => kernel)) return null;
  return h(
    "p",
    { class: "kernel-legend" },
    "Kernel weights ",
    h("span", { class: "kernel-legend-end" }, number(-scale, 2)),
    h("span", { class: "kernel-scale", role: "img", "aria-label": "from inhibiting over zero to exciting" }),
    h("span", { class: "kernel-legend-end" }, `+${number(scale, 2)}`),
  );
}

/**
 * Filters of one sign, a few of them first, by layer if several feed the filter.
 * @param {PartRows} rows
 * @param {Circuit} circuit
 * @param {string} where the images, in words
 * @param {"excitation"|"inhibition"} sign
 */
function madeOf(rows, circuit, where, sign) {
  const exciting = sign === "excitation";
  const parts = exciting ? circuit.excitedBy : circuit.inhibitedBy;
  if (!parts.length) return null;
  const title = () => h("h4", null, exciting ? "Exciting" : "Inhibiting");
  const list = (shown) => {
    const share = percent(coveredShare(shown, circuit[sign]));
    const which = shown.length === 1 ? "This filter gives" : `These ${inWords(shown.length)} filters give`;
    const text = h("p", { class: "chart-note" }, `${which} ${share} of the ${sign}, ${where}.`);
    const sentence = h("div", { class: "part-head" }, title(), text);
    if (circuit.upstream.length < 2) return [sentence, rows.list(shown, circuit.scale)];
    return [
      sentence,
      partsByLayer(shown, circuit.upstream, sign).map(({ layer, sum, parts: some }) => [
        h(
          "p",
          { class: "part-layer" },
          h("b", { title: layer.name }, truncateStart(layer.name, 40)),
          ` gives ${percent(Math.min(1, sum / circuit[sign] || 0))} of the ${sign} (${number(sum)})`,
        ),
        rows.list(some, circuit.scale),
      ]),
    ];
  };
  return rows.more(parts, exciting ? FIRST.exciting : FIRST.inhibiting, list);
}

/**
 * @param {PartRows} rows
 * @param {Circuit} circuit
 */
function usedBy(rows, { usedBy: parts, downstream }) {
  if (!downstream.length) return h("p", { class: "chart-note" }, "No layer reads this one: it is the last.");
  if (!parts.length) return h("p", { class: "chart-note" }, "No filter further on depends on it.");
  const text = h(
    "p",
    { class: "chart-note" },
    "The filters in whose sums it has the largest share; a negative share inhibits.",
  );
  return rows.more(parts, FIRST.users, (shown) => [text, rows.list(shown, null)]);
}

/**
 * What is shown of a circuit once it is read.
 * @param {FilterScene} scene
 * @param {PartRows} rows
 * @param {Circuit} circuit
 * @param {Route} route of the filter
 */
function content({ filter }, rows, circuit, route) {
  const where = whichImages(circuit, filter.max.length);
  const link = (direction) => {
    const href = formatRoute({ ...route, show: "image", circuit: true, direction });
    return h("a", { class: "button", href, data: { direction } }, "Over several layers");
  };
  const none = () =>
    h(
      "p",
      { class: "chart-note" },
      circuit.upstream.length
        ? "No filter directly upstream contributes to it."
        : "This layer reads the input image directly.",
    );
  const parts = [madeOf(rows, circuit, where, "excitation"), madeOf(rows, circuit, where, "inhibition")];
  return [
    circuit.upstream.length ? balance(circuit) : null,
    circuit.repeated
      ? h("p", { class: "chart-note" }, "A layer here is called more than once; this is its first call.")
      : null,
    h(
      "div",
      { class: "circuit-part" },
      h(
        "div",
        { class: "circuit-head" },
        h("h3", null, "Made of"),
        kernelLegend(circuit),
        circuit.upstream.length ? link("up") : null,
      ),
      parts.some(Boolean) ? parts : none(),
    ),
    h(
      "div",
      { class: "circuit-part" },
      h("div", { class: "circuit-head" }, h("h3", null, "Used by"), circuit.downstream.length ? link("down") : null),
      usedBy(rows, circuit),
    ),
  ];
}

/**
 * A section that is read when it comes near the window; null if the store has no circuits.
 * @param {FilterScene} scene
 * @param {Pick<Context, "store"|"current">} ctx
 */
export function circuitSection(scene, { store, current }) {
  const { manifest, layer, filter, signal } = scene;
  if (!hasCircuits(manifest)) return null;
  const body = h("div", { class: "circuit-body", "aria-busy": "true" });
  const text = [
    "How the filters directly upstream make up this one: a contribution is the gradient of the filter\u2019s ",
    "strongest unit, times the activation of the filter upstream, summed over its map. ",
    "A percentage is the share of all contributions, exciting and inhibiting.",
  ];

  async function read() {
    try {
      const file = await store.circuits(manifest.name, circuitsPath(layer), signal);
      const circuit = circuitOf(file, manifest, filter.channel);
      if (!circuit)
        throw new Error("The file with the circuits of this layer does not say what this filter is made of.");
      replace(body, content(scene, partRows(scene, store), circuit, current()));
    } catch (error) {
      if (signal.aborted) return;
      const why = error instanceof Error ? truncate(error.message, 200) : "";
      replace(body, h("p", { class: "chart-note" }, `The circuit cannot be shown. ${why}`));
    }
    body.removeAttribute("aria-busy");
  }
  onceNearWindow(body, read, signal);
  return section({ title: "Circuit", kind: "circuit-section", text }, body);
}
