() => {
  // A chosen theme is kept in the browser.
  const { body } = document;
  try {
    const theme = localStorage.getItem("theme");
    if (theme) body.classList.toggle("dark", theme === "dark");
  } catch { /* not kept */ }
  document.addEventListener("click", ({ target }) => {
    if (!target.closest?.("#theme")) return;
    const dark = body.classList.toggle("dark");
    try { localStorage.setItem("theme", dark ? "dark" : "light"); } catch { /* not kept */ }
  });
  // Screen readers announce changes in a live region only if the region existed before.
  document.getElementById("answer").setAttribute("aria-live", "polite");
  addEventListener("popstate", () => {
    const tab = new URLSearchParams(location.search).get("tab") || "listen";
    document.querySelector(`#tabs > .tab-wrapper [data-tab-id="${tab}"]`)?.click();
  });
  // Gradio names each radio button differently, so the browser sees no group to navigate.
  document.addEventListener("focusin", ({ target }) => {
    const group = target.closest?.("#model");
    group?.setAttribute("role", "radiogroup");
    group?.setAttribute("aria-label", "Model");
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const group = event.target.closest?.("#model");
    if (!step || !group) return;
    event.preventDefault();
    const choices = [...group.querySelectorAll("input")];
    const next = choices.at((choices.indexOf(document.activeElement) + step) % choices.length);
    next.focus();
    next.click();
  });
}
