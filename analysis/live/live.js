// Runs when the Live tab is first shown; Gradio gives `element` and `server`.
// The microphone's sound goes to the server in chunks of a quarter of a second, one request after
// another. Gradio's own streaming recorder would write every chunk to a file on the server,
// and drop one that arrives while another is worked on.
const part = (name) => element.querySelector(`[data-live="${name}"]`);
const root = part("root");
const page = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("-");
const RATE = 24000; // Hz, more than any model hears; browsers that cannot use their own
const MOST_CHUNKS = 40; // ten seconds wait for a slow server; what is older is lost
const MOST_ROWS = 100;
const START = "Start listening";
const RECORDER = `registerProcessor("tap", class extends AudioWorkletProcessor {
  constructor() { super(); this.chunk = new Int16Array(Math.round(sampleRate / 4)); this.filled = 0; }
  process(inputs) {
    const samples = inputs[0][0];
    if (!samples) return true;
    for (const value of samples) {
      this.chunk[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(32768 * value)));
      if (this.filled < this.chunk.length) continue;
      this.port.postMessage(this.chunk);
      this.filled = 0;
    }
    return true;
  }
});`;

let ear = null; // {stream, context}
let waiting = [], lost = 0, seen = 0;
let asking = false, busy = false, first = false;

function say(state, sentence) {
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
  }
  seen = Math.max(seen, view.written);
}

async function listen() {
  if (asking) return;
  asking = true;
  say("asking", "Please allow the microphone in your browser.");
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true }); // see recording.js
    ear = { stream };
    ear.context = await tap(stream);
    stream.getTracks()[0].onended = () => stop("The microphone was taken away.");
  } catch (error) {
    hangUp();
    const refused = error && error.name === "NotAllowedError";
    return say(refused ? "refused" : "problem", refused
      ? "The microphone was refused. Allow it in your browser, then start again."
      : "No microphone could be used. Connect one, then start again.");
  } finally {
    asking = false;
  }
  [waiting, lost, first] = [[], 0, true];
  part("button").textContent = "Stop";
  say("quiet", "Listening.");
}

async function tap(stream) {
  const module = URL.createObjectURL(new Blob([RECORDER], { type: "text/javascript" }));
  const connect = async (context) => {
    try {
      const source = context.createMediaStreamSource(stream);
      await context.audioWorklet.addModule(module);
      const node = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
      node.port.onmessage = ({ data }) => {
        waiting.push(data);
        while (waiting.length > MOST_CHUNKS) lost += waiting.shift().length / context.sampleRate;
        send();
      };
      source.connect(node);
      await context.resume();
      return context;
    } catch (error) {
      context.close();
      throw error;
    }
  };
  try {
    return await connect(new AudioContext({ sampleRate: RATE }));
  } catch {
    return await connect(new AudioContext());
  } finally {
    URL.revokeObjectURL(module);
  }
}

function encode(chunks) {
  let text = "";
  for (const chunk of chunks) {
    const bytes = new Uint8Array(chunk.buffer);
    for (let i = 0; i < bytes.length; i += 8192)
      text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
}

async function send() {
  if (busy || !ear || !waiting.length) return;
  busy = true;
  const request = { page, seen, lost, first, rate: ear.context.sampleRate, samples: encode(waiting) };
  [waiting, lost, first] = [[], 0, false];
  try {
    const view = await server.live_hear(request);
    if (view.problem) {
      hangUp();
      say("problem", view.problem);
    } else if (view.over) {
      hangUp("Listen for ten more minutes");
      show(view);
      say("over", "Ten minutes are over, so listening has stopped. The log stays.");
    } else if (ear) {
      show(view);
      say(view.state, view.status);
    }
  } catch {
    hangUp();
    say("problem", "The server cannot be reached. Please start again in a moment.");
  }
  busy = false;
  send();
}

function hangUp(offer = START) {
  if (ear) {
    ear.stream.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    if (ear.context) ear.context.close();
  }
  ear = null;
  waiting = [];
  part("button").textContent = offer;
}

async function stop(sentence) {
  hangUp();
  say("stopped", sentence);
  while (busy) await new Promise((done) => setTimeout(done, 20));
  try {
    show(await server.live_stop({ page, seen }));
  } catch { /* the server forgets the sound by itself */ }
}

part("button").addEventListener("click", () =>
  ear ? stop("Stopped; the sound is forgotten.") : listen());
