"""From a row a recording to means with intervals: what ``run.json`` says about attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cry_model.metrics import Array, Labels, bootstrap
from cry_model.records import Estimate
from train.tracks import GATE, GRADIENT, LOUDNESS, UNTRAINED


def share(track: str) -> str:
    """The column of the share of a track's mass that is near an onset."""
    return f"share_{track}"


def shuffled(track: str) -> str:
    """The column of the same after turning the track round."""
    return f"shuffled_{track}"


def fall(second: str) -> str:
    """The column of the fall in probability without a second: the one of a track, or random."""
    return f"fall_{second}"


def log_fall(second: str) -> str:
    """The column of the fall of its natural logarithm."""
    return f"log_fall_{second}"


@dataclass(frozen=True)
class TrackScore:
    """Means over recordings; 95 % intervals resample babies, differences are of the same recording.

    Attributes:
        share: of the mass above the median, near an onset.
        shuffled: the same after turning the track round by random amounts.
        fall: of the answered label's probability without the track's heaviest second.
        log_fall: of the natural logarithm of it.
        ..._minus_...: what stands before it less that of the shuffled track, of the track of
            loudness, of the same track with fresh weights (None where there is none), of a random
            second, or of the loudest second.
    """

    share: Estimate
    shuffled: Estimate
    share_minus_shuffled: Estimate
    share_minus_loudness: Estimate
    share_minus_untrained: Estimate | None
    fall: Estimate
    fall_minus_random: Estimate
    fall_minus_loudest: Estimate
    log_fall: Estimate
    log_fall_minus_random: Estimate
    log_fall_minus_loudest: Estimate


@dataclass(frozen=True)
class AttentionScore:
    """What was found.

    Attributes:
        headline: the track that speaks for the system.
        recordings, groups: how many, of how many babies.
        time_share: share of the time that is near an onset: what no preference at all gives.
        random_fall, random_log_fall: without a random second.
        tracks: name -> score.
    """

    headline: str
    recordings: int
    groups: int
    time_share: Estimate
    random_fall: Estimate
    random_log_fall: Estimate
    tracks: Mapping[str, TrackScore]


def summarise(table: pd.DataFrame) -> AttentionScore:
    """The scores of a table with a row for each recording."""
    groups = table["group"].tolist()

    def mean(of: str, less: str | None = None) -> Estimate:
        values = table[of] - (0.0 if less is None else table[less])
        return estimate(values.to_numpy(np.float64), groups)

    def score(track: str) -> TrackScore:
        before = f"{UNTRAINED}_{track}"
        return TrackScore(
            share=mean(share(track)),
            shuffled=mean(shuffled(track)),
            share_minus_shuffled=mean(share(track), shuffled(track)),
            share_minus_loudness=mean(share(track), share(LOUDNESS)),
            share_minus_untrained=mean(share(track), share(before)) if before in tracks else None,
            fall=mean(fall(track)),
            fall_minus_random=mean(fall(track), fall("random")),
            fall_minus_loudest=mean(fall(track), fall(LOUDNESS)),
            log_fall=mean(log_fall(track)),
            log_fall_minus_random=mean(log_fall(track), log_fall("random")),
            log_fall_minus_loudest=mean(log_fall(track), log_fall(LOUDNESS)),
        )

    prefix = share("")
    tracks = [name.removeprefix(prefix) for name in table.columns if name.startswith(prefix)]
    return AttentionScore(
        headline=GATE if GATE in tracks else GRADIENT,
        recordings=len(table),
        groups=len(set(groups)),
        time_share=mean("time_share"),
        random_fall=mean(fall("random")),
        random_log_fall=mean(log_fall("random")),
        tracks={track: score(track) for track in tracks},
    )


def estimate(values: Array, groups: Sequence[str]) -> Estimate:
    """The mean of the values (n,) with its 95 % interval over resampled groups."""
    return bootstrap(_mean, np.zeros(len(values), dtype=np.int64), values, groups)


def _mean(_: Labels, values: Array, weights: Array) -> float:
    return float(weights @ values / weights.sum())


def describe(system: str, found: AttentionScore) -> str:
    """The measured numbers as a few lines of text."""
    lines = [
        f"{system}: {found.recordings} recordings of {found.groups} babies; the headline is "
        f"{found.headline}.",
        f"  {found.time_share} of the time is near an onset; a random second costs "
        f"{found.random_fall} of the probability.",
        f"  {'':26} {'mass near onsets':>22} {'less shuffled':>23} {'fall without second':>23} "
        f"{'less random second':>23}",
    ]
    for name, score in found.tracks.items():
        cells = (score.share, score.share_minus_shuffled, score.fall, score.fall_minus_random)
        lines.append(" ".join([f"  {name:26}", *(f"{cell!s:>23}" for cell in cells)]))
    return "\n".join(lines)
