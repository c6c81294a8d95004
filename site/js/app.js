/** Ties it together: the hash says where we are, the view of that place is drawn. */
import { replace } from "./dom.js";
import { openStore } from "./store.js";
import { format, parse, samePage, up } from "./state.js";
import { classView } from "./views/class.js";
import { filterView } from "./views/filter.js";
import { layerView } from "./views/layer.js";
import { message, skeleton } from "./views/message.js";
import { networkView } from "./views/network.js";
import { searchDialog } from "./views/search.js";
import { shell } from "./views/shell.js";

function viewOf(route) {
  if (route.channel !== null) return filterView;
  if (route.layer !== null) return layerView;
  return route.class !== null ? classView : networkView;
}

/**
 * @param {HTMLElement} main where views are drawn
 * @param {HTMLElement} bar the bar at the top
 * @param {string} index URL of the stores' index
 */
export function start(main, bar, index) {
  const store = openStore({ index });
  const name = document.title;
  let shown = null; // the route that is drawn, and its view
  let view = null;
  let running = new AbortController();
  const memory = new Map(); // where each network's map was left, for the way back
  const current = () => parse(location.hash);
  const go = (hash) => {
    location.hash = hash;
  };
  const search = searchDialog({ current, go, manifest: (network) => store.network(network) });
  const frame = shell(bar, { search });

  function waiting(route) {
    // Only when it takes a moment, so that what is in memory never flashes.
    return setTimeout(() => replace(main, skeleton(route.layer === null && route.class === null ? 8 : 24)), 120);
  }

  async function settle(route, signal) {
    if (route.network !== null) return route;
    const { networks } = await store.index(signal);
    if (!networks.length) throw new Error("There is no network in this site yet.");
    const full = { ...route, network: networks[0].name };
    history.replaceState(null, "", format(full));
    return full;
  }

  async function draw() {
    const asked = current();
    if (view?.update && samePage(asked, shown)) {
      shown = asked;
      view.update(asked);
      return;
    }
    const previous = shown;
    running.abort();
    running = new AbortController();
    const { signal } = running;
    const timer = waiting(asked);
    main.setAttribute("aria-busy", "true");
    try {
      const route = await settle(asked, signal);
      const next = await viewOf(route)({ store, route, signal, current, go, search, memory });
      if (signal.aborted) return;
      const manifest = await store.network(route.network, signal);
      clearTimeout(timer);
      [view, shown] = [next, route];
      document.title = `${next.title} \u2013 ${name}`;
      frame.show(route, manifest.title ?? manifest.name, next.crumbs);
      replace(main, next.node);
      next.ready?.();
      arrive(next, previous, route);
    } catch (error) {
      clearTimeout(timer);
      if (signal.aborted) return;
      fail(error, asked);
    } finally {
      if (!signal.aborted) main.removeAttribute("aria-busy");
    }
  }

  function arrive(next, previous, route) {
    const target = previous ? next.focus?.(previous) : null;
    if (target) {
      target.scrollIntoView({ block: "center" });
      target.focus({ preventScroll: true });
      return;
    }
    scrollTo(0, 0);
    if (previous && !samePage(previous, route)) main.querySelector("h1")?.focus({ preventScroll: true });
  }

  function fail(error, route) {
    [view, shown] = [null, route];
    document.title = name;
    const parts = route.layer === null ? [] : [{ text: route.layer, href: format({ ...route, channel: null }) }];
    frame.show(route, route.network, parts);
    const above = up(route);
    const back = above
      ? { href: format(above), text: "One level up" }
      : { href: "#/", text: "To the first network" };
    replace(main, message(error, draw, route.network === null ? null : back));
  }

  function key(event) {
    const typing = event.target.closest?.("input, select, textarea, dialog");
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || typing) return;
    const to = { ArrowLeft: view?.steps?.before, ArrowRight: view?.steps?.after }[event.key];
    if (event.key === "/") search();
    else if (event.key === "Escape" && up(current())) go(format(up(current())));
    else if (to) go(to);
    else return;
    event.preventDefault();
  }

  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the hash belongs to the routes
    main.focus();
  });
  history.scrollRestoration = "manual";
  addEventListener("hashchange", draw);
  addEventListener("keydown", key);
  return draw();
}

start(document.querySelector("main"), document.querySelector("#bar"), document.body.dataset.index);
