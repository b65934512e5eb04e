"""Whether a teacher's opinion is about the cry: asked again with less band, level or length.

Where it changes its mind when nothing but the recording's band or level changes, its labels teach
the microphone. The numbers stand in ``run.json`` beside the pupil's agreement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cry_model.feature_mlp import FeatureMLP
from cry_model.frontend import band_pass
from train.clips import Clips
from train.distillation import Teacher
from train.opinions import Opinions, ask, divergence

SAME = "as they are"


@dataclass(frozen=True)
class Stability:
    """Of the answers to changed recordings beside those to the recordings themselves.

    Attributes:
        agreement: share of recordings with the same most probable label.
        divergence: Kullback-Leibler divergence from the answer to the recording itself, nats.
        outside: share of the changed recordings that lie outside of what the teacher was fitted
            on; None for a teacher that cannot tell.
    """

    agreement: float
    divergence: float
    outside: float | None


def changes(rate: int) -> Mapping[str, Callable[[Tensor], Tensor]]:
    """What is done to a waveform (samples,) at ``rate`` Hz."""
    return {
        SAME: torch.clone,
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
    found = {}
    for name, change in changes(teacher.front_end.config.sample_rate).items():
        waves = [change(wave) for wave in clips.waveforms]
        # A clip that is too short to be cut stays as it was and tells nothing.
        differ = [
            i
            for i, (a, b) in enumerate(zip(waves, clips.waveforms, strict=True))
            if name == SAME or not torch.equal(a, b)
        ]
        if not differ:
            continue
        changed = replace(clips, waveforms=tuple(waves)).subset(differ)
        told = ask(teacher, changed)
        before, after = (
            np.stack([source[names[i]] for i in differ]) for source in (opinions, told)
        )
        found[name] = Stability(
            float((before.argmax(1) == after.argmax(1)).mean()),
            float(divergence(before, after).mean()),
            share_outside(teacher, changed),
        )
    return found


@torch.no_grad()
def share_outside(teacher: Teacher, clips: Clips) -> float | None:
    """Share of the clips, each as its first piece, beyond the teacher's range."""
    if not isinstance(teacher.model, FeatureMLP):
        return None
    device = next(teacher.model.parameters()).device
    remote = [
        teacher.model.remoteness(
            teacher.model.inputs(
                teacher.front_end(clips.pieces(teacher.front_end, i).waveforms[:1].to(device))
            )
        )
        for i in range(len(clips.items))
    ]
    return float((torch.cat(remote) > 1).float().mean())
