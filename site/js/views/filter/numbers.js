/** The numbers of one filter: distribution and statistics. */
import { externalLink, h } from "../../dom/dom.js";
import { hasCrops, hasMap } from "../../data/manifest.js";
import { barReadout } from "../../plots/bar-readout.js";
import { binText, fullestBin, sparseBins } from "../../plots/bins.js";
import { responseBinTexts, responseHistogram } from "../../plots/response-histogram.js";
import { count, number, percent, plural } from "../../text/format.js";
import { section } from "../shared/section.js";
import { spectrumStrip } from "./spectrum.js";

/** @import { Context, FilterScene, Scene } from "../../types.js" */

/**
 * The distribution of the strongest responses over the images.
 * @param {FilterScene} scene
 * @param {Pick<Context, "store">} ctx
 */
export function responseSection(scene, ctx) {
  const { manifest, filter, signal } = scene;
  const rows = sparseBins(filter.stats.distribution, manifest.activation_edges);
  const fullest = fullestBin(rows);
  const text = [
    "The number of images by the position of their strongest response. ",
    "The scale is not even: each bar is a wider range than the one nearer to zero. ",
    "Gray is below zero, where a ReLU lets nothing pass.",
    manifest.spectra
      ? " Below, images from what silences the filter to what excites it, at quantiles of these responses."
      : null,
  ];
  const readout = () =>
    barReadout({
      label: "Histogram of the strongest response in each image",
      usual: `most images (${count(fullest.n)}): ${binText(fullest)}`,
      words: responseBinTexts(rows),
      first: rows.indexOf(fullest),
      draw: (width) => responseHistogram(rows, width),
      onBar: (at) => spectrum?.mark(rows[at] ?? null),
      signal,
    });
  const spectrum = rows.length ? spectrumStrip(scene, ctx) : null;
  return section(
    { title: "All images", text },
    rows.length
      ? h("div", { class: "responses" }, readout(), spectrum?.node)
      : h("p", { class: "absent" }, "No distribution was recorded."),
  );
}

/**
 * The statistics, each with its meaning.
 * @param {Scene} scene
 */
export function statisticsSection({ manifest, layer, filter }) {
  const { stats } = filter;
  const map = hasMap(layer);
  const certificates = filter.max.map((entry) => entry.certificate).filter(Number.isFinite);
  const line = (term, value, ...meaning) =>
    h(
      "div",
      { class: "stat" },
      h("dt", null, term),
      h("dd", { class: "stat-value" }, value),
      h("dd", { class: "stat-meaning" }, meaning),
    );
  const activeText =
    stats.active === 0
      ? "No image gives a positive response anywhere: a dead filter."
      : `The share of images with a positive response${map ? " anywhere" : ""}.`;
  const lines = [
    line("Active", percent(stats.active), activeText),
    line(
      "Class selectivity",
      number(stats.selectivity, 2),
      "0 when all classes excite it alike, 1 when only one does (",
      externalLink("https://arxiv.org/abs/1803.06959", "Morcos et al. 2018"),
      ").",
    ),
    line(
      map ? "Strongest response" : "Response",
      `${number(stats.max_mean)} ± ${number(stats.max_std)}`,
      map
        ? "Mean and standard deviation, over the images, of the highest activation in each."
        : "Mean and standard deviation, over the images, of the one number that each gives.",
    ),
  ];
  if (map) {
    lines.push(
      line(
        "Mean response",
        `${number(stats.mean)} ± ${number(stats.std)}`,
        "Mean and standard deviation, over the images, of the activation averaged over each.",
      ),
    );
  }
  if (certificates.length && hasCrops(manifest, layer)) {
    lines.push(
      line(
        "Crop check",
        number(Math.max(...certificates), 2),
        "The largest relative difference when a crop alone is fed to the network again: ",
        "near 0 proves that the crop is all the unit sees.",
      ),
    );
  }
  return section(
    { title: "Statistics", text: `Over ${plural(manifest.dataset.images, "image")}.` },
    h("dl", { class: "stats" }, lines),
  );
}
