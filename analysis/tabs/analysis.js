// The address selects what is shown; the server writes the HTML, and figures are drawn here.
const root = element.querySelector(".analysis"), player = element.querySelector(".listening");
let shown = null; // the current choices
let number = 0; // of the last request
const read = (address) => Object.fromEntries(new URL(address, location.href).searchParams);
const written = (choices) => "?" + new URLSearchParams({ tab: "analysis", ...choices });
const ask = (choices) => {
  shown = choices;
  root.setAttribute("aria-busy", "true");
  trigger("select", { index: ++number, value: choices });
};
const go = (choices) => {
  history.pushState(history.state, "", written(choices));
  ask(choices);
};
const without = (choices, ...names) =>
  Object.fromEntries(Object.entries(choices).filter(([name]) => !names.includes(name)));
// The split of a visitor's own results exists for one corpus only.
const changed = (name, value) =>
  go({ ...without(shown, ...(name === "corpus" && shown.split === "own" ? ["split"] : [])), [name]: value });

const clickable = (place) => {
  if (place.dataset.clickable || !place.on) return;
  place.dataset.clickable = "yes";
  place.on("plotly_click", ({ points: [point] }) => {
    const chosen = point.data.meta?.cell;
    if (chosen) go({ ...shown, ...chosen[point.pointNumber[0]][point.pointNumber[1]] });
  });
};
const render = async () => {
  if (props.value.number !== number) return; // a later request is running
  const fresh = document.createElement("template");
  fresh.innerHTML = props.value.html;
  // Figures that stay keep their element, since Plotly updates one faster than it creates one.
  if (root.dataset.view === props.value.view)
    for (const place of fresh.content.querySelectorAll(".plot")) {
      const old = root.querySelector(`#${place.id}`);
      if (!old) continue;
      old.setAttribute("aria-label", place.getAttribute("aria-label"));
      place.replaceWith(old);
    }
  // The server replaces invalid choices by the nearest ones; the address is updated to match.
  const { choices } = props.value;
  const given = Object.keys(shown).filter((name) => name in choices && choices[name] !== shown[name]);
  for (const name of given) shown[name] = choices[name];
  if (given.length && read(location.href).tab === "analysis")
    history.replaceState(history.state, "", written(shown));
  const focused = root.contains(document.activeElement) ? document.activeElement.id : "";
  root.dataset.view = props.value.view;
  root.replaceChildren(...fresh.content.childNodes);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  const current = root.querySelector(".views [aria-current]");
  current.parentElement.scrollLeft = current.offsetLeft - current.parentElement.offsetLeft - 60;
  player.hidden = true;
  player.replaceChildren();
  await drawFigures(root);
  root.querySelectorAll(".plot").forEach(clickable);
  root.setAttribute("aria-busy", "false");
  if (!window.Plotly) (window.requestIdleCallback ?? setTimeout)(plotly);
};
watch("value", render);

// A table of predictions is sent to the server once, and stays in the memory of the session.
const idle = async () => {
  while (root.getAttribute("aria-busy") === "true") await new Promise((done) => setTimeout(done, 50));
};
const take = async (files) => {
  const problems = new Map(); // by their text
  for (const file of files) { // one at a time; the problems of each are kept
    await idle();
    root.setAttribute("aria-busy", "true");
    try {
      document.getElementById("analysis-view").file = await send(file);
      trigger("upload", { index: ++number, value: file.name });
    } catch (error) {
      root.querySelector(".drop span").textContent = error instanceof Refusal
        ? `${file.name}: ${error.message}`
        : "The server cannot be reached. Please try again in a moment.";
      root.setAttribute("aria-busy", "false");
    }
    await idle();
    if (root.dataset.view !== "yours") return;
    for (const problem of root.querySelectorAll(".problem"))
      problems.set(problem.textContent, problem);
  }
  root.querySelector(".drop")?.after(...problems.values());
};
root.addEventListener("dragover", (event) => {
  if (root.dataset.view === "yours") event.preventDefault();
});
root.addEventListener("drop", (event) => {
  if (root.dataset.view !== "yours") return;
  event.preventDefault();
  take([...event.dataTransfer.files]);
});
root.addEventListener("change", ({ target }) => {
  if (target.id === "own-file") take([...target.files]);
  if (target.closest(".bar"))
    changed(target.name, target.type === "checkbox" ? (target.checked ? "True" : "False") : target.value);
});
root.addEventListener("submit", (event) => event.preventDefault());
root.addEventListener("click", async (event) => {
  const { target } = event;
  const link = target.closest("a[href^='?']");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    // Links to other views keep the corpus, the split and the metric.
    const { tab, ...wanted } = read(link.href);
    const gone = root.querySelector(".problem") ? ["corpus", "split"] : [];
    go({ ...(link.closest(".views") ? without(shown, "view", ...gone) : {}), ...wanted });
    if (!link.closest(".views")) window.scrollTo(0, 0);
  }
  const button = target.closest("button.download");
  if (button?.dataset.remove) {
    shown = { view: "yours" };
    history.replaceState(history.state, "", written(shown));
    trigger("clear", { index: ++number, value: "" });
  }
  else if (button) saveFigure(button.dataset);
  const row = target.closest("button.play-row");
  if (row) {
    const { html } = await server.play({ ...row.dataset });
    player.innerHTML = html;
    player.hidden = false;
  }
});
// Opens the sound in the Listen tab, as if the visitor had chosen the file.
player.addEventListener("click", async ({ target }) => {
  if (!target.closest("button")) return;
  const bytes = await (await fetch(player.querySelector("audio").src)).blob();
  const detail = new File([bytes], "recording.wav", { type: "audio/wav" });
  document.querySelector("#tabs > .tab-wrapper [data-tab-id=listen]").click();
  window.scrollTo(0, 0);
  while (!document.querySelector("#listen[data-ready]"))
    await new Promise((done) => setTimeout(done, 50));
  document.dispatchEvent(new CustomEvent("open-sound", { detail }));
});
// When selected again, the tab shows its last view, and the address is updated to match.
const arrive = () => {
  const { tab, ...wanted } = read(location.href);
  if (tab !== "analysis") return;
  if (!shown || Object.keys(wanted).length) {
    if (JSON.stringify(wanted) !== JSON.stringify(shown)) ask(wanted);
  } else history.replaceState(history.state, "", written(shown));
};
new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) arrive();
}).observe(element);
addEventListener("popstate", () => {
  const { tab, ...wanted } = read(location.href);
  if (element.isConnected && tab === "analysis" && JSON.stringify(wanted) !== JSON.stringify(shown))
    ask(wanted);
});
