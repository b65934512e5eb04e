"""Recording in, answer out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from cry_model import audio
from cry_model.acoustic_features import FEATURES
from cry_model.attention import AttentionMaps, concatenate
from cry_model.checkpoint import DEFAULT, load_checkpoint
from cry_model.config import CheckpointConfig
from cry_model.feature_mlp import INPUTS, FeatureMLP
from cry_model.front_ends import make_front_end
from cry_model.hub import find_checkpoint
from cry_model.prediction import AcousticReading, PieceAnswer, Prediction

OUTSIDE = (
    "This recording is unlike those that the model was fitted on ({:.2f} times as far out as all "
    "but the strangest of them), so its answer means little."
)
TOO_DULL = (
    "This recording holds nothing above {:g} kHz, and the model listens up to {:g} kHz, so its "
    "answer means little; please give one made at a higher sample rate."
)

Source = str | os.PathLike | bytes | BinaryIO | np.ndarray | Tensor | audio.Recording


class CryClassifier:
    """A fitted system with its front end.

    Safe to share between threads: prediction changes nothing in it.
    """

    BATCH = 32  # pieces at a time, so that ten minutes do not need ten minutes' worth of memory

    def __init__(self, model: nn.Module, config: CheckpointConfig, device: str = "cpu"):
        self.config = config
        self.device = torch.device(device)
        self.model = model.eval().to(self.device)
        self.front_end = make_front_end(config.front_end).eval().to(self.device)

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike = DEFAULT, revision: str | None = None, device: str = "cpu"
    ) -> CryClassifier:
        """Loads a checkpoint folder or a Hub repository, by default the bundled one.

        Raises:
            CheckpointError: see :func:`~cry_model.hub.find_checkpoint` and
                :func:`~cry_model.checkpoint.load_checkpoint`.
        """
        return cls(*load_checkpoint(find_checkpoint(name, revision)), device=device)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.config.labels

    def predict(self, source: Source, sample_rate: int | None = None) -> Prediction:
        """Classifies one recording; one longer than a piece gets the mean over its pieces.

        Args:
            source: a file's path, its bytes, an open file, or samples (see
                :func:`cry_model.audio.load`).
            sample_rate: Hz, needed with samples.

        Raises:
            AudioError: if the recording cannot be used; the message says why.
        """
        recording = audio.load(source, sample_rate)
        with torch.inference_mode():
            clip = self.front_end.prepare(self._on_device(recording))
            pieces = self.front_end.cut(clip)
            answers = [self._forward(batch) for batch in pieces.waveforms.split(self.BATCH)]
        probabilities = torch.cat([p for p, _, _ in answers])
        mean, calibration = probabilities.mean(0), self.config.calibration
        named = self._named(mean)
        maps = concatenate([maps for _, maps, _ in answers])
        remoteness = None if maps.remoteness is None else float(maps.remoteness.mean())
        acoustic = None
        if isinstance(self.model, FeatureMLP):
            features = torch.cat([features for _, _, features in answers])
            acoustic = _read(self.model, features, int(mean.argmax()), remoteness)
        return Prediction(
            probabilities=named,
            pieces=tuple(
                PieceAnswer(start, start + pieces.seconds, self._named(p))
                for start, p in zip(pieces.starts, probabilities, strict=True)
            ),
            system=self.config.system,
            duration=recording.duration,
            hop_seconds=self.config.front_end.hop_seconds,
            attention=maps,
            evaluation=self.config.evaluation,
            agreement=self.config.agreement,
            cautions=tuple(self._cautions(recording, remoteness)),
            acoustic=acoustic,
            prediction_set=None if calibration is None else calibration.prediction_set(named),
            calibration=calibration,
        )

    def _cautions(self, recording: audio.Recording, remoteness: float | None) -> Iterator[str]:
        top = recording.sample_rate / 2
        if top < 0.95 * self.config.front_end.high_hz:
            yield TOO_DULL.format(top / 1000, self.config.front_end.high_hz / 1000)
        if remoteness is not None and remoteness > 1:
            yield OUTSIDE.format(remoteness)

    def _on_device(self, recording: audio.Recording) -> audio.Recording:
        return audio.Recording(recording.waveform.to(self.device), recording.sample_rate)

    def _forward(self, waveforms: Tensor) -> tuple[Tensor, AttentionMaps, Tensor]:
        """Probabilities, maps, and the means of the features over frames, (batch, bands, 1)."""
        features = self.front_end(waveforms)
        logits, maps = self.model(features, return_attention=True)
        return logits.float().softmax(-1).cpu(), maps.cpu(), features.mean(-1, keepdim=True)

    def _named(self, probabilities: Tensor) -> dict[str, float]:
        named = dict(zip(self.labels, probabilities.tolist(), strict=True))
        calibration = self.config.calibration
        return named if calibration is None else calibration.temper(named)


def _read(model: FeatureMLP, features: Tensor, label: int, remoteness: float) -> AcousticReading:
    """What a feature model makes its answer of; pieces (pieces, 26, 1) count alike."""
    contributions = model.contributions(features, label).mean(0).tolist()
    return AcousticReading(
        dict(zip(FEATURES, features.mean((0, 2)).tolist(), strict=True)),
        dict(zip(INPUTS, contributions, strict=True)),
        remoteness,
    )
