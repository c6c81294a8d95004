/** The pictures of one filter: the images, with box or gradient, the crops, and the made image. */
import { h, externalLink } from "../../dom/dom.js";
import { truncate, number } from "../../text/format.js";
import { className, hasCrops, hasMap, imageUrl, pictureUrl, tileSize } from "../../data/manifest.js";
import { boxOverlay, frame, picture } from "../../dom/pictures.js";

function absent(what) {
  return h(
    "p",
    { class: "absent" },
    h("b", null, what),
    " Not computed for this filter; run precompute with a larger ",
    h("code", null, "--filters"),
    ".",
  );
}

function caption(scene, entry, rank, position) {
  const { manifest, images } = scene;
  const name = className(manifest, entry.class);
  const path = images[entry.image]?.path;
  return h(
    "figcaption",
    null,
    h("span", { class: "rank" }, rank + 1),
    h("span", { class: "score", title: "activation" }, number(entry.score)),
    h("span", { class: "class", title: path ? `${name}\n${path}` : name }, truncate(name, 60)),
    position ? h("span", { class: "detail" }, `map row ${position[0]}, column ${position[1]}`) : null,
  );
}

/** The image, its gradient, or the gradient over the image. */
function main(scene, entry, index, entries, folder, show) {
  const { manifest, root, layer, filter } = scene;
  const [, height, width] = manifest.input.shape;
  const has = filter.pictures.includes(folder);
  const name = truncate(className(manifest, entry.class), 60);
  const whole = () =>
    picture({ src: imageUrl(root, entry.image), alt: `${name}, image ${entry.image}`, natural: width });
  const gradient = (alt) =>
    picture({
      src: pictureUrl(root, layer, folder, filter.channel),
      alt,
      at: [index, entries.length],
      natural: tileSize(manifest, folder, layer)?.[1],
    });
  if (show !== "image" && !has) {
    return frame([height, width], h("span", { class: "missing" }, "gradient not computed"));
  }
  const node =
    show === "gradient"
      ? frame([height, width], gradient(`gradient for ${name}, image ${entry.image}`))
      : frame([height, width], whole(), show === "overlay" ? h("span", { class: "overlay" }, gradient("")) : null);
  if (entry.box && hasCrops(manifest, layer) && show !== "gradient")
    node.append(boxOverlay(entry.box, manifest.input.shape));
  return node;
}

function small(scene, folder, index, what) {
  const { manifest, root, layer, filter } = scene;
  const size = tileSize(manifest, folder, layer);
  const alt = `${what} ${index + 1} of filter ${filter.channel}`;
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

/** Figures side by side. */
function figures(entries) {
  return h("div", { class: "figures", style: { "--entries": entries.length } }, entries);
}

/** The top-k by maximum, each with its crop and the crop's gradient. */
export function strongestFigures(scene, show) {
  const { filter, manifest, layer } = scene;
  const has = (folder) => filter.pictures.includes(folder);
  const entries = filter.max.map((entry, i) =>
    h(
      "figure",
      { class: "entry" },
      main(scene, entry, i, filter.max, "max_grads", show),
      caption(scene, entry, i, hasMap(layer) ? entry.position : null),
      h(
        "div",
        { class: "pair" },
        has("cropped") ? small(scene, "cropped", i, "crop") : null,
        has("cropped_grad") ? small(scene, "cropped_grad", i, "gradient") : null,
      ),
    ),
  );
  const made = has("max_grads") && (has("cropped_grad") || !hasCrops(manifest, layer));
  return [figures(entries), made ? null : absent("Gradients:")];
}

/** The top-k by mean. */
export function averageFigures(scene, show) {
  const { filter } = scene;
  const entries = filter.avg.map((entry, i) =>
    h(
      "figure",
      { class: "entry" },
      main(scene, entry, i, filter.avg, "avg_grads", show),
      caption(scene, entry, i, null),
    ),
  );
  const made = show === "image" || filter.pictures.includes("avg_grads");
  return [figures(entries), made ? null : absent("Gradients of the average:")];
}

const known = (value) => value !== null && value !== undefined;

/** The image that gradient ascent finds. */
export function filterImageSection(scene) {
  const { manifest, root, layer, filter } = scene;
  const there = filter.pictures.includes("max_activ");
  const size = tileSize(manifest, "max_activ", layer);
  return h(
    "section",
    { class: there ? "block filter-image" : "block filter-image none" },
    h(
      "header",
      { class: "block-head" },
      h("h2", null, "Filter image"),
      h(
        "p",
        null,
        "Made from noise by gradient ascent to excite this filter: a ",
        externalLink("https://distill.pub/2017/feature-visualization/", "feature visualization"),
        ".",
      ),
    ),
    there
      ? h(
          "figure",
          { class: "entry" },
          frame(
            size,
            picture({
              src: pictureUrl(root, layer, "max_activ", filter.channel),
              alt: `filter image of filter ${filter.channel}`,
              eager: true,
              natural: size?.[1],
            }),
          ),
          filter.ascent?.found === false
            ? h(
                "figcaption",
                null,
                h(
                  "span",
                  { class: "detail" },
                  "No picture was found that excites this filter: what is shown is the last attempt.",
                ),
              )
            : null,
          filter.ascent
            ? h(
                "figcaption",
                null,
                h("span", { class: "score" }, number(filter.ascent.score)),
                h("span", { class: "class" }, hasMap(layer) ? "mean activation reached" : "activation reached"),
                known(filter.ascent.ratio)
                  ? h(
                      "span",
                      { class: "detail" },
                      `${number(filter.ascent.ratio, 2)} times that of the best image of the data set`,
                    )
                  : null,
              )
            : null,
        )
      : absent("Filter image:"),
  );
}
