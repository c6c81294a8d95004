/** A zoomable map of a drawing: drag to pan; wheel, two fingers, keys and buttons zoom. */
import d3 from "../../vendored/d3.js";
import { closest, h, icon } from "../../dom/dom.js";
import { READABLE, fitToView, reveal, showsAll } from "../../layout/viewport.js";
import { minimap } from "./minimap.js";

const MARGIN = 24;
const CLOSEST = 1.6;
const STEP = 1.5;
/** How long after the page has scrolled the wheel does not zoom the map under the pointer, in ms. */
const SCROLL_MS = 250;

/**
 * @param {HTMLElement} container the window
 * @param {HTMLElement} world the drawing
 * @param {object} options
 * @param {Map<string, any>} options.memory the last viewport of each map
 * @param {string} options.name of the drawing, in `memory`
 * @param {string} options.whole what the drawing is
 * @param {string} options.item selector of what can have the focus
 * @param {(item: HTMLElement) => string} options.keyOf the name of its box
 * @param {AbortSignal} options.signal
 */
export function zoomMap(container, world, { memory, name, whole: what, item, keyOf, signal }) {
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {import("d3").Selection<HTMLElement, unknown, null, undefined>} */
  const target = d3.select(container);
  let here = null; // the sizes of drawing and window, and where the cards are, while the map is on
  let scrolled = -Infinity;
  const now = () => d3.zoomTransform(container);
  /** @returns {any} a selection, or a transition of it; the types of d3-zoom take one or the other */
  const animated = (gently) =>
    gently && !reducedMotion.matches ? target.transition().duration(220) : target.interrupt();
  const go = ({ k, x, y }, gently) => zoom.transform(animated(gently), d3.zoomIdentity.translate(x, y).scale(k));
  const small = minimap((x, y) => zoom.translateTo(target.interrupt(), x, y));
  const whole = () => go(fitToView(here.world, here.view, MARGIN), true);
  const button = (label, path, click) =>
    h("button", { type: "button", class: "map-button", "aria-label": label, title: label, on: { click } }, icon(path));
  const nearer = button("Zoom in (+)", "M12 5v14M5 12h14", () => zoom.scaleBy(animated(true), STEP));
  const farther = button("Zoom out (\u2212)", "M5 12h14", () => zoom.scaleBy(animated(true), 1 / STEP));
  const fitButton = button(`Show the whole ${what} (0)`, "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5", whole);
  const tools = h("div", { class: "map-tools" }, nearer, farther, fitButton);

  /** @type {import("d3").ZoomBehavior<HTMLElement, unknown>} */
  const zoom = d3.zoom();
  zoom
    .filter((event) => {
      if (closest(event, ".minimap")) return false;
      if (event.type === "wheel") return event.ctrlKey || performance.now() - scrolled > SCROLL_MS;
      return !event.ctrlKey && !event.button;
    })
    .on("zoom", ({ transform }) => moved(transform));

  function moved({ k, x, y }) {
    if (!here) return;
    world.style.transform = `translate(${x}px, ${y}px) scale(${k})`;
    // In steps, since a change of the font size lays out all cards again.
    const step = 2 ** (Math.round(Math.log2(k) * 4) / 4);
    if (step !== here.step) world.style.setProperty("--k", String(step));
    here.step = step;
    container.classList.toggle("zoomed-out", k < READABLE);
    small.show({ k, x, y }, here.view, showsAll({ k, x, y }, here.world, here.view));
    const [least, most] = zoom.scaleExtent();
    nearer.toggleAttribute("data-end", k >= most - 1e-6);
    farther.toggleAttribute("data-end", k <= least + 1e-6);
    memory.set(name, { k, x, y, world: here.world, view: here.view });
  }

  function show(card, gently = false) {
    const box = here.boxes.get(keyOf(card));
    const { k, x, y } = now();
    const to = reveal({ k, x, y }, { ...box, ...here.card }, here.view, { margin: MARGIN, corner: small.covers() });
    if (to.x !== x || to.y !== y) go(to, gently);
  }

  container.addEventListener("focusin", (event) => {
    const card = closest(event, item);
    // A clicked card stays under the pointer.
    if (!here || !card?.matches(":focus-visible")) return;
    show(card, true);
    // The browser may have scrolled the page to where the card was.
    requestAnimationFrame(() => here && container.scrollIntoView({ block: "nearest" }));
  });
  container.addEventListener("keydown", (event) => {
    if (!here || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "+" || event.key === "=") zoom.scaleBy(animated(true), STEP);
    else if (event.key === "-" || event.key === "_") zoom.scaleBy(animated(true), 1 / STEP);
    else if (event.key === "0") whole();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  addEventListener("scroll", () => (scrolled = performance.now()), { passive: true, signal });

  return {
    tools,
    get on() {
      return here !== null;
    },
    /** Show the whole drawing, or keep the viewport after a resize or a return. */
    begin(drawing, view, card, boxes) {
      const left = here ? null : memory.get(name);
      const showed = here && !showsAll(now(), here.world, here.view) ? now() : null;
      here = { world: drawing, view, boxes, card: { width: card.width, height: card.height }, step: null };
      world.style.width = `${drawing.width}px`;
      world.style.height = `${drawing.height}px`;
      const all = fitToView(drawing, view, MARGIN);
      zoom
        .extent([
          [0, 0],
          [view.width, view.height],
        ])
        .scaleExtent([all.k, CLOSEST])
        .translateExtent([
          [-MARGIN / all.k, -MARGIN / all.k],
          [drawing.width + MARGIN / all.k, drawing.height + MARGIN / all.k],
        ])
        .duration(reducedMotion.matches ? 0 : 220);
      container.tabIndex = -1; // so that the keys work after a click
      if (!small.node.isConnected) {
        container.append(small.node);
        target.call(zoom);
      }
      small.draw(drawing, [...boxes.values()], card);
      const same = left && left.view.width === view.width && left.world.width === drawing.width;
      go(showed ?? (same ? left : all));
    },
    /** Turn the map off: the cards are an ordinary part of the page again. */
    end() {
      if (!here) return;
      here = null;
      target.interrupt().on(".zoom", null);
      container.removeAttribute("tabindex");
      container.classList.remove("zoomed-out");
      small.node.remove();
      for (const property of ["transform", "width", "height", "--k"]) world.style.removeProperty(property);
    },
    show,
  };
}
