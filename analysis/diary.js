// The diary: stored in this browser only, and only if the visitor wants it. A cry has its time,
// length, answer, label, and the numbers that a personal model learns from; no audio.
const DIARY = "diary", FORMAT = "infant-cry-diary";
const NIGHT = 12 * 3600e3; // ms
const CARE = ["fed", "slept", "changed"];
const LEAST = 8; // cries before a model is fitted
const pad = (number) => String(number).padStart(2, "0");

// Local time with its UTC offset: 2026-03-01T04:30:00+01:00
function localTime(ms) {
  const zone = -new Date(ms).getTimezoneOffset();
  const here = new Date(ms + 60e3 * zone).toISOString().slice(0, 19);
  return `${here}${zone < 0 ? "-" : "+"}${pad(Math.floor(Math.abs(zone) / 60))}:${pad(Math.abs(zone) % 60)}`;
}
const instant = ({ at }) => Date.parse(at);
const isText = (value, most) => typeof value === "string" && value.length <= most;
const isNumber = (value) => Number.isFinite(value);
const isList = (value, check) => Array.isArray(value) && value.every(check);
const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isMap = (value, check) => isRecord(value) && Object.values(value).every(check);
const given = (value, check) => value === undefined || check(value);
const isTime = (value) => isText(value, 40) && /^20\d\d-/.test(value) && Date.parse(value) < Date.now() + 86400e3;
const isVector = (value) => isList(value, (v) => Math.abs(v) < 1e6) && value.length <= 64;
const isCry = (cry) => isRecord(cry) && isText(cry.id, 40) && isTime(cry.at)
  && given(cry.said, (v) => isText(v, 300)) && given(cry.was, (v) => isText(v, 40))
  && given(cry.spark, (v) => isText(v, 40)) && given(cry.model, (v) => isText(v, 200))
  && given(cry.seconds, isNumber) && given(cry.probability, (v) => v === null || isNumber(v))
  && given(cry.prior, (v) => isMap(v, isNumber)) && given(cry.embedding, isVector);

// Returns the diary in a text, or null.
function parseDiary(text) {
  try {
    const { format, names = {}, care = [], cries = [] } = JSON.parse(text) ?? {};
    if (format !== FORMAT || !isMap(names, (v) => isText(v, 40)) || !isList(cries, isCry)) return null;
    if (!isList(care, (one) => isRecord(one) && isTime(one.at) && CARE.includes(one.kind))) return null;
    return { format, names, care, cries };
  } catch { return null; }
}

function readDiary() {
  try { return parseDiary(localStorage.getItem(DIARY)); } catch { return null; }
}

// Returns the text key of what went wrong; "" if nothing did.
function writeDiary(diary) {
  try {
    if (diary === null) localStorage.removeItem(DIARY);
    else localStorage.setItem(DIARY, JSON.stringify(diary));
  } catch (error) {
    return error.name === "QuotaExceededError" && readDiary() ? "diary.full" : "diary.refused";
  }
  document.dispatchEvent(new Event("diary"));
  return "";
}

const newDiary = () => ({ format: FORMAT, names: {}, care: [], cries: [] });

// Changes the diary if there is one; reads it anew, as another window may have changed it.
function changeDiary(change) {
  const diary = readDiary();
  if (!diary) return "";
  change(diary);
  diary.cries.sort((a, b) => instant(a) - instant(b));
  return writeDiary(diary);
}

const addCry = (cry, ms) =>
  changeDiary(({ cries }) => cries.push({ id: crypto.randomUUID?.() ?? String(Math.random()), at: localTime(ms), ...cry }));
const cryOf = (diary, id) => diary.cries.find((cry) => cry.id === id);
const changeCry = (id, changes) => changeDiary((diary) => { Object.assign(cryOf(diary, id) ?? {}, changes); });
const isTaught = (diary) => labelled(diary).length >= LEAST && new Set(labelled(diary).map(({ was }) => was)).size > 1;
const labelled = ({ cries }) => cries.filter(({ was, embedding }) => was && was !== "unknown" && embedding);

// The request to the server: the cries that can be learnt from, and the cry to be classified.
const question = (diary, id) => ({
  care: diary.care,
  cries: diary.cries.filter((cry) => cry.id === id || labelled({ cries: [cry] }).length)
    .map(({ at, was, embedding, prior, model, id: own }) =>
      ({ at, was: own === id ? undefined : was, embedding, prior, model })),
});

// The reasons that have a text, and the parent's own.
const KNOWN = Object.keys(words).filter((key) => key.startsWith("was.") && key !== "was.unknown").map((key) => key.slice(4));
const reasonsOf = (diary) => [...new Set([...KNOWN, ...Object.keys(diary.names)])];
// The server returns our names of reasons; a parent may have renamed them.
const rename = (place, diary) => {
  for (const name of place.querySelectorAll("[data-reason]"))
    name.textContent = diary.names[name.dataset.reason] || name.textContent;
};
const reasonName = (diary, key) => diary.names[key] || words[`was.${key}`] || key;

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const key = (text, attributes) => make("button", { type: "button", ...attributes }, text);
const timeOf = ({ at }, options) => new Date(at.slice(0, 19)).toLocaleString(language, options); // as written down

