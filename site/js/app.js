/** The page: reads the route from the hash and draws its view. */

import { closest, replace } from "./dom/dom.js";
import { isInteracting, preserveView } from "./dom/preserve-view.js";
import { truncateStart } from "./text/format.js";
import { pictureLoading } from "./dom/picture-loading.js";
import { viewDependencies, pollLive } from "./data/live.js";
import { packLoader } from "./data/pack-loader.js";
import { StoreError, openStore } from "./data/store.js";
import { formatRoute, parseRoute, samePage, parentRoute } from "./data/route.js";
import { circuitView } from "./views/circuit/view.js";
import { classView } from "./views/class/view.js";
import { comparisonFilterView } from "./views/comparison/filter-view.js";
import { comparisonLayerView } from "./views/comparison/layer-view.js";
import { comparisonView } from "./views/comparison/view.js";
import { filterView } from "./views/filter/view.js";
import { layerView } from "./views/layer/view.js";
import { liveBar } from "./shell/live-bar.js";
import { message, skeleton } from "./shell/message.js";
import { networkView } from "./views/network/view.js";
import { searchDialog } from "./shell/search-dialog.js";
import { shell } from "./shell/shell.js";

/** @import { Route, View, ViewFunction } from "./types.js" */

/**
 * @param {Route} route
 * @returns {ViewFunction}
 */
function viewOf(route) {
  if (route.comparison !== null) {
    if (route.channel !== null) return comparisonFilterView;
    return route.layer !== null ? comparisonLayerView : comparisonView;
  }
  if (route.channel !== null) return route.circuit ? circuitView : filterView;
  if (route.layer !== null) return layerView;
  return route.class !== null ? classView : networkView;
}

/**
 * @param {HTMLElement} main where views are drawn
 * @param {HTMLElement} bar the bar at the top
 * @param {string} index URL of the stores' index.json
 * @param {string|undefined} liveUrl URL to poll if the page comes from a live server
 */
export function start(main, bar, index, liveUrl) {
  const store = openStore({ index });
  const packs = packLoader();
  const name = document.title;
  /** @type {Route|null} */
  let shown = null; // the route that is drawn, and its view
  /** @type {View|null} */
  let view = null;
  let running = new AbortController();
  let drawing = false; // whether a new view is being drawn
  let live = null; // the latest message of a live server
  let drawn = null; // what the view depends on in that message
  const memory = new Map(); // what views remember for the visitor's return
  const current = () => parseRoute(location.hash);
  const go = (hash) => {
    location.hash = hash;
  };
  const placeOf = (route, signal) =>
    route.comparison === null ? store.network(route.network, signal) : store.comparison(route.comparison, signal);
  const search = searchDialog({ current, go, placeOf });
  const frame = shell(bar, { search });

  function showSkeletonLater(route) {
    // Only after a moment, so that a view whose data are cached does not flash.
    return setTimeout(() => replace(main, skeleton(route.layer === null && route.class === null ? 8 : 24)), 120);
  }

  /** Complete a route without a network: the first one. */
  async function completeRoute(route, signal) {
    if (route.network !== null || route.comparison !== null) return route;
    const { networks } = await store.index(signal);
    if (!networks.length)
      throw new StoreError("waiting", "There is no network here yet; the first is shown as soon as it has begun.");
    const full = { ...route, network: networks[0].name };
    history.replaceState(null, "", formatRoute(full));
    return full;
  }

  /**
   * Draw the view of the current route.
   * @param {{again?: boolean}} [options] `again`: the view is drawn already, but its data have changed
   */
  async function draw({ again = false } = {}) {
    const asked = current();
    drawn = live && viewDependencies(live, asked);
    // A view that is about to be replaced no longer loads its pictures, so it is drawn again.
    if (!again && !drawing && view?.update && samePage(asked, shown)) {
      // Two quick steps back fire two events for one address; drawing the view twice would lose the focus.
      if (formatRoute(asked) === formatRoute(shown)) return;
      shown = asked;
      view.update(asked);
      return;
    }
    const previous = shown;
    running.abort();
    running = new AbortController();
    const { signal } = running;
    drawing = true;
    const timer = again ? 0 : showSkeletonLater(asked);
    main.setAttribute("aria-busy", "true");
    try {
      const route = await completeRoute(asked, signal);
      const pictures = pictureLoading(packs, signal);
      const next = await viewOf(route)({ store, route, signal, current, go, search, memory, ...pictures });
      if (signal.aborted) return;
      const place = await placeOf(route, signal);
      clearTimeout(timer);
      [view, shown] = [next, route];
      document.title = `${next.title} \u2013 ${name}`;
      frame.show(route, place.title ?? place.name, next.crumbs);
      const put = () => {
        replace(main, next.node);
        next.ready?.();
      };
      if (again) preserveView(main, put);
      else {
        put();
        arrive(next, previous, route);
      }
    } catch (error) {
      clearTimeout(timer);
      if (signal.aborted) return;
      fail(error, asked);
    } finally {
      if (!signal.aborted) {
        drawing = false;
        main.removeAttribute("aria-busy");
      }
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
    const parts =
      route.layer === null
        ? []
        : [{ text: route.layer, short: truncateStart(route.layer), href: formatRoute({ ...route, channel: null }) }];
    frame.show(route, route.network ?? route.comparison, parts);
    const above = parentRoute(route);
    const back = above
      ? { href: formatRoute(above), text: "One level up" }
      : { href: "#/", text: "To the first network" };
    replace(
      main,
      message(error, () => draw(), route.network === null && route.comparison === null ? null : back),
    );
  }

  function key(event) {
    const typing = closest(event, "input, select, textarea, dialog");
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || typing) return;
    const to = { ArrowLeft: view?.steps?.before, ArrowRight: view?.steps?.after }[event.key];
    if (event.key === "/") search();
    else if (event.key === "Escape" && parentRoute(current())) go(formatRoute(parentRoute(current())));
    else if (to) go(to);
    else return;
    event.preventDefault();
  }

  /** Follow stores that are being written: show the progress of a run, and redraw what has changed. */
  function follow(url) {
    const strip = liveBar();
    document.body.append(strip.node);
    const onUpdate = (state, quiet) => {
      strip.show(state, current().network, quiet);
      if (!state) return false;
      store.follow(state);
      live = state;
      if (viewDependencies(state, current()) === drawn) return true;
      if (main.hasAttribute("aria-busy") || isInteracting(main)) return false;
      draw({ again: view !== null });
      return true;
    };
    const follower = pollLive({ url, onUpdate });
    addEventListener("hashchange", () => follower.check());
    document.addEventListener("visibilitychange", () => (document.hidden ? follower.pause() : follower.resume()));
    return follower.check().then(() => document.hidden && follower.pause());
  }

  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the hash is for routes
    main.focus();
  });
  history.scrollRestoration = "manual";
  addEventListener("hashchange", () => draw());
  addEventListener("keydown", key);
  return liveUrl === undefined ? draw() : follow(liveUrl);
}

start(
  document.querySelector("main"),
  document.querySelector("#bar"),
  document.body.dataset.index,
  document.body.dataset.live,
);
