/** The strongest images of one filter in both networks, side by side, and what became of each. */
import { ranksIn } from "../../data/comparison.js";
import { h } from "../../dom/dom.js";
import { truncate, number } from "../../text/format.js";
import { className, hasCrops, imageUrl, pictureUrl, tileSize } from "../../data/manifest.js";
import { boxOverlay, frame, picture } from "../../dom/pictures.js";
import { sideLink } from "./controls.js";

const ORDINALS = ["", "1st", "2nd", "3rd"];
const ordinal = (n) => ORDINALS[n] ?? `${n}th`;

/** What became of an image: it stayed, moved, left, or is new. */
function fate(tag, rank, there) {
  if (tag === "before") {
    if (there === null) return { text: "left the list", tone: "gone" };
    return { text: there === rank ? "stays" : `now ${ordinal(there)}`, tone: "kept" };
  }
  if (there === null) return { text: "new", tone: "fresh" };
  return { text: there === rank ? "stays" : `was ${ordinal(there)}`, tone: "kept" };
}

/** The image, its gradient, or the gradient over the image. */
function main(side, entry, index, entries, folder, show) {
  const { manifest, root, layer, filter } = side;
  const [, height, width] = manifest.input.shape;
  const shown = `${truncate(className(manifest, entry.class), 60)}, image ${entry.image}`;
  if (show !== "image" && !filter.pictures.includes(folder)) {
    return frame([height, width], h("span", { class: "missing" }, "gradient not computed"));
  }
  const whole = () => picture({ src: imageUrl(root, entry.image), alt: shown, natural: width });
  const gradient = (alt) =>
    picture({
      src: pictureUrl(root, layer, folder, filter.channel),
      alt,
      at: [index, entries.length],
      natural: tileSize(manifest, folder, layer)?.[1],
    });
  const node =
    show === "gradient"
      ? frame([height, width], gradient(`gradient for ${shown}`))
      : frame([height, width], whole(), show === "overlay" ? h("span", { class: "overlay" }, gradient("")) : null);
  if (entry.box && hasCrops(manifest, layer) && show !== "gradient")
    node.append(boxOverlay(entry.box, manifest.input.shape));
  return node;
}

function small(side, folder, index, what) {
  const { manifest, root, layer, filter, tag } = side;
  if (!filter.pictures.includes(folder)) return null;
  const size = tileSize(manifest, folder, layer);
  const alt = `${what} ${index + 1} of filter ${filter.channel} ${tag}`;
  return h(
    "span",
    { class: "small" },
    frame(
      size,
      picture({
        src: pictureUrl(root, layer, folder, filter.channel),
        alt,
        at: [index, filter.max.length],
        natural: size?.[1],
      }),
    ),
    h("span", { class: "small-name" }, what),
  );
}

function entryOf(side, list, folder, show, there) {
  const entries = side.filter[list];
  return entries.map((entry, i) => {
    const name = className(side.manifest, entry.class);
    const { text, tone } = fate(side.tag, i + 1, there[i]);
    return h(
      "li",
      null,
      h(
        "figure",
        { class: "entry" },
        main(side, entry, i, entries, folder, show),
        h(
          "figcaption",
          null,
          h("span", { class: "score", title: "activation" }, number(entry.score)),
          h(
            "span",
            { class: "class", title: [name, side.images[entry.image]?.path].filter(Boolean).join("\n") },
            truncate(name, 60),
          ),
          h("span", { class: `rank-change ${tone}` }, text),
        ),
        list === "max"
          ? h("div", { class: "pair" }, small(side, "cropped", i, "crop"), small(side, "cropped_grad", i, "gradient"))
          : null,
      ),
    );
  });
}

/** What stands over the pictures of one of the networks. */
export function sideHead({ tag, name, layer, filter }) {
  return h(
    "p",
    { class: "side-head", data: { side: tag } },
    h("span", { class: "side-tag" }, tag === "before" ? "Before" : "After"),
    " ",
    sideLink({ name }, { layer: layer.name, channel: filter.channel }),
  );
}

/**
 * Both lists of images.
 * @param {object[]} sides
 * @param {"max"|"avg"} list
 * @param {string} show one of SHOWS
 */
export function imageLists(sides, list, show) {
  const folder = list === "max" ? "max_grads" : "avg_grads";
  const [before, after] = sides.map(({ filter }) => filter[list]);
  const there = [ranksIn(before, after), ranksIn(after, before)];
  return sides.map((side, i) =>
    h(
      "div",
      { class: "side", role: "group", "aria-label": side.tag === "before" ? "Before" : "After" },
      sideHead(side),
      h("ol", { class: "side-entries" }, entryOf(side, list, folder, show, there[i])),
    ),
  );
}

/** In words: how many images are in both lists. */
export function sharedImagesText(sides, list) {
  const [before, after] = sides.map(({ filter }) => filter[list]);
  const stayed = ranksIn(before, after).filter((place) => place !== null).length;
  if (stayed === before.length && before.length === after.length) return `All ${before.length} are in both lists.`;
  return stayed
    ? `${stayed} of ${before.length} ${stayed === 1 ? "is" : "are"} in both lists.`
    : "None is in both lists.";
}
