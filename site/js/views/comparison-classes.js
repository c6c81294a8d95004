/** Which classes excite a filter, before and after: two bars a class. */
import { pairedClasses } from "../comparison.js";
import { h } from "../dom.js";
import { cut, number } from "../format.js";
import { className, hasMap } from "../manifest.js";

/** From so many times as high, each network's bars have a scale of their own. */
const APART = 4;

function bar(tag, value, scale) {
  const words = value === null ? "not among its ten highest" : number(value);
  return h(
    "span",
    { class: "both-bar", data: { side: tag } },
    h("span", { class: "unseen" }, `${tag} `),
    h("span", { class: "both-room", "aria-hidden": "true" }, value === null ? null : h("span", { style: { width: `${Math.min(1, Math.max(0, value / scale)) * 100}%` } })),
    h("span", { class: value === null ? "both-figure none" : "both-figure", title: value === null ? words : null }, value === null ? "\u2013" : words, value === null ? h("span", { class: "unseen" }, words) : null),
  );
}

function panel(sides, title, kind) {
  const [before, after] = sides.map(({ filter }) => filter.classes[kind]);
  const rows = pairedClasses(before, after);
  if (!rows.length) {
    return h("div", { class: "panel" }, h("h3", null, title), h("p", { class: "absent" }, "No classes in this data set."));
  }
  const [low, high] = [before, after].map((profile) => Math.max(...profile.map(([, value]) => value), 0) || 1);
  const apart = Math.max(low / high, high / low) >= APART;
  const scales = apart ? [low, high] : [Math.max(low, high), Math.max(low, high)];
  return h(
    "div",
    { class: "panel" },
    h("h3", null, title),
    h(
      "ul",
      { class: "both-list" },
      rows.map((row) => {
        const name = className(sides[0].manifest, row.index);
        return h(
          "li",
          null,
          h("span", { class: "both-name", title: name }, cut(name, 40)),
          h("span", { class: "both-bars" }, bar("before", row.before, scales[0]), bar("after", row.after, scales[1])),
        );
      }),
    ),
    apart ? h("p", { class: "both-note" }, `Each network\u2019s bars have a scale of their own: its highest class is ${number(low, 2)} before and ${number(high, 2)} after.`) : null,
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
        map ? "The mean, over the images of a class, of the strongest response in each, and of the mean response." : "The mean response over the images of a class.",
        " Each network lists its ten highest classes: \u2013 is none of them.",
      ),
      h("p", { class: "legend" }, h("span", { class: "key", data: { side: "before" } }), "before", h("span", { class: "key", data: { side: "after" } }), "after"),
    ),
    h("div", { class: "panels" }, panel(sides, map ? "Strongest response" : "Response", "max"), map ? panel(sides, "Mean response", "avg") : null),
  );
}
