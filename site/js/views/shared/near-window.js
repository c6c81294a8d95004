/** Do something once an element comes near the window, as the visitor scrolls. */

/** How far from the window. */
const NEAR = "300px";

/**
 * @param {Element} element
 * @param {() => void} work is called once
 * @param {AbortSignal} signal
 */
export function onceNearWindow(element, work, signal) {
  const observer = new IntersectionObserver(
    ([entry]) => {
      if (!entry.isIntersecting) return;
      observer.disconnect();
      work();
    },
    { rootMargin: NEAR },
  );
  observer.observe(element);
  signal.addEventListener("abort", () => observer.disconnect(), { once: true });
}
