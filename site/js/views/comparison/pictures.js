/** Pictures of one filter, before and after, side by side. */
import { h } from "../../dom/dom.js";
import { hasAscent, hasCrops, pictureUrl, tileSize } from "../../data/manifest.js";
import { frame, picture } from "../../dom/pictures.js";
import { cropSquare } from "../../dom/crop-square.js";

/**
 * A pair of frames in the place of one.
 * @param {HTMLElement} before
 * @param {HTMLElement} after
 */
export function picturePair(before, after) {
  return h("span", { class: "picture-pair" }, before, after);
}

/**
 * A filter's picture without asking its layer's data: its filter image or its best crop.
 * @param {{manifest: object, root: string, tag: string}} side
 * @param {string} layerName
 * @param {number} channel
 * @param {"max_activ"|"cropped"} kind
 */
export function previewPicture({ manifest, root, tag }, layerName, channel, kind) {
  const layer = manifest.layers.find((one) => one.name === layerName);
  return frame(
    null,
    picture({
      src: pictureUrl(root, layer, kind, channel),
      alt: `filter ${channel} ${tag}`,
      at: [0, kind === "cropped" ? Math.min(manifest.k, manifest.dataset.images) : 1],
      natural: tileSize(manifest, kind, layer)?.[1],
      part: kind === "cropped" ? cropSquare(manifest, layer, kind) : null,
    }),
  );
}

/** The kinds of picture that all sides have of a filter, as their manifests say: the one to prefer first. */
export function previewKinds(sides, layerName, channel) {
  const own = sides.map(({ manifest }) => [manifest, manifest.layers.find((one) => one.name === layerName)]);
  if (own.some(([, layer]) => !layer)) return [];
  return [
    own.every(([manifest, layer]) => hasAscent(manifest, layer, channel)) ? "max_activ" : null,
    own.every(([manifest, layer]) => hasCrops(manifest, layer)) ? "cropped" : null,
  ].filter(Boolean);
}
