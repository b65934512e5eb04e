"""``python -m tests.browser.measure_live``: from sound to screen on the Live tab, in a Chromium.

The microphone plays bursts out of silence. An analyser hung on the page's own microphone stream
notes when each burst comes in, every 4 ms; that is the sound. For every new picture the page's
image is decoded and its newest 0.4 s looked at; the first frame that the browser paints with the
burst in it is the screen. What this leaves out is the microphone's and the monitor's own delay.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import librosa
import numpy as np
import soundfile
from playwright.sync_api import Page, sync_playwright

from cry_model.detector import DEFAULT_DETECTOR
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.server import Server, serve
from tests.stand_ins import page_root

RATE = 48_000
EVERY = 3.37  # s from burst to burst, so that they fall into chunks at any place

NOTE_SOUND = """
window.onsets = [];
const original = AudioContext.prototype.createMediaStreamSource;
AudioContext.prototype.createMediaStreamSource = function (stream) {
  const source = original.call(this, stream);
  const analyser = new AnalyserNode(this, { fftSize: 256 });
  source.connect(analyser);
  const samples = new Float32Array(256);
  let quiet = 0;
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const loud = samples.some((value) => Math.abs(value) > 0.05);
    if (loud && quiet > 100) onsets.push(performance.now());
    quiet = loud ? 0 : quiet + 1;
  }, 4);
  return source;
};
"""
NOTE_SCREEN = """() => {
  window.updates = []; window.seen = []; window.cries = [];
  const image = document.querySelector("[data-live=picture]");
  const root = document.querySelector("[data-live=root]");
  const canvas = document.createElement("canvas");
  let bright = false;
  new MutationObserver(async () => {
    await image.decode();
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const newest = context.getImageData(canvas.width - 13, 0, 13, canvas.height).data;
    const now = newest.some((value, i) => i % 4 === 0 && value > 150);
    requestAnimationFrame(() => requestAnimationFrame(() => {
      updates.push(performance.now());
      if (now && !bright) seen.push(performance.now());
      bright = now;
    }));
  }).observe(image, { attributeFilter: ["src"] });
  new MutationObserver(() => {
    if (root.dataset.state === "cry" && cries.at(-1)?.state !== "cry")
      cries.push({ state: "cry", at: performance.now() });
    else if (root.dataset.state !== "cry") cries.push({ state: "other", at: performance.now() });
  }).observe(root, { attributeFilter: ["data-state"] });
}"""


def write_bursts(path: Path, recording: Path | None) -> None:
    """Ten bursts of a second: of a tone, or from the loudest second of a recording."""
    if recording is None:
        burst = 0.5 * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)
    else:
        wave, _ = librosa.load(recording, sr=RATE)
        power = np.convolve(wave**2, np.ones(RATE), "valid")
        burst = wave[power.argmax() :][:RATE]
        burst = 0.8 * burst / np.abs(burst).max()
    whole = np.zeros(round(10 * EVERY * RATE))
    for number in range(10):
        start = round((1 + number * EVERY) * RATE)
        whole[start : start + len(burst)] = burst[: len(whole) - start]
    soundfile.write(path, whole, RATE, subtype="PCM_16")


def memory_mb(server: Server, page: Page) -> dict[str, float]:
    """Resident size of the server's process, and the page's heap after collecting."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    heap = devtools.send("Runtime.getHeapUsage")["usedSize"]
    status = Path(f"/proc/{server.pid}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0])
    return {"server": resident / 1024, "page": heap / 2**20}


def measure(server: Server, page: Page, minutes: float) -> dict[str, object]:
    """Listens for ``minutes`` and gives what was noted, in milliseconds and MB."""
    page.add_init_script(NOTE_SOUND)
    page.goto(server.url)
    page.get_by_role("tab", name="Live").click()
    page.wait_for_selector("[data-live=button]")
    page.evaluate(NOTE_SCREEN)
    page.get_by_role("button", name="Start listening").click()
    started, memory = time.monotonic(), {}
    for minute in sorted({min(1.0, minutes), minutes}):
        page.wait_for_timeout(max(0, 1000 * (60 * minute - (time.monotonic() - started) - 1)))
        memory[f"{minute:g} min"] = memory_mb(server, page)
    noted = page.evaluate(
        """() => ({onsets, seen, updates, cries, trips: performance.getEntriesByType("resource")
        .filter((e) => e.name.includes("component_server")).map((e) => e.duration)})"""
    )
    onsets, seen = np.array(noted["onsets"]), np.array(noted["seen"])
    delays = [float(seen[seen > t][0] - t) for t in onsets if (seen > t).any()]
    gaps = np.diff(noted["updates"])
    cries = [c["at"] for c in noted["cries"] if c["state"] == "cry"]
    decided = [min(c - t for t in onsets if t < c) for c in cries if (onsets < c).any()]
    return {
        "bursts": len(delays),
        "sound_to_screen_ms": spread(delays),
        "sound_to_cry_ms": spread(decided),
        "request_ms": spread(noted["trips"]),
        "updates_a_second": 1000 / float(gaps.mean()),
        "longest_gap_ms": float(gaps.max()),
        "memory_mb": memory,
    }


def spread(values: list[float]) -> dict[str, float] | None:
    """Median, 95th percentile and greatest."""
    if not len(values):
        return None
    return {
        "median": statistics.median(values),
        "p95": float(np.percentile(values, 95)),
        "max": max(values),
    }


def main() -> None:
    """Measures and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--recording", type=Path, help="bursts from this, instead of a tone")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as running:
        folder = Path(name)
        write_bursts(folder / "bursts.wav", args.recording)
        microphone = f"--use-file-for-fake-audio-capture={folder / 'bursts.wav'}"
        (folder / "root").mkdir()
        detector = DEFAULT_DETECTOR if DEFAULT_DETECTOR.is_dir() else None
        with serve(folder, page_root(folder / "root", detector)) as server:
            context = running.chromium.launch_persistent_context(
                folder / "profile",
                executable_path=CHROMIUM,
                headless=True,
                args=[*FLAGS, microphone],
                permissions=["microphone"],
            )
            print(json.dumps(measure(server, context.new_page(), args.minutes), indent=2))
            context.close()


if __name__ == "__main__":
    main()
