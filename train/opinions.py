"""What a teacher says about whole recordings, and how far its pupil says the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cry_model.metrics import mean
from cry_model.records import Agreement
from train.clips import Clips
from train.distillation import Teacher
from train.results import probability_columns

Opinions = Mapping[str, NDArray[np.float64]]
"""Recording -> the teacher's probabilities (classes,), as it answers the file itself, before any
calibration."""


def ask(teacher: Teacher, clips: Clips) -> Opinions:
    """Answers every clip as :class:`~cry_model.classifier.CryClassifier` would, but for
    its calibration.

    Args:
        teacher: whom.
        clips: prepared for the teacher's own front end.
    """
    device = next(teacher.model.parameters()).device
    with torch.no_grad():
        answers = [
            teacher.model(
                teacher.front_end(clips.pieces(teacher.front_end, i).waveforms.to(device))
            )
            for i in range(len(clips.items))
        ]
    rows = [answer.float().softmax(-1).mean(0).cpu().double().numpy() for answer in answers]
    return {item.recording: row for item, row in zip(clips.items, rows, strict=True)}


def compare(
    table: pd.DataFrame, opinions: Opinions, labels: tuple[str, ...], **facts: object
) -> Agreement:
    """Agreement and divergence per recording, with intervals over groups.

    Args:
        table: the pupil's predictions per recording, each by a fit that had not heard its group.
        opinions: the teacher's.
        labels: in the order of the probabilities.
        **facts: the other fields of :class:`~cry_model.records.Agreement`.
    """
    pupil = table[probability_columns(labels)].to_numpy(dtype=np.float64)
    teacher = np.stack([opinions[name] for name in table["recording"]])
    # Of these very recordings, which no guess made on others could beat.
    usual, average = int(np.bincount(teacher.argmax(1)).argmax()), teacher.mean(0)
    same = pupil.argmax(1) == teacher.argmax(1)
    always = usual == teacher.argmax(1)
    groups = table["group"].tolist()
    return Agreement(
        recordings=table["recording"].nunique(),
        groups=len(set(groups)),
        seeds=tuple(int(seed) for seed in sorted(table["seed"].unique())),
        agreement=mean(same, groups),
        constant_label=labels[usual],
        constant=mean(always, groups),
        gain=mean(same.astype(float) - always, groups),
        divergence=mean(divergence(teacher, pupil), groups),
        constant_divergence=mean(divergence(teacher, average), groups),
        **facts,
    )


def divergence(teacher: NDArray[np.float64], pupil: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kullback-Leibler divergence in nats, (recordings, classes) twice -> (recordings,)."""
    kept = teacher.clip(1e-9)
    return (kept * np.log(kept / pupil.clip(1e-6))).sum(1)
