"""Define the answer of a classifier: plain records of everything that the page shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cry_model.detection import DetectionScores
from cry_model.networks.attention import AttentionMaps
from cry_model.records import Agreement, Calibration, Evaluation

if TYPE_CHECKING:
    from torch import Tensor

AbstainReason = Literal[
    "no cry", "out of distribution", "at chance", "every reason possible", "no reason likely"
]
CANT_TELL: Mapping[AbstainReason, str] = {
    "no cry": "this does not sound like a baby crying",
    "out of distribution": "this recording is outside of what this model knows",
    "at chance": "in tests, this model was no better than chance",
    "every reason possible": "no reason can be ruled out",
    "no reason likely": "no reason is likely enough to be named",
}
"""Reason to abstain -> the end of the sentence "Can't tell: ..."."""
AnswerKind = Literal["set", "cannot_tell", "maybe_cry", "not_a_cry"]


@dataclass(frozen=True)
class Answer:
    """The decision in a prediction; page, terminal, JSON and API state this and no more.

    Attributes:
        kind: ``set`` names labels; ``maybe_cry`` names the labels of a possible cry.
        labels: the prediction set, the most probable first; the most probable label if the
            checkpoint was never calibrated. Empty if the model abstains.
        reason: why the model abstains; None if there are labels.
    """

    kind: AnswerKind
    labels: tuple[str, ...] = ()
    reason: AbstainReason | None = None


@dataclass(frozen=True)
class PieceAnswer:
    """The answer for one piece: start and end in seconds, label -> probability."""

    start: float
    end: float
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class Segment:
    """A cry within a recording, from start to end in seconds."""

    start: float
    end: float
    detector: float  # maximum probability of a cry within it
    probabilities: Mapping[str, float]  # label -> probability, the mean over its pieces
    prediction_set: tuple[str, ...] | None = None  # as that of a :class:`Prediction`

    @property
    def label(self) -> str:
        """The most probable label."""
        return max(self.probabilities, key=self.probabilities.__getitem__)


@dataclass(frozen=True)
class FeatureAttribution:
    """Acoustic features, and their contributions to the answer; means over a recording's pieces."""

    features: Mapping[str, float]  # by name, of :data:`~cry_model.sound.front_end_config.FEATURES`
    contributions: Mapping[str, float]
    """To the log-probability of the most probable label, by name, of
    :data:`~cry_model.networks.feature_mlp.INPUTS`."""
    ood_score: float  # above 1 the recording is out of distribution


