/** The best images of one filter in both networks, side by side, and how the rank of each changed. */
import { h } from "../../dom/dom.js";
import { ranksIn } from "../../data/comparison.js";
import { className } from "../../data/manifest.js";
import { number, ordinal, truncate } from "../../text/format.js";
import { cropPair, entryPicture } from "../shared/figures.js";
import { sideGroup } from "./controls.js";

/** @import { FilterSide } from "../../types.js" */

/**
 * How the rank of an image changed.
 * @param {string} tag "before" or "after": whose list has the image
 * @param {number} rank in that list
 * @param {number|null} other its rank in the other list
 */
export function rankChange(tag, rank, other) {
  if (other === null)
    return tag === "before" ? { text: "left the list", tone: "gone" } : { text: "new", tone: "fresh" };
  if (other === rank) return { text: "stays", tone: "kept" };
  return { text: tag === "before" ? `now ${ordinal(other)}` : `was ${ordinal(other)}`, tone: "kept" };
}

/**
 * @param {FilterSide} side
 * @param {"max"|"avg"} list
 * @param {number} index of the entry
 * @param {string} show one of SHOWS
 * @param {number|null} otherRank
 */
function entryFigure(side, list, index, show, otherRank) {
  const entry = side.filter[list][index];
  const name = className(side.manifest, entry.class);
  const { text, tone } = rankChange(side.tag, index + 1, otherRank);
  const title = [name, side.images[entry.image]?.path].filter(Boolean).join("\n");
  return h(
    "figure",
    { class: "entry" },
    entryPicture(side, list, index, show),
    h(
      "figcaption",
      null,
      h("span", { class: "score", title: "activation" }, number(entry.score)),
      h("span", { class: "class", title }, truncate(name, 60)),
      h("span", { class: `rank-change ${tone}` }, text),
    ),
    list === "max" ? cropPair(side, index) : null,
  );
}

/**
 * The list of images of each side.
 * @param {FilterSide[]} sides
 * @param {"max"|"avg"} list
 * @param {string} show one of SHOWS
 */
export function imageLists(sides, list, show) {
  const [before, after] = sides.map(({ filter }) => filter[list]);
  const otherRanks = [ranksIn(before, after), ranksIn(after, before)];
  return sides.map((side, i) => {
    const figures = side.filter[list].map((_, j) => entryFigure(side, list, j, show, otherRanks[i][j]));
    const items = figures.map((figure) => h("li", null, figure));
    return sideGroup(side, h("ol", { class: "side-entries" }, items));
  });
}

/**
 * How many images are in both lists, in words.
 * @param {FilterSide[]} sides
 * @param {"max"|"avg"} list
 */
export function sharedImagesText(sides, list) {
  const [before, after] = sides.map(({ filter }) => filter[list]);
  const shared = ranksIn(before, after).filter((rank) => rank !== null).length;
  if (shared === before.length && before.length === after.length) return `All ${before.length} are in both lists.`;
  return shared
    ? `${shared} of ${before.length} ${shared === 1 ? "is" : "are"} in both lists.`
    : "None is in both lists.";
}
