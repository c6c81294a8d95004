/** A small copy of the map with its viewport; a press or a drag moves there. */
import { s } from "../../dom/dom.js";
import { visibleBox } from "../../layout/viewport.js";

const MOST = { width: 220, height: 150 };
const GAP = 24;

/**
 * @param {(x: number, y: number) => void} go move to a point of the drawing
 */
export function minimap(go) {
  const cards = s("g", { class: "minimap-cards" });
  const frame = s("rect", { class: "minimap-seen", rx: 3, "vector-effect": "non-scaling-stroke" });
  // Hidden from assistive technology: the keyboard reaches the cards themselves.
  const node = s("svg", { class: "minimap", "aria-hidden": "true" }, cards, frame);
  let size = null;

  function move(event) {
    const box = node.getBoundingClientRect();
    const { x, y, width, height } = node.viewBox.baseVal;
    go(x + ((event.clientX - box.left) / box.width) * width, y + ((event.clientY - box.top) / box.height) * height);
  }
  node.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    node.setPointerCapture(event.pointerId);
    move(event);
  });
  node.addEventListener("pointermove", (event) => {
    if (node.hasPointerCapture(event.pointerId)) move(event);
  });

  return {
    node,
    /** The size of the corner that it covers; null while it is hidden. */
    covers: () =>
      size && node.style.display !== "none" ? { width: size.width + GAP, height: size.height + GAP } : null,
    draw(world, boxes, card) {
      const edge = Math.max(world.width, world.height) * 0.03;
      const all = { width: world.width + 2 * edge, height: world.height + 2 * edge };
      const k = Math.min(MOST.width / all.width, MOST.height / all.height);
      size = { width: Math.round(all.width * k), height: Math.round(all.height * k) };
      node.setAttribute("viewBox", `${-edge} ${-edge} ${all.width} ${all.height}`);
      node.style.width = `${size.width}px`;
      node.style.height = `${size.height}px`;
      const round = { width: card.width, height: card.height, rx: 14 };
      cards.replaceChildren(...boxes.map(({ x, y }) => s("rect", { x, y, ...round })));
    },
    show(place, view, all) {
      node.style.display = all ? "none" : "";
      for (const [key, value] of Object.entries(visibleBox(place, view))) frame.setAttribute(key, String(value));
    },
  };
}
