// The switch of the theme, which every page has: the system's until a reader chooses another.
(() => {
  "use strict";
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

  const button = document.getElementById("theme");
  const say = () => button.setAttribute("aria-pressed", String(isDark()));
  try {
    const kept = localStorage.getItem("autopeft-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch { /* a browser that keeps nothing for files */ }
  button.hidden = false;
  say();
  prefersDark.addEventListener("change", say);
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("autopeft-theme", root.dataset.theme); } catch { /* as above */ }
    say();
  });
})();
