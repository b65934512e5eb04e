"""Write a synthetic corpus in the layout of the six-class challenge corpus.

The labels carry no meaning: each stands for one of six overlapping kinds of cry
(:mod:`train.data.synthesis`). Each baby cries in one class only, in its own voice. Sample rate,
length and level are independent of the label.

Accuracy of an SVM (C=10) on the default 180 recordings, in five folds with held-out babies: 74 % on
mean and deviation of 64 log-mel bands; 69 % on the 26 averages of the challenge's tables; 19 % on
rate, length and peak level. Chance level is 17 %. Smaller corpora are harder.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from train.data.corpus import Corpus, DataError, Item
from train.data.synthesis import KINDS, Range, synthesise

NAME = "synthetic6"
LABELS = ("awake", "diaper", "hug", "hungry", "sleepy", "uncomfortable")
LICENCE = "Apache-2.0 (made by train/data/synthesis.py; no child was recorded)"
RECORDINGS = 30  # of each label
RECORDINGS_OF_A_BABY = 3
SECONDS = 16.0  # on average
SPREAD: Range = (0.75, 1.25)  # shortest and longest, relative to the average
RATES = (8_000, 16_000, 44_100)  # Hz, in turn: as often in each class and for each baby
PEAKS_DBFS: Range = (-24.0, -3.0)  # of the quietest and the loudest recording


def write(root: Path, recordings: int = RECORDINGS, seconds: float = SECONDS) -> None:
    """Write ``root/synthetic6`` atomically."""
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{NAME}-", dir=root) as unfinished:
        folder = Path(unfinished) / NAME
        _write_into(folder, recordings, seconds)
        folder.rename(root / NAME)


def _write_into(folder: Path, recordings: int, seconds: float) -> None:
    """Write ``recordings`` of each label; a smaller corpus is a prefix of a larger one."""
    import soundfile  # imported here, because reading does not need it

    for label in LABELS:
        (folder / "train" / label).mkdir(parents=True)
    with (folder / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "baby", "sample_rate", "onset_seconds"))
        seeds = range(recordings * len(LABELS))
        for seed in tqdm(seeds, desc=f"Making {NAME}", unit="recording"):
            number, kind = divmod(seed, len(LABELS))
            baby = number // RECORDINGS_OF_A_BABY * len(LABELS) + kind
            rng = np.random.default_rng([seed, 2])  # for length and level, independent of label
            length, peak = seconds * rng.uniform(*SPREAD), rng.uniform(*PEAKS_DBFS)
            style = replace(KINDS[kind].draw(baby, seed), level_dbfs=peak)
            name = f"train/{LABELS[kind]}/{LABELS[kind]}_{number}.wav"
            rate = RATES[number % len(RATES)]
            sound = synthesise(style, length, rate, seed)
            pcm = np.round(sound.waveform.astype(float) * 32_767).astype(np.int16)
            soundfile.write(folder / name, pcm, rate, subtype="PCM_16")
            rows = ((name, f"baby_{baby:03d}", rate, f"{onset:.4f}") for onset in sound.onsets)
            table.writerows(rows)


def read(root: Path) -> Corpus:
    """List the recordings and babies in ``truth.csv``; raise DataError if missing or damaged."""
    folder, table = root / NAME, root / NAME / "truth.csv"
    if not table.is_file():
        raise DataError(
            f"There is no synthetic corpus in {folder}. 'python -m train prepare {NAME}' makes it; "
            "or name another folder with --data-root."
        )
    with table.open(newline="", encoding="utf-8", errors="replace") as file:
        babies = {row.get("file") or "": row.get("baby") or "" for row in csv.DictReader(file)}
    folders = {file.rpartition("/")[0] for file in babies}
    if not babies or "" in babies.values() or folders - {f"train/{label}" for label in LABELS}:
        raise DataError(
            f"{table} is damaged. Delete {folder}; 'python -m train prepare {NAME}' makes it anew."
        )
    paths = {folder / file: baby for file, baby in babies.items()}
    items = (Item(p, p.parent.name, p.stem, p.stem, baby) for p, baby in paths.items())
    return Corpus(NAME, LABELS, tuple(items), LICENCE)
