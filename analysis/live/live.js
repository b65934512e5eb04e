// Runs when the Live tab is first shown; Gradio provides `element` and `server`.
// Audio is sent to the server in chunks of a quarter second, one request after another.
// Gradio's own streaming recorder would write every chunk to a file on the server,
// and drop chunks that arrive while another one is processed.
const part = (name) => element.querySelector(`[data-live="${name}"]`);
const root = part("root");
const page = randomName();
const MOST_CHUNKS = 40; // queued for a slow server (ten seconds); older ones are dropped
const MOST_ROWS = 100;

translate(root);
for (const name of ["button", "notify", "status"]) delete part(name).dataset.word; // they change
part("frame").setAttribute("aria-label", words["live.nothing"]);

let ear = null; // the open microphone
let waiting = [], lost = 0, seen = 0;
let asking = false, busy = false, first = false, awake = null;

// The screen stays on while listening; in the background, a permitted notification reports a cry.
async function stayAwake() {
  try { awake = await navigator.wakeLock?.request("screen"); } catch { /* low battery */ }
}
document.addEventListener("visibilitychange", () => ear && !document.hidden && stayAwake());
if (!window.Notification) part("notify").hidden = true;
part("notify").addEventListener("click", async () => {
  const allowed = await Notification.requestPermission() === "granted";
  part("notify").textContent = words[allowed ? "live.notified" : "live.not_notified"];
  part("notify").disabled = true;
});
function notify() {
  if (!document.hidden || window.Notification?.permission !== "granted") return;
  try { new Notification(words["live.began"], { tag: "cry" }); } catch { /* some phones cannot */ }
}

function say(state, sentence) {
  if (state === "cry" && root.dataset.state !== "cry") notify();
  root.dataset.state = state;
  if (part("status").textContent !== sentence) part("status").textContent = sentence;
}

function put(name, html) {
  const place = part(name);
  if (place.dataset.html === html) return;
  place.dataset.html = html;
  place.innerHTML = html;
}

function show(view) {
  if (view.picture === undefined) return;
  part("picture").src = view.picture;
  part("frame").setAttribute("aria-label", view.description);
  part("track").innerHTML = view.track;
  part("probability").textContent = view.probability;
  part("elapsed").textContent = view.elapsed;
  put("answer", view.answer);
  if (view.rows && view.written > seen) {
    const rows = part("rows");
    rows.insertAdjacentHTML("afterbegin", view.rows);
    while (rows.rows.length > MOST_ROWS) rows.lastElementChild.remove();
    put("download", view.download);
    for (const { ago, ...cry } of view.cries) addCry({ ...cry, model: root.dataset.model }, Date.now() - 1000 * ago);
  }
  seen = Math.max(seen, view.written);
}

async function listen() {
  if (asking) return;
  asking = true;
  say("asking", words.asking);
  try {
    ear = await openMicrophone(hear, () => stop(words["live.taken"]));
  } catch (error) {
    hangUp();
    const refused = isRefused(error);
    return say(refused ? "refused" : "problem", words[refused ? "live.refused" : "live.none"]);
  } finally {
    asking = false;
  }
  [waiting, lost, first] = [[], 0, true];
  stayAwake();
  part("button").textContent = words["live.stop"];
  say("quiet", words["live.listening"]);
}

function hear(chunk, rate) {
  waiting.push(chunk);
  while (waiting.length > MOST_CHUNKS) lost += waiting.shift().length / rate;
  send();
}

async function send() {
  if (busy || !ear || !waiting.length) return;
  busy = true;
  const request = { page, seen, lost, first, rate: ear.rate, samples: encode(waiting) };
  [waiting, lost, first] = [[], 0, false];
  try {
    const view = await server.live_hear(request);
    if (view.problem) {
      hangUp();
      say("problem", view.problem);
    } else if (view.over) {
      hangUp("live.more");
      show(view);
      say("over", words["live.over"]);
    } else if (ear) {
      show(view);
      say(view.state, view.status);
    }
  } catch {
    hangUp();
    say("problem", words.unreachable);
  }
  busy = false;
  send();
}

function hangUp(offer = "live.start") {
  ear?.close();
  awake?.release();
  ear = awake = null;
  waiting = [];
  part("button").textContent = words[offer];
}

async function stop(sentence) {
  hangUp();
  say("stopped", "");
  while (busy) await new Promise((done) => setTimeout(done, 20));
  try {
    show(await server.live_stop({ page, seen }));
  } catch { /* the server deletes the audio by itself */ }
  if (!ear) say("stopped", sentence);
}

part("button").addEventListener("click", () =>
  ear ? stop(words["live.stopped"]) : listen());
