// Runs when the Listen tab is ready; Gradio provides `element`, `server` and `trigger`.
// A sound is recorded, chosen, dropped or an example. It stays in this page's memory, so that it
// can be played, and is sent to the server once, for the answer.
const part = (name) => element.querySelector(`[data-listen="${name}"]`);
const root = part("root");
const home = element.closest("#listen");
const SECONDS = 10;

let ear = null, asking = false; // the open microphone
let chunks = [], heard = 0; // samples
let hints = [], hinting = false, page = null;
let until = null; // s, where playback of a cry ends
let began = null; // ms, when the current recording was made; null for an example
let fresh = false; // whether the answer is still missing in the diary
let latest = null; // id of the last cry that was answered

function say(state, sentence = "") {
  root.dataset.state = state;
  part("status").textContent = sentence;
  part("label").textContent = words[state === "recording" ? "stop" : "record"];
  part("record").setAttribute("aria-label", words[state === "recording" ? "stop" : "record"]);
  show();
}

document.documentElement.lang = language ?? "en"; // for screen readers
document.title = words.title;
document.getElementById("theme")?.setAttribute("aria-label", words.theme);

// Recording

async function record() {
  if (asking) return;
  asking = true;
  say("asking", words.asking);
  [chunks, heard, hints, page] = [[], 0, [], randomName()];
  try {
    ear = await openMicrophone(hear, finish);
    say("recording", words.recording);
  } catch (error) {
    say("problem", words[isRefused(error) ? "refused" : "none"]);
  } finally {
    asking = false;
  }
}

function hear(chunk, rate) {
  chunks.push(chunk);
  heard += chunk.length;
  let peak = 0;
  for (const value of chunk) peak = Math.max(peak, Math.abs(value));
  const decibels = 20 * Math.log10(Math.max(peak, 1) / 32768);
  root.style.setProperty("--level", Math.max(0, 1 + decibels / 60).toFixed(2));
  root.style.setProperty("--share", Math.min(1, heard / rate / SECONDS));
  part("clock").textContent = clock(heard / rate);
  hints.push(chunk);
  hint(rate);
  if (heard >= SECONDS * rate) finish();
}

// Shows what the Live tab would say so far.
async function hint(rate) {
  if (hinting || !ear || !server.live_hear) return;
  hinting = true;
  const samples = encode(hints);
  hints = [];
  try {
    const view = await server.live_hear({ page, seen: 0, lost: 0, first: false, rate, samples });
    const told = { cry: "crying", maybe: "maybe_cry" }[view.state] ?? "recording";
    if (ear && !view.problem) part("status").textContent = words[told];
  } catch { /* only a hint */ }
  hinting = false;
}

function finish() {
  if (!ear) return;
  const { rate } = ear;
  ear.close();
  ear = null;
  server.live_stop?.({ page, seen: 0 }).catch(() => {});
  take(new File([wav(chunks, heard, rate)], "recording.wav", { type: "audio/wav" }));
}

