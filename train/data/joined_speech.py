"""Spoken digits joined into speech of several seconds (Free Spoken Digit Dataset, CC BY-SA 4.0)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cry_model import audio
from cry_model.frontend import resample
from train.data.corpus import DataError

NAME = "speech"
LICENCE = "CC BY-SA 4.0 (Free Spoken Digit Dataset)"
SECONDS = 6.0
RATE = 8_000  # Hz, of the digits
PAUSES = (0.03, 0.5)  # s, between words
RAISED = (130, 190)  # per cent: played so much faster, a man's voice is as high as a child's


def read_speakers(root: Path) -> Mapping[str, tuple[Path, ...]]:
    """Speaker -> the files of ``root/speech/<digit>_<speaker>_<take>.wav``; raise DataError if
    there are none."""
    speakers: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((root / NAME).glob("*_*_*.wav")):
        speakers[path.stem.split("_")[1]].append(path)
    if not speakers:
        raise DataError(
            f"There are no spoken digits in {root / NAME}. Put the recordings of the Free Spoken "
            "Digit Dataset (<digit>_<speaker>_<take>.wav) there, or name another folder with "
            "--data-root."
        )
    return {name: tuple(paths) for name, paths in speakers.items()}


def join_speech(files: Sequence[Path], number: int, raised: bool) -> audio.Recording:
    """Join one speaker's words to :data:`SECONDS` in random order, with pauses; the number decides
    order, pauses and pitch. Raised speech is played faster, so that the voice is higher."""
    rng = np.random.default_rng([number, raised])
    percent = int(rng.integers(*RAISED)) if raised else 100
    parts, length = [], 0
    while length < SECONDS * RATE * percent / 100:
        parts += [_word(files[rng.integers(len(files))]), _pause(rng)]
        length += len(parts[-2]) + len(parts[-1])
    wave = torch.from_numpy(np.concatenate(parts).astype(np.float32))
    return audio.Recording(resample(wave, percent, 100)[: round(SECONDS * RATE)], RATE)


def _word(path: Path) -> NDArray[np.float32]:
    """One digit, many of which are shorter than a recording that a visitor may send."""
    from cry_model.audio import decode  # here only: a bare image fits what was joined already

    with path.open("rb") as file:
        wave, rate = decode(file)
    if rate != RATE:
        raise DataError(f"{path} has {rate} Hz where the corpus has {RATE}; take it away.")
    return wave / max(1e-6, np.abs(wave).max())


def _pause(rng: np.random.Generator) -> NDArray[np.float32]:
    """Not quite silence."""
    return (1e-3 * rng.standard_normal(int(rng.uniform(*PAUSES) * RATE))).astype(np.float32)
