// Runs before the first paint, so that a chosen theme never flashes. A plain script, not a module.
(() => {
  try {
    const chosen = localStorage.getItem("torchlurk-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be blocked; the system's theme applies.
  }
})();
