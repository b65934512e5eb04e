"""Create folders of recordings, with tables beside them, and read them back."""

from pathlib import Path

import numpy as np
import soundfile
import torch

from train.data.corpus import Clips

RATE = 16_000


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def cry(seed, seconds=4.0, rate=RATE, hz=None):
    """Synthesise harmonics of about ``hz``; the seed sets rhythm, melody and noise.

    Returns (samples,) float32. ``synthesise`` sounds better but takes a hundred times as long.
    """
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    times = np.cumsum(rng.uniform(0.05, 0.3, 800))  # s
    melody, *loudness = rng.uniform(0, 1, (6, 800))
    hz = (hz or 250 + 60 * (seed % 7)) * (0.7 + 0.7 * np.interp(t, times, melody))
    phase, wave = 2 * np.pi * np.cumsum(hz) / rate, 0.01 * rng.standard_normal(len(t))
    for k, curve in enumerate(loudness, 1):
        wave += 0.2 * np.interp(t, times, curve) ** 2 * np.sin(k * phase)
    return wave.astype(np.float32)


def write(path: Path, waveform, rate=RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, rate)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Return relative path -> bytes of every file in a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def clips_of(items, waves, labels, rate):
    """Build an in-memory corpus of waveforms (samples,); an item without a label gets -1."""
    indices = torch.tensor([labels.index(i.label) if i.label in labels else -1 for i in items])
    seconds = tuple(len(wave) / rate for wave in waves)
    return Clips(tuple(items), indices, seconds, (rate,) * len(items), tuple(waves), {})


def labels(corpus):
    return {item.recording: item.label for item in corpus.items}


def groups(corpus):
    return {item.recording: item.group for item in corpus.items}


def folds(corpus):
    return {item.recording: item.fold for item in corpus.items}


def table(root, *rows):
    (root / "groups.csv").write_text("\n".join(["file,group", *rows]), encoding="utf-8")
