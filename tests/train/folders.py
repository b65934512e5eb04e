"""Folders of recordings, and tables beside them, as tests make them."""

from pathlib import Path

import soundfile

from train.data.synthesis import STYLES, synthesise

RATE = 16_000


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def cry(seed, seconds=4.0):
    return synthesise(list(STYLES)[seed % len(STYLES)], seconds, RATE, seed).waveform


def write(path: Path, waveform) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, RATE, subtype="PCM_16")
    return path


def labels(corpus):
    return {item.recording: item.label for item in corpus.items}


def groups(corpus):
    return {item.recording: item.group for item in corpus.items}


def folds(corpus):
    return {item.recording: item.fold for item in corpus.items}


def table(root, *rows, head="file,group", encoding="utf-8"):
    (root / "groups.csv").write_bytes("\n".join([head, *rows]).encode(encoding))
