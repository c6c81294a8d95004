/** The numbers of one filter: distribution, statistics. */
import { h, externalLink } from "../../dom/dom.js";
import { count, number, percent, plural } from "../../text/format.js";
import { hasCrops, hasMap } from "../../data/manifest.js";
import { binText, fullestBin, sparseBins } from "../../plots/bins.js";
import { responseBinTexts, responseHistogram } from "../../plots/response-histogram.js";
import { barReadout } from "../../plots/bar-readout.js";

/** How the strongest responses are spread over the images. */
export function responseSection(scene) {
  const { manifest, filter, signal } = scene;
  const rows = sparseBins(filter.stats.distribution, manifest.activation_edges);
  const fullest = fullestBin(rows);
  return h(
    "section",
    { class: "block" },
    h(
      "header",
      { class: "block-head" },
      h("h2", null, "All images"),
      h(
        "p",
        null,
        "How many images have their strongest response where. The scale is not even: each bar is a wider range than the one nearer to zero. Gray is below zero, where a ReLU lets nothing pass.",
      ),
    ),
    rows.length
      ? h(
          "div",
          { class: "responses" },
          barReadout({
            label: "Histogram of the strongest response in each image",
            usual: `most images (${count(fullest.n)}): ${binText(fullest)}`,
            words: responseBinTexts(rows),
            first: rows.indexOf(fullest),
            draw: (width) => responseHistogram(rows, width),
            signal,
          }),
        )
      : h("p", { class: "absent" }, "No distribution was recorded."),
  );
}

/** The statistics, each with its meaning in plain words. */
export function statisticsSection(scene) {
  const { manifest, filter } = scene;
  const { stats } = filter;
  const map = hasMap(scene.layer);
  const checks = filter.max.map((entry) => entry.certificate).filter((value) => value !== null && value !== undefined);
  const line = (term, value, ...meaning) =>
    h(
      "div",
      { class: "stat" },
      h("dt", null, term),
      h("dd", { class: "stat-value" }, value),
      h("dd", { class: "stat-meaning" }, meaning),
    );
  return h(
    "section",
    { class: "block" },
    h(
      "header",
      { class: "block-head" },
      h("h2", null, "Statistics"),
      h("p", null, `Over ${plural(manifest.dataset.images, "image")}.`),
    ),
    h(
      "dl",
      { class: "stats" },
      line(
        "Active",
        percent(stats.active),
        stats.active === 0
          ? "No image gives a positive response anywhere: a dead filter."
          : `The share of images with a positive response${map ? " anywhere" : ""}.`,
      ),
      line(
        "Class selectivity",
        number(stats.selectivity, 2),
        "0 when all classes excite it alike, 1 when only one does ",
        "(",
        externalLink("https://arxiv.org/abs/1803.06959", "Morcos et al. 2018"),
        ").",
      ),
      line(
        map ? "Strongest response" : "Response",
        `${number(stats.max_mean)} ± ${number(stats.max_std)}`,
        map
          ? "Mean and spread, over the images, of the highest activation in each."
          : "Mean and spread, over the images, of the one number that each gives.",
      ),
      map
        ? line(
            "Mean response",
            `${number(stats.mean)} ± ${number(stats.std)}`,
            "Mean and spread, over the images, of the activation averaged over each.",
          )
        : null,
      checks.length && hasCrops(manifest, scene.layer)
        ? line(
            "Crop check",
            number(Math.max(...checks), 2),
            "The largest relative difference when a crop alone is fed to the network again: near 0 proves that the crop is all the unit sees.",
          )
        : null,
    ),
  );
}