function wav(parts, samples, rate) {
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((c, i) => head.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF"); head.setUint32(4, 36 + 2 * samples, true); text(8, "WAVEfmt ");
  head.setUint32(16, 16, true); head.setUint16(20, 1, true); head.setUint16(22, 1, true);
  head.setUint32(24, rate, true); head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true); head.setUint16(34, 16, true);
  text(36, "data"); head.setUint32(40, 2 * samples, true);
  return new Blob([head, ...parts]);
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds) % 60).padStart(2, "0")}`;

// Sending a sound

const why = (error) =>
  error instanceof Refusal ? words[`problem.${error.status}`] ?? words["problem.busy"] : words.unreachable;

async function take(file, when = Math.min(file.lastModified, Date.now())) {
  began = when;
  ear?.close(); // another sound was chosen during recording
  ear = null;
  part("player").src = URL.createObjectURL(file);
  say("sending", words.sending);
  try {
    home.sound = await send(file);
    trigger("upload");
  } catch (error) {
    say("problem", why(error));
  }
}

part("player").addEventListener("loadstart", () => { part("player").hidden = false; });
part("player").addEventListener("error", () => { part("player").hidden = true; }); // not all videos
part("player").addEventListener("emptied", () => { until = null; });
part("player").addEventListener("timeupdate", () => {
  if (until === null || part("player").currentTime < until) return;
  part("player").pause();
  until = null;
});

part("record").addEventListener("click", () => ear ? finish() : record());
part("choose").addEventListener("click", () => part("file").click());
part("file").addEventListener("change", ({ target }) => {
  if (target.files.length) take(target.files[0]);
  target.value = "";
});
for (const button of element.querySelectorAll("[data-example]"))
  button.addEventListener("click", async () => {
    const sound = atob(await server.listen_example(button.dataset.example));
    const bytes = Uint8Array.from(sound, (letter) => letter.charCodeAt(0));
    take(new File([bytes], "example.wav", { type: "audio/wav" }), null);
  });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  if (!home.offsetParent || !event.dataTransfer?.files.length) return;
  event.preventDefault();
  if (event.dataTransfer.files.length > 1) return say("problem", words.single);
  take(event.dataTransfer.files[0]);
});
document.addEventListener("open-sound", ({ detail }) => take(detail, null)); // from the Analysis tab

// Showing the answer

const card = () => document.querySelector("#answer .answer");

document.addEventListener("answered", () => {
  if (!card()) return;
  say("answered");
  part("record").setAttribute("aria-label", words.again);
  part("label").textContent = words.again;
  part("choose").firstElementChild.textContent = words.other;
  part("player").setAttribute("aria-label", words.play);
  if (document.activeElement === document.body) part("record").focus({ preventScroll: true });
  for (const fold of card().querySelectorAll("details.numbers")) fold.open = innerWidth > 900;
  if (innerWidth <= 900) home.scrollIntoView({ block: "start" });
  fresh = true;
  latest = null;
  personal("", null);
  keep();
});

document.addEventListener("unanswered", () => say("problem", words["problem.busy"]));

document.addEventListener("click", ({ target }) => {
  const button = target.closest?.("[data-play], [data-share], [data-tab]");
  if (!button) return;
  if (button.dataset.play) {
    const [start, end] = button.dataset.play.split(" ").map(Number);
    part("player").currentTime = start;
    until = end;
    part("player").play();
  } else if (button.dataset.tab) {
    document.querySelector(`[role=tab][data-tab-id=${button.dataset.tab}]`)?.click();
  } else {
    share(button);
  }
});

async function share(button) {
  const text = words["share.text"].replace("{answer}", card().dataset.said);
  try {
    if (navigator.share) return await navigator.share({ text });
    await navigator.clipboard.writeText(text);
    button.textContent = words.shared;
  } catch { /* the visitor cancelled */ }
}

// Tonight, from the diary

const tonight = () => document.querySelector("[data-listen-tonight]");

// Adds the answer to the diary, if there is one, and asks for its personal answer.
function keep() {
  const heard = JSON.parse(card()?.dataset.kept || "null");
  if (fresh && heard && began !== null && readDiary()) {
    fresh = false;
    latest = randomName();
    const problem = addCry({ ...heard, id: latest }, began);
    if (problem) sayIn(tonight().querySelector(".told"))(words[problem]);
    ask(latest);
  }
  show();
}

async function ask(id) {
  const diary = readDiary();
  if (!diary || !isTaught(diary)) return;
  try {
    const { html = "" } = await server.personal_answer(question(diary, id));
    if (id === latest) personal(html, diary);
  } catch { /* the answer is shown without it */ }
}

function personal(html, diary) {
  const place = tonight().querySelector("[data-personal]");
  place.innerHTML = html;
  rename(place, diary);
}

function show() {
  const place = tonight(), diary = readDiary();
  if (!place) return;
  const told = root.dataset.state === "answered" && card()?.dataset.kept && began !== null;
  place.dataset.state = diary ? "kept" : told ? "offered" : "none";
  const recent = (diary?.cries ?? []).filter((cry) => cry.id === latest || Date.now() - instant(cry) < NIGHT);
  if (diary) showRows(place.querySelector("ul"), diary, recent.reverse(), cryOf(diary, latest)?.was ? null : latest);
  else place.querySelector("ul").replaceChildren();
  showCare(place.querySelector("[data-listen-care]"), diary ?? newDiary());
}

function offer() {
  const place = tonight();
  if (!place || place.dataset.ready) return show();
  place.dataset.ready = "yes";
  hearTaps(place, sayIn(place.querySelector(".told")));
  place.querySelector("[data-do=keep]").addEventListener("click", () => {
    sayIn(place.querySelector(".told"))(words[writeDiary(newDiary())] ?? "");
    keep();
  });
  show();
}

say("ready");
for (const start of [() => translate(document), offer]) {
  start();
  document.addEventListener("tonight", start); // its element may be created later
}
document.addEventListener("diary", show);
addEventListener("storage", show); // another window
home.dataset.ready = "yes";
