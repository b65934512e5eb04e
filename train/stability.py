"""Whether a teacher's opinion is about the cry: asked again with less band, level or length.

Where it changes its mind when nothing but the recording's band or level changes, its labels teach
the microphone. The numbers stand in ``run.json`` beside the pupil's agreement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from cry_model.features import band_pass
from train.clips import Clips
from train.distillation import Teacher
from train.opinions import Opinions, ask, divergence


@dataclass(frozen=True)
class Stability:
    """Of the answers to changed recordings beside those to the recordings themselves.

    Attributes:
        agreement: share of recordings with the same most probable label.
        divergence: Kullback-Leibler divergence from the answer to the recording itself, nats.
        most_frequent: share of the most frequent label among the answers to what was changed.
    """

    agreement: float
    divergence: float
    most_frequent: float


def changes(rate: int) -> Mapping[str, Callable[[Tensor], Tensor]]:
    """What is done to a waveform (samples,) at ``rate`` Hz."""
    return {
        "low-passed at 3.4 kHz": lambda wave: band_pass(wave, rate, 1.0, 3400.0),
        "6 dB quieter": lambda wave: wave * 10 ** (-6 / 20),
        "the first 5 s": lambda wave: wave[: 5 * rate],
    }


def stability(teacher: Teacher, clips: Clips, opinions: Opinions) -> dict[str, Stability]:
    """How far the teacher stays with its opinion.

    Args:
        teacher: whom.
        clips: prepared for the teacher's own front end.
        opinions: on these, as they are.
    """
    names = [item.recording for item in clips.items]
    before = np.stack([opinions[name] for name in names])
    found = {}
    for name, change in changes(teacher.front_end.config.sample_rate).items():
        changed = replace(clips, waveforms=tuple(change(wave) for wave in clips.waveforms))
        told = ask(teacher, changed)
        after = np.stack([told[name] for name in names])
        frequency = np.bincount(after.argmax(1)).max() / len(after)
        found[name] = Stability(
            float((before.argmax(1) == after.argmax(1)).mean()),
            float(divergence(before, after).mean()),
            float(frequency),
        )
    return found
