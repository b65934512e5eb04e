// Precedes the scripts of Listen and Live: unprocessed audio, in chunks of a quarter second.
// By default, browsers filter the microphone for speech; a cry is not speech.
const UNTOUCHED = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const RATE = 24000; // Hz, above the needs of all models; some browsers cannot use their own rate
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

// Calls hear(Int16Array, rate) until it is closed, and ended() if the microphone is disconnected.
async function openMicrophone(hear, ended) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: UNTOUCHED });
  const module = URL.createObjectURL(new Blob([RECORDER], { type: "text/javascript" }));
  const tracks = stream.getTracks();
  const silence = () => tracks.forEach((track) => { track.onended = null; track.stop(); });
  const connect = async (context) => {
    try {
      const source = context.createMediaStreamSource(stream);
      await context.audioWorklet.addModule(module);
      const node = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
      node.port.onmessage = ({ data }) => hear(data, context.sampleRate);
      source.connect(node);
      await context.resume();
      return context;
    } catch (error) {
      context.close();
      throw error;
    }
  };
  try {
    const context = await connect(new AudioContext({ sampleRate: RATE }))
      .catch(() => connect(new AudioContext()));
    tracks[0].onended = ended;
    return { rate: context.sampleRate, close() { silence(); context.close(); } };
  } catch (error) {
    silence();
    throw error;
  } finally {
    URL.revokeObjectURL(module);
  }
}

const isRefused = (error) => error?.name === "NotAllowedError";

function encode(chunks) {
  let text = "";
  for (const chunk of chunks) {
    const bytes = new Uint8Array(chunk.buffer);
    for (let i = 0; i < bytes.length; i += 8192)
      text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
}

const randomName = () =>
  Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("-");