function sparkOf(cry) {
  const digits = String(cry.spark ?? ""), svg = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(svg, "svg"), line = document.createElementNS(svg, "polyline");
  const box = { viewBox: `0 0 ${Math.max(1, digits.length - 1)} 10`, preserveAspectRatio: "none", "aria-hidden": "true" };
  for (const [name, value] of Object.entries(box)) picture.setAttribute(name, value);
  line.setAttribute("points", [...digits].map((value, i) => `${i},${10 - Number(value)}`).join(" "));
  picture.append(line);
  return picture;
}

// A row with one tap per label; label and time can be changed later.
function rowOf(diary, cry, open, day) {
  const other = cry.at.slice(0, 4) === String(new Date().getFullYear()) ? {} : { year: "numeric" };
  const when = day ? { weekday: "short", day: "numeric", month: "short", ...other } : {};
  const time = make("time", { datetime: cry.at }, timeOf(cry, { ...when, hour: "2-digit", minute: "2-digit" }));
  const told = cry.was ? fill("diary.was", { label: reasonName(diary, cry.was) }) : words["diary.what"];
  const summary = make("summary", {}, time, ...(day ? [] : [sparkOf(cry)]), make("span", {}, cry.said ?? ""), make("b", {}, told));
  const chips = [...reasonsOf(diary), "unknown"].map((reason) =>
    key(reasonName(diary, reason), { "data-was": reason, "aria-pressed": String(cry.was === reason) }));
  const clock = make("input", { type: "datetime-local", value: cry.at.slice(0, 16), "data-time": "", "aria-label": words["diary.time"] });
  const rest = make("details", {}, make("summary", {}, words["diary.change"]),
    make("p", { class: "keys" }, clock, key(words["diary.forget"], { "data-forget": "" })));
  const box = make("details", {}, summary, make("p", { class: "keys" }, ...chips), rest);
  box.open = open;
  return make("li", { "data-cry": cry.id, ...(cry.was ? { class: "known" } : {}) }, box);
}

// Redraws the rows, keeping the focus.
function showRows(place, diary, cries, open, day = false) {
  const focused = place.contains(document.activeElement) && document.activeElement.closest("[data-cry]")?.dataset.cry;
  place.replaceChildren(...cries.map((cry) => rowOf(diary, cry, cry.id === open, day)));
  if (focused) place.querySelector(`[data-cry="${CSS.escape(focused)}"] summary`)?.focus();
}

function showCare(place, diary) {
  const keys = CARE.map((kind) => {
    const last = Math.max(...diary.care.filter((one) => one.kind === kind).map(instant));
    const hours = (Date.now() - last) / 3600e3;
    const ago = hours < 24 ? ` (${fill("diary.ago", { hours: hours < 1 ? "<1" : Math.floor(hours) })})` : "";
    return key(words[`diary.${kind}`] + ago, { "data-care": kind });
  });
  place.replaceChildren(make("p", { class: "keys" }, words["diary.care"], ...keys));
}

// Handles taps inside a place: label, time and deletion of a cry, and care events.
function hearTaps(place, say) {
  const answer = (problem, sentence = "", undo) => say(problem ? words[problem] : sentence, undo);
  place.addEventListener("click", ({ target }) => {
    const chosen = target.closest("[data-was], [data-forget], [data-care]");
    if (!chosen) return;
    const id = chosen.closest("[data-cry]")?.dataset.cry;
    if (chosen.dataset.was !== undefined) {
      answer(changeCry(id, { was: chosen.dataset.was }));
    } else if (chosen.dataset.forget !== undefined) {
      let gone = [];
      const problem = changeDiary((diary) => {
        gone = diary.cries.filter((cry) => cry.id === id);
        diary.cries = diary.cries.filter((cry) => cry.id !== id);
      });
      answer(problem, words["diary.deleted"], () => changeDiary(({ cries }) => cries.push(...gone)));
    } else {
      const event = { at: localTime(Date.now()), kind: chosen.dataset.care };
      const told = { what: words[`diary.${event.kind}`], time: timeOf(event, { hour: "2-digit", minute: "2-digit" }) };
      answer(changeDiary(({ care }) => care.push(event)), fill("diary.noted", told), () =>
        changeDiary((diary) => { diary.care = diary.care.filter((one) => one.at !== event.at || one.kind !== event.kind); }));
    }
  });
  place.addEventListener("change", ({ target }) => {
    const ms = target.dataset.time === undefined ? NaN : Date.parse(target.value);
    const id = target.closest("[data-cry]")?.dataset.cry;
    if (ms <= Date.now()) answer(changeCry(id, { at: localTime(ms) }));
    else if (ms > Date.now()) {
      say(words["diary.later"]);
      target.value = cryOf(readDiary(), id).at.slice(0, 16);
    }
  });
}

// Shows a sentence, with an undo button if possible.
const sayIn = (place) => (sentence, undo) => {
  place.replaceChildren(sentence);
  if (!undo) return;
  const back = key(words["diary.undo"], {});
  back.addEventListener("click", () => { undo(); place.replaceChildren(); });
  place.append(" ", back);
};
