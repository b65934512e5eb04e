"""Evaluate the faithfulness of explanation maps by insertion and deletion tests.

A map marks a quarter of the spectrogram. Saved folds predict held-out recordings unchanged
("whole"), with the rest attenuated by 12 dB ("kept"), with that quarter attenuated ("removed"), and
with equally many cells kept at another pitch and time ("elsewhere"). This is a single step of the
curves of Petsiuk et al. 2018, "RISE". ``explanations.json``, next to the ``predictions.csv`` of a
run, holds :class:`Faithfulness`, with confidence intervals over groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tqdm import tqdm

from cry_model.classifier import CryClassifier
from cry_model.explanation import (
    DIM_DB,
    SHARE,
    NotExplainedError,
    Relevance,
    explain,
    gradient_times_input,
    spectral_attention,
    temporal_attention,
)
from cry_model.metrics import mean
from cry_model.records import Estimate
from cry_model.sound.audio import AudioError, Recording
from train.fit.run import Run
from train.scoring.results import Kept

MAPS: Mapping[str, Relevance] = {
    "gradient_times_input": gradient_times_input,
    "temporal_attention": temporal_attention,
    "spectral_attention": spectral_attention,
}
USUAL = "temporal_attention"
"""The reference map for comparisons."""


@dataclass(frozen=True)
class MapScores:
    """Probabilities of a recording's top label when cells are attenuated by a map.

    Attributes:
        kept, removed, elsewhere: the mean probability over recordings.
        ahead: kept minus elsewhere, paired.
        kept_more, removed_more: paired difference from the map of temporal attention. A more
            faithful map has a higher ``kept`` and a lower ``removed``. None for the map itself, and
            for models without it.
    """

    kept: Estimate
    removed: Estimate
    elsewhere: Estimate
    ahead: Estimate
    kept_more: Estimate | None
    removed_more: Estimate | None


@dataclass(frozen=True)
class Faithfulness:
    """Faithfulness of each map of a system, with confidence intervals over groups.

    Attributes:
        seeds, folds: number of seeds, and of saved folds over all seeds.
        share, dim_db: share of cells that are kept, and attenuation of the rest.
        whole: probability of the top label for the unchanged recording.
        maps: name -> its scores.
    """

    seeds: int
    folds: int
    recordings: int
    groups: int
    share: float
    dim_db: float
    whole: Estimate
    maps: Mapping[str, MapScores]


def rows(run: Run, kept: Kept) -> Iterator[dict[str, Any]]:
    """Yield the probabilities for each map and each held-out recording of a saved fold."""
    seed, fold, folder = kept
    _, tested = run.experiment.fold(seed, fold)
    classifier = CryClassifier.from_pretrained(folder, detector=False)
    rate = classifier.config.front_end.sample_rate
    pairs = zip(tested.items, tested.waveforms, strict=True)
    for item, wave in tqdm([*pairs], desc=f"seed {seed}, fold {fold}", unit="clip"):
        sound = Recording(wave, rate)
        where = {"recording": item.recording, "group": item.group, "fit": (seed, item.piece)}
        for name, relevance in MAPS.items():
            try:
                found = explain(classifier, sound, relevance=relevance)
            except (AudioError, NotExplainedError):
                continue
            parts = {
                "kept": found.kept.probability,
                "removed": found.removed.probability,
                "elsewhere": found.elsewhere,
            }  # None, and thus NaN, where the model finds no sound in the rest
            yield {**where, "map": name, "whole": found.probability, **parts}


def measure(run: Run, kept: Sequence[Kept]) -> Faithfulness:
    """Compare the maps over all saved folds, on the recordings for which every map exists."""
    table = pd.DataFrame([row for one in kept for row in rows(run, one)])
    wide = table.pivot(index=["recording", "group", "fit"], columns="map").astype(float).dropna()
    wide = wide.groupby(["recording", "group"]).mean()  # over seeds, and pieces of a recording
    groups = wide.index.get_level_values("group").astype(str).tolist()
    own = {name: wide.xs(name, axis=1, level="map") for name in MAPS if name in set(table["map"])}
    usual = own.get(USUAL)

    def estimate(values: pd.Series) -> Estimate:
        return mean(values.to_numpy(), groups)

    maps = {}
    for name, part in own.items():
        compared = usual is not None and name != USUAL
        kept_more, removed_more = (
            estimate(part[what] - usual[what]) if compared else None for what in ("kept", "removed")
        )
        maps[name] = MapScores(
            kept=estimate(part["kept"]),
            removed=estimate(part["removed"]),
            elsewhere=estimate(part["elsewhere"]),
            ahead=estimate(part["kept"] - part["elsewhere"]),
            kept_more=kept_more,
            removed_more=removed_more,
        )
    return Faithfulness(
        seeds=len({seed for seed, _, _ in kept}),
        folds=len(kept),
        recordings=len(wide),
        groups=len(set(groups)),
        share=SHARE,
        dim_db=DIM_DB,
        whole=estimate(next(iter(own.values()))["whole"]),
        maps=maps,
    )


def describe(found: Faithfulness) -> str:
    """Format the results as lines of text, one per map."""
    lines = [f"{found.recordings} recordings, whole {found.whole}"]
    for name, one in found.maps.items():
        lines.append(f"  {name}: kept {one.kept}, removed {one.removed}, ahead {one.ahead}")
    return "\n".join(lines)
