"""A row for each held-out recording: where its tracks lie, and what silencing it in places does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn
from tqdm import tqdm

from cry_model import CheckpointConfig, CryClassifier, audio
from train import results
from train.attention_scores import fall, log_fall
from train.attention_scores import share as share_of
from train.attention_scores import shuffled as shuffled_of
from train.clips import Clips
from train.deletion import falls
from train.onset_mass import Array, heaviest, mass_above_median, near, share, shuffled_share
from train.run import Run
from train.tracks import GATE, GRADIENT, UNTRAINED, Tracks, read_tracks


@dataclass(frozen=True)
class Check:
    """How it is measured.

    Attributes:
        reach: s, how far from an onset a frame is near it.
        second: s, how much is silenced; the fade of either side comes on top.
        fade: s.
        shifts: how often a track is turned round for the baseline.
        windows: how many random seconds are silenced, one at a time.
    """

    reach: float = 0.15
    second: float = 1.0
    fade: float = 0.01
    shifts: int = 200
    windows: int = 20


@dataclass(frozen=True)
class Truth:
    """Recording -> its file, and when its expirations begin, (expirations,), s."""

    paths: Mapping[str, Path]
    onsets: Mapping[str, Array]


def check_fold(
    run: Run, model: nn.Module, tested: Clips, truth: Truth, how: Check, seed: list[int]
) -> pd.DataFrame:
    """A row for each held-out recording."""
    config = CheckpointConfig(
        run.system, run.labels, run.preset.front_end, settings=dict(run.settings)
    )
    classifier = CryClassifier(model, config, str(run.accelerator.device))
    rng = np.random.default_rng(seed)
    rows = []
    for item in tqdm(tested.items, desc="Looking at what was held out", unit="recording"):
        # From the file: a prepared corpus does not keep how much was cut off its beginning.
        recording = audio.load(truth.paths[item.recording])
        names = {"recording": item.recording, "group": item.group, "label": item.label}
        onsets = truth.onsets[item.recording]
        drawn = run.model(int(rng.integers(2**31)))  # others each time: one draw is no baseline
        fresh = CryClassifier(drawn, config, str(run.accelerator.device))
        found = check_recording(classifier, fresh, recording, onsets, how, rng)
        rows.append({**names, **found})
    return pd.DataFrame(rows)


def check_recording(
    classifier: CryClassifier,
    fresh: CryClassifier,
    recording: audio.Recording,
    onsets: Array,
    how: Check,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Probabilities, shares of the mass and falls of one recording.

    Args:
        classifier: the one to look at.
        fresh: the same with weights that were never fitted.
        recording: any.
        onsets: (expirations,) s.
        how: see there.
        rng: draws the baselines.
    """
    heard = read_tracks(classifier, recording)
    tracks = {**heard.values, **untrained(read_tracks(fresh, recording))}
    hop = heard.prediction.hop_seconds
    mask = near(heard.times, onsets, how.reach)
    length = min(round(how.second / hop), len(mask))
    masses = {name: mass_above_median(track) for name, track in tracks.items()}
    seconds = [heaviest(mass, length) for mass in masses.values()]
    seconds += rng.integers(len(mask) - length + 1, size=how.windows).tolist()
    begins = heard.times[seconds] - hop / 2  # a frame stands for the hop around its middle
    fallen = falls(classifier, heard.clip, begins.tolist(), length * hop, how.fade).numpy()
    row = dict(
        zip(
            results.probability_columns(classifier.labels),
            heard.prediction.probabilities.values(),
            strict=True,
        )
    )
    row["time_share"] = float(mask.mean())
    for i, (name, mass) in enumerate(masses.items()):
        row[share_of(name)] = share(mass, mask)
        row[shuffled_of(name)] = shuffled_share(mass, mask, how.shifts, rng)
        row[f"begin_{name}"] = float(begins[i])
        row[fall(name)], row[log_fall(name)] = fallen[i].tolist()
    row[fall("random")], row[log_fall("random")] = fallen[len(masses) :].mean(0).tolist()
    return row


def untrained(heard: Tracks) -> dict[str, Array]:
    """Those tracks that depend on weights, named as the ones of weights that were never fitted."""
    return {f"{UNTRAINED}_{n}": heard.values[n] for n in (GATE, GRADIENT) if n in heard.values}
