// Runs when the Diary tab is first shown; Gradio gives `element` and `server`.
const part = (name) => element.querySelector(`[data-diary="${name}"]`);
const root = part("root");
const say = sayIn(part("status"));
const PAUSE = 600; // ms without a change before the server is called
const ROWS = 20; // added at a time
const DAYS = 28; // in the figure
const COLOURS = JSON.parse(root.dataset.colours), SYMBOLS = ["circle", "square", "triangle-up"]; // where colours come again
let waiting = null, asked = "", rows = ROWS;

function refresh() {
  const diary = readDiary();
  root.dataset.state = diary ? "kept" : "none";
  if (!diary || !element.offsetParent) return;
  showCare(part("care"), diary);
  showRows(part("rows"), diary, diary.cries.slice(-rows).reverse(), null, true);
  root.querySelector("[data-do=more]").hidden = diary.cries.length <= rows;
  showReasons(diary);
  draw(diary).catch(() => say(words.unreachable));
  clearTimeout(waiting);
  waiting = setTimeout(report, PAUSE);
}

async function report() {
  const diary = readDiary();
  if (!diary) return part("report").replaceChildren();
  if (!isTaught(diary)) {
    asked = "";
    return part("report").replaceChildren(make("p", {}, fill("personal.begin", { count: labelled(diary).length })));
  }
  const about = JSON.stringify(question(diary));
  if (about === asked) return;
  asked = about;
  try {
    const { html, problem } = await server.personal_report(JSON.parse(about));
    if (asked !== about) return;
    part("report").innerHTML = html ?? "";
    rename(part("report"), diary);
    if (problem) say(problem);
  } catch {
    asked = "";
    say(words.unreachable);
  }
}

function showReasons(diary) {
  const shown = [...part("reasons").querySelectorAll("[data-reason]")].map(({ dataset }) => dataset.reason);
  if (shown.join("\n") === reasonsOf(diary).join("\n")) return; // the visitor may be typing there
  const names = reasonsOf(diary).map((reason) =>
    make("input", { maxlength: 40, value: reasonName(diary, reason), "data-reason": reason, "aria-label": reasonName(diary, reason) }));
  const own = make("input", { maxlength: 40, placeholder: words["diary.new"], "aria-label": words["diary.new"], "data-diary": "own" });
  part("reasons").replaceChildren(make("p", { class: "keys" }, ...names, own, key(words["diary.add"], { "data-do": "add" })));
}

