"""What a fitted system attends to in a recording, as tracks over time.

Every track is drawn from the pieces as the page draws A_t: a frame's time is the middle of its
window, counted from the beginning of the file, and where pieces overlap it is their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cry_model import audio
from cry_model.classifier import CryClassifier
from cry_model.frontend import Clip
from cry_model.prediction import Prediction

Array = NDArray[np.float64]

GATE, GRADIENT, LOUDNESS, RISE = "gate", "gradient_x_input", "loudness", "rise"
"""The mean of A_t over the blocks, the stand-in for it, and two references without a model."""
UNTRAINED = "untrained"
"""Stands before the name of a track that weights give which were never fitted."""


@dataclass(frozen=True)
class Tracks:
    """One recording as a fitted system hears it.

    Attributes:
        prediction: what the classifier answers.
        clip: what the front end made of the recording.
        times: (frames,) seconds from the beginning of the file, evenly spaced.
        values: name -> (frames,), at least 0.
    """

    prediction: Prediction
    clip: Clip
    times: Array
    values: Mapping[str, Array]


def read_tracks(classifier: CryClassifier, recording: audio.Recording) -> Tracks:
    """The tracks of one recording.

    ``gate_1``, ``gate_2``... are A_t of each block and ``gate`` is their mean, where the system has
    them; ``gradient_x_input`` is :func:`gradient_times_input` for the answered label; ``loudness``
    is the power of each frame in the front end's band, and ``rise`` by how many dB it is above the
    frame before, 0 where it falls.
    """
    front_end, labels = classifier.front_end, classifier.labels
    prediction = classifier.predict(recording)
    on_device = audio.Recording(recording.waveform.to(classifier.device), recording.sample_rate)
    clip = front_end.prepare(on_device)
    waves = front_end.cut(clip).waveforms
    features = front_end(waves)
    gates = prediction.attention.temporal
    of_pieces = {f"{GATE}_{number}": gate for number, gate in enumerate(gates, start=1)}
    if gates:
        of_pieces[GATE] = torch.stack(gates).mean(0)
    of_pieces[GRADIENT] = gradient_times_input(
        classifier.model, features, labels.index(prediction.label)
    )
    of_pieces[LOUDNESS] = front_end.spectrogram(waves)[..., : features.shape[-1]].sum(1)
    values = {}
    for name, pieces in of_pieces.items():
        times, track = prediction.timeline(pieces.cpu())
        values[name] = track.double().numpy()
    values[RISE] = rise(values[LOUDNESS], front_end.config.floor_db)
    return Tracks(prediction, clip, times.double().numpy(), values)


def gradient_times_input(model: nn.Module, features: Tensor, label: int) -> Tensor:
    """|sum over the bands of d logit / d feature * feature|, (batch, bands, T) -> (batch, T).

    Source: Shrikumar et al. 2016, "Not just a black box". To first order it is what the logit of
    ``label`` owes to a frame that is not silent: a log-mel feature is 0 at the floor.
    """
    with torch.enable_grad():
        features = features.detach().requires_grad_()
        logit = model(features)[:, label].sum()  # the items of a batch do not meet in eval mode
        (gradient,) = torch.autograd.grad(logit, features)
    return (gradient * features).sum(1).abs().detach()


def rise(power: Array, floor_db: float) -> Array:
    """By how many dB each frame is above the one before, (frames,) -> (frames,), at least 0.

    What is quieter than the floor, in dB relative to the level of the clip, counts as the floor.
    """
    level = 10 * np.log10(np.maximum(power, 10 ** (floor_db / 10)))
    return np.clip(np.diff(level, prepend=level[0]), 0, None)
