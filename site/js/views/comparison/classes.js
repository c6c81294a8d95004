/** Which classes excite a filter, before and after: two bars a class. */
import { pairedClasses } from "../../data/comparison.js";
import { h } from "../../dom/dom.js";
import { truncate, number } from "../../text/format.js";
import { className, hasMap } from "../../data/manifest.js";

/** From so many times as high, each network's bars have a scale of their own. */
const APART = 4;

/** A bar from zero, which stands at the same place for both networks. */
function bar(tag, value, scale, [low, high]) {
  const share = (size) => `${(size / (high - low || 1)) * 100}%`;
  const words = value === null ? "not among its ten highest" : number(value);
  return h(
    "span",
    { class: "paired-bar", data: { side: tag } },
    h("span", { class: "visually-hidden" }, `${tag} `),
    h(
      "span",
      { class: "paired-room", "aria-hidden": "true" },
      value === null
        ? null
        : h("span", {
            style: { "margin-left": share(Math.min(value / scale, 0) - low), width: share(Math.abs(value / scale)) },
          }),
    ),
    value === null
      ? h("span", { class: "paired-figure", title: words }, "\u2013", h("span", { class: "visually-hidden" }, words))
      : h("span", { class: "paired-figure" }, words),
  );
}

/** The value that is furthest from zero. */
const furthest = (values) => values.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);

function panel(sides, title, kind) {
  const profiles = sides.map(({ filter }) => filter.classes[kind]);
  const rows = pairedClasses(...profiles);
  if (!rows.length) {
    return h(
      "div",
      { class: "panel" },
      h("h3", null, title),
      h("p", { class: "absent" }, "No classes in this data set."),
    );
  }
  const values = profiles.map((profile) => profile.map(([, value]) => value));
  const [one, two] = values.map((some) => Math.abs(furthest(some)) || 1);
  const apart = Math.max(one / two, two / one) >= APART;
  const scales = apart ? [one, two] : [Math.max(one, two), Math.max(one, two)];
  const ends = values.flatMap((some, i) => some.map((value) => value / scales[i]));
  const range = [Math.min(0, ...ends), Math.max(0, ...ends)];
  return h(
    "div",
    { class: "panel" },
    h("h3", null, title),
    h(
      "ul",
      { class: "paired-classes" },
      rows.map((row) => {
        const name = className(sides[0].manifest, row.index);
        return h(
          "li",
          null,
          h("span", { class: "paired-name", title: name }, truncate(name, 40)),
          h(
            "span",
            { class: "paired-bars" },
            bar("before", row.before, scales[0], range),
            bar("after", row.after, scales[1], range),
          ),
        );
      }),
    ),
    apart
      ? h(
          "p",
          { class: "paired-note" },
          `Each network\u2019s bars have a scale of their own: the longest stands for ${number(furthest(values[0]), 2)} before and ${number(furthest(values[1]), 2)} after.`,
        )
      : null,
  );
}

/** The class profiles of both networks. */
export function pairedProfile(sides) {
  const map = hasMap(sides[0].layer);
  return h(
    "section",
    { class: "block" },
    h(
      "header",
      { class: "block-head" },
      h("h2", null, "Classes"),
      h(
        "p",
        null,
        map
          ? "The mean, over the images of a class, of the strongest response in each, and of the mean response."
          : "The mean response over the images of a class.",
        " Each network lists its ten highest classes: \u2013 is none of them.",
      ),
      h(
        "p",
        { class: "legend" },
        h("span", { class: "key", data: { side: "before" } }),
        "before",
        h("span", { class: "key", data: { side: "after" } }),
        "after",
      ),
    ),
    h(
      "div",
      { class: "panels" },
      panel(sides, map ? "Strongest response" : "Response", "max"),
      map ? panel(sides, "Mean response", "avg") : null,
    ),
  );
}