// The log as a figure: a row per day, the latest at the bottom, a mark per cry.
async function draw({ cries: all, ...diary }) {
  const place = part("plot"), noon = (time) => Date.parse(`${time.slice(0, 10)}T12:00Z`);
  const last = all.length ? noon(all.at(-1).at) : 0;
  const cries = all.filter(({ at }) => noon(at) > last - DAYS * 86400e3);
  if (!cries.length) {
    window.Plotly?.purge(place);
    place.style.height = "";
    return place.replaceChildren(words["diary.none"]);
  }
  if (!window.Plotly) await plotly();
  if (!place.data) place.replaceChildren();
  const hour = ({ at }) => Number(at.slice(11, 13)) + Number(at.slice(14, 16)) / 60;
  const days = 1 + Math.round((last - noon(cries[0].at)) / 86400e3);
  const named = (i) => new Date(last - 86400e3 * i).toLocaleDateString(language, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
  const asText = (words) => words.replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // Plotly reads HTML
  const told = (cry) => [timeOf(cry, { dateStyle: "medium", timeStyle: "short" }), cry.said,
    cry.seconds === undefined ? "" : fill("diary.length", cry)].filter(Boolean).map(asText).join("<br>");
  const kinds = new Set([...root.dataset.labels.split(" "), ...reasonsOf(diary), "unknown", undefined]); // coloured as in the answer's bars
  const data = [...kinds].flatMap((kind, i) => {
    const own = cries.filter(({ was }) => was === kind), known = kind && kind !== "unknown";
    return own.length ? [{
      type: "scatter", mode: "markers", name: asText(kind ? reasonName(diary, kind) : words["diary.open"]),
      x: own.map(hour), y: own.map(({ at }) => (last - noon(at)) / 86400e3), text: own.map(told),
      hovertemplate: "%{text}<extra>%{fullData.name}</extra>",
      marker: { size: own.map(({ seconds = 5 }) => 9 + 2.5 * Math.sqrt(Math.max(0, Math.min(60, seconds)))), opacity: 0.85,
        line: { width: 1, color: "white" }, color: known ? COLOURS[i % COLOURS.length] : "#777777", symbol: known ? SYMBOLS[Math.floor(i / COLOURS.length) % SYMBOLS.length] : kind ? "diamond-open" : "circle-open" },
    }] : [];
  });
  const lines = Math.max(4, days), grid = { gridcolor: "#8885", zeroline: false, fixedrange: true };
  const layout = { height: 130 + 24 * lines, margin: { l: 84, r: 12, t: 8, b: 100 }, font: { color: getComputedStyle(root).color },
    dragmode: false, paper_bgcolor: "transparent", plot_bgcolor: "transparent", showlegend: true, hoverlabel: { align: "left" },
    legend: { orientation: "h", y: -52 / (22 + 24 * lines), yanchor: "top" },
    xaxis: { ...grid, range: [-0.5, 24.5], dtick: 3, title: { text: words["diary.hour"], standoff: 4 } },
    yaxis: { ...grid, range: [days - 0.5 + (lines - days) / 2, -0.5 - (lines - days) / 2], tickvals: [...Array(days).keys()], ticktext: [...Array(days).keys()].map(named) } };
  place.style.height = `${layout.height}px`;
  place.setAttribute("aria-label", `${words["diary.log"]}: ${cries.length}`);
  await Plotly.react(place, data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
}

const save = (name, type, text) => {
  const href = URL.createObjectURL(new Blob([text], { type }));
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
};

function table(diary) {
  const since = (cry, kind) => {
    const past = diary.care.filter((one) => one.kind === kind).map((one) => instant(cry) - instant(one)).filter((ms) => ms >= 0);
    return past.length ? (Math.min(...past) / 3600e3).toFixed(2) : "";
  };
  const quoted = (value) => `"${String(value ?? "").replace(/^[=+@-]/, "'$&").replaceAll('"', '""')}"`;
  const head = ["time", "length_s", "cry_probability", "said", "was", ...CARE.map((kind) => `hours_since_${kind}`)];
  const rows = diary.cries.map((cry) => [cry.at, cry.seconds, cry.probability, cry.said,
    cry.was && reasonName(diary, cry.was), ...CARE.map((kind) => since(cry, kind))]);
  return [head, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
}

// Merges a loaded diary; a cry that exists already gets a label if it has none.
async function load(file) {
  const found = parseDiary(await file.text());
  if (!found) return say(words["diary.wrong"]);
  const diary = readDiary() ?? newDiary(), known = new Map(diary.cries.map((cry) => [cry.id, cry]));
  const before = known.size;
  for (const cry of found.cries)
    if (!known.has(cry.id)) known.set(cry.id, cry);
    else known.get(cry.id).was ??= cry.was;
  const mark = ({ at, kind }) => `${at} ${kind}`;
  const care = new Map([...found.care, ...diary.care].map((one) => [mark(one), one]));
  const problem = writeDiary({ format: FORMAT, names: { ...found.names, ...diary.names },
    care: [...care.values()].sort((a, b) => instant(a) - instant(b)),
    cries: [...known.values()].sort((a, b) => instant(a) - instant(b)) });
  say(problem ? words[problem] : fill("diary.loaded", { count: known.size - before }));
}

// Returns whether no other reason has this name; says so if one does.
function isNew(name, own) {
  const diary = readDiary(), others = [...reasonsOf(diary), "unknown"].filter((reason) => reason !== own);
  const taken = others.flatMap((reason) => [reason, reasonName(diary, reason)]).some((one) => one.toLowerCase() === name.toLowerCase());
  if (taken) say(words["diary.taken"]);
  return name && !taken;
}

// Without a name a reason gets its default name; an unused one of the parent's own is removed.
function renameReason({ dataset: { reason }, value }) {
  const name = value.trim();
  if (name && !isNew(name, reason)) return;
  changeDiary(({ names, cries }) => {
    if (name) names[reason] = name;
    else if (`was.${reason}` in words || !cries.some(({ was }) => was === reason)) delete names[reason];
    else names[reason] = reason;
  });
}

const DO = {
  keep: () => say(words[writeDiary(newDiary())] ?? ""),
  picture: () => saveFigure({ place: "diary-plot", format: "png", file: "diary.png" }),
  csv: () => save("diary.csv", "text/csv", table(readDiary())),
  save: () => save("diary.json", "application/json", JSON.stringify(readDiary())),
  load: () => part("file").click(),
  delete() {
    const gone = readDiary();
    asked = "";
    part("report").replaceChildren();
    say(words[writeDiary(null)] ?? words["diary.deleted"], () => writeDiary(gone));
  },
  more() {
    rows += ROWS;
    refresh();
  },
  add() {
    const name = part("own").value.trim();
    if (isNew(name)) changeDiary(({ names }) => { names[name] = name; });
    part("own").value = "";
  },
};

hearTaps(element, say);
element.addEventListener("click", ({ target }) => DO[target.closest("[data-do]")?.dataset.do]?.());
element.addEventListener("change", ({ target }) => {
  if (target === part("file") && target.files.length) {
    load(target.files[0]);
    target.value = "";
  } else if (target.dataset.reason) {
    renameReason(target);
    target.value = reasonName(readDiary(), target.dataset.reason);
  }
});
element.addEventListener("keydown", ({ key, target }) => key === "Enter" && target === part("own") && DO.add());
document.addEventListener("diary", refresh);
addEventListener("storage", refresh); // another window
new IntersectionObserver(refresh).observe(root);
translate(element);
part("study").textContent = JSON.parse(root.dataset.study)[language];
refresh();