@dataclass(frozen=True)
class Prediction:
    """The answer for one recording."""

    probabilities: Mapping[str, float]
    """By label, the mean over the pieces, calibrated if the checkpoint was; they sum to 1."""
    pieces: tuple[PieceAnswer, ...]  # in order, calibrated in the same way
    system: str  # name in the registry
    duration: float  # seconds of the whole recording
    hop_seconds: float  # from one frame to the next
    attention: AttentionMaps  # of the pieces, which are the batch dimension
    evaluation: Evaluation | None = None  # of models fitted like this one; None if never measured
    agreement: Agreement | None = None  # with its teacher; None if it was fitted to labels
    cautions: tuple[str, ...] = ()  # sentences on why this recording is out of the model's domain
    outside: bool = False  # whether it is, so that the model abstains
    remembered: bool = False  # whether the model was fitted on this very recording
    fallback: bool = False  # whether this model answers only because the preferred one cannot
    acoustic: FeatureAttribution | None = None  # for acoustic features without attention
    track: DetectionScores | None = None  # None without a detector
    segments: tuple[Segment, ...] = ()  # the cries, if any are detected: only these are classified
    prediction_set: tuple[str, ...] | None = None
    """The labels that cannot be ruled out, the most probable first; None if never calibrated."""
    calibration: Calibration | None = None  # target and measured coverage of such sets

    @property
    def is_cry(self) -> bool | None:
        """Whether the detector finds a cry; None without a detector."""
        return None if self.track is None else self.track.is_cry

    @property
    def label(self) -> str:
        """The most probable label."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def embedding(self) -> NDArray[np.float32] | None:
        """Classifier input, the mean over the pieces, (width,); None if it is not kept.

        No sound can be recovered from it. See :class:`~cry_model.one_baby.personal.PersonalModel`.
        """
        found = self.attention.embedding
        return None if found is None else np.asarray(found, dtype=np.float32).mean(0)

    @property
    def answer(self) -> Answer:
        """The decision that follows from all of this."""
        state = "cry" if self.track is None else self.track.state
        if state == "no":
            return Answer("not_a_cry", reason="no cry")
        reason = self._reason(self.prediction_set)
        labels = () if reason is not None else self._labels(self)
        if state == "maybe":
            return Answer("maybe_cry", labels, reason)
        return Answer("set" if reason is None else "cannot_tell", labels, reason)

    @property
    def cry_seconds(self) -> float:
        """Total duration of the cries."""
        return sum(segment.end - segment.start for segment in self.segments)

    def named_in(self, segment: Segment) -> tuple[str, ...]:
        """Return the labels of one cry, as in :class:`Answer`; none if the model abstains."""
        return () if self._reason(segment.prediction_set) else self._labels(segment)

    @staticmethod
    def _labels(told: Prediction | Segment) -> tuple[str, ...]:
        return (told.label,) if told.prediction_set is None else told.prediction_set

    def _reason(self, named: tuple[str, ...] | None) -> AbstainReason | None:
        """Return the reason to abstain, given a prediction set or None; None if there is none."""
        if self.outside:
            return "out of distribution"
        if self.evaluation is not None and not self.evaluation.better_than_chance:
            return "at chance"
        if named is None or 0 < len(named) < len(self.probabilities):
            return None
        return "every reason possible" if named else "no reason likely"

    def timeline(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        """Merge per-piece values (pieces, ..., frames), such as ``attention.temporal[0]``.

        Return the times (frames,), seconds, the middle of each frame that some piece covers, and
        the values there (..., frames), the mean where pieces overlap.
        """
        import torch

        hop = self.hop_seconds
        places = [(piece.start, piece.end - piece.start) for piece in self.pieces]
        track = over_time(torch.as_tensor(gates), places, hop, round(self.duration / hop) + 1)
        covered = ~track.reshape(-1, track.shape[-1])[0].isnan()
        return torch.arange(len(covered))[covered] * hop, track[..., covered]

    def to_dict(self, full: bool = False) -> dict[str, Any]:
        """Return the answer and its basis as plain data for JSON.

        If it names no label, there are no probabilities either. ``full`` adds everything else but
        attention, whatever the answer is.
        """
        answer = self.answer
        short = {
            "answer": {**asdict(answer), "labels": list(answer.labels)},
            "probabilities": dict(self.probabilities) if full or answer.labels else {},
            "is_cry": self.is_cry,
            "cry_probability": None if self.track is None else self.track.score,
            "segments": [
                {"start": s.start, "end": s.end, "labels": list(self.named_in(s))}
                for s in self.segments
            ],
            "cautions": list(self.cautions),
            "remembered": self.remembered,
            "fallback": self.fallback,
            "system": self.system,
            "duration_seconds": round(self.duration, 3),
            "note": "Not a medical device.",
        }
        if not full:
            return short
        named = self.prediction_set
        segments = (asdict(segment) for segment in self.segments)
        records = ("evaluation", "agreement", "calibration", "acoustic")
        return {
            **short,
            "segments": [a | b for a, b in zip(short["segments"], segments, strict=True)],
            "prediction_set": None if named is None else list(named),
            "pieces": [asdict(piece) for piece in self.pieces],
            **{name: (r := getattr(self, name)) and asdict(r) for name in records},
        }


def over_time(
    values: Tensor, places: Iterable[tuple[float, float]], hop: float, frames: int
) -> Tensor:
    """Place values of pieces, (pieces, ..., frames), on the ``frames`` of a recording.

    Return (..., frames), the mean where pieces overlap; NaN where there is none. ``places``: start
    and length of each piece, in seconds; ``hop``: seconds from one frame to the next.
    """
    total, count = values.new_zeros(*values.shape[1:-1], frames), values.new_zeros(frames)
    for (start, seconds), own in zip(places, values, strict=True):
        first = round(start / hop)
        length = min(round(seconds / hop), own.shape[-1], frames - first)
        total[..., first : first + length] += own[..., :length]
        count[first : first + length] += 1
    return total / count.where(count > 0, math.nan)


def choose(answers: Iterable[tuple[str, Prediction]]) -> tuple[str, Prediction]:
    """Return the answer to report, with its model's name.

    The first that is in distribution, of a model that was not found to be at chance; else the first
    in distribution; else the first, as well if there is no cry. Later answers are requested lazily.

    ``answers``: one or more models' names and answers, in the order of preference.
    """
    first, known = None, None
    for name, prediction in answers:
        first = first or (name, prediction)
        if prediction.answer.kind == "not_a_cry":
            return first
        if prediction.outside:
            continue
        told = replace(prediction, fallback=name != first[0])
        if prediction.answer.reason != "at chance":
            return name, told
        known = known or (name, told)
    if first is None:
        raise ValueError("There is no answer to choose from.")
    return known or first
