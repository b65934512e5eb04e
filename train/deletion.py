"""What becomes of an answer when a stretch of the recording is silenced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from cry_model.classifier import CryClassifier
from cry_model.frontend import Clip

BATCH = 32  # pieces


@torch.inference_mode()
def probabilities(classifier: CryClassifier, clips: Sequence[Clip]) -> Tensor:
    """What the classifier makes of clips of one length, (clips, classes), means over the pieces."""
    waves = torch.cat([classifier.front_end.cut(clip).waveforms for clip in clips])
    logits = torch.cat([classifier.model(classifier.front_end(w)) for w in waves.split(BATCH)])
    return logits.double().softmax(-1).unflatten(0, (len(clips), -1)).mean(1)


def silence(clip: Clip, rate: int, begin: float, seconds: float, fade: float) -> Clip:
    """The clip with nothing to hear for ``seconds`` from ``begin`` on, and everything as it was
    further than ``fade`` away; both from the beginning of the file, in s. The fade is linear.
    """
    wave, ramp = clip.waveform, round(fade * rate)
    first = min(max(round((begin - clip.offset) * rate), 0), len(wave))
    last = min(max(round((begin + seconds - clip.offset) * rate), 0), len(wave))
    down = torch.linspace(1, 0, ramp + 2, device=wave.device)[1:-1]
    hole = torch.cat([down, torch.zeros(last - first, device=wave.device), down.flip(0)])
    gain = pad(hole, (first, len(wave) - last), value=1.0)[ramp : ramp + len(wave)]
    return replace(clip, waveform=wave * gain)


def falls(
    classifier: CryClassifier, clip: Clip, begins: Sequence[float], seconds: float, fade: float
) -> Tensor:
    """How far the answered label's probability falls, and the logarithm of it, (begins, 2).

    Each of the stretches (see :func:`silence`) is silenced alone. The label is the one that the
    untouched clip is given, right or wrong: what is asked is what that answer rests on.
    """
    rate = classifier.config.front_end.sample_rate
    silenced = [silence(clip, rate, begin, seconds, fade) for begin in begins]
    before, *after = probabilities(classifier, [clip, *silenced])
    label = int(before.argmax())
    found = torch.stack([row[label] for row in after])
    return torch.stack([before[label] - found, before[label].log() - found.log()], dim=1).cpu()
