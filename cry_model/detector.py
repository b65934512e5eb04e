"""Detect whether and where a baby cries, with a small model that scores sliding windows."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from cry_model.checkpoint import (
    DEFAULT_DETECTOR,
    CheckpointConfig,
    CheckpointError,
    load_checkpoint,
    try_out,
)
from cry_model.detection import (
    BATCH,
    CRY,
    WIDTH,
    DetectionScores,
    detection_scores,
    lay_out,
    step_frames,
    windows,
)
from cry_model.hub import find_checkpoint
from cry_model.sound import arrays, audio
from cry_model.sound.front_end_config import FrontEndConfig
from cry_model.sound.frontend import FrontEnd, resample


class CryDetector:
    """A fitted system with the label "cry" and another one, and the threshold between them.

    It scores windows of one and two seconds, each normalised in level on its own, so that a bang
    does not mask a faint cry. Thread-safe.
    """

    def __init__(self, model: nn.Module, config: CheckpointConfig, device: str = "cpu"):
        if CRY not in config.labels or config.detector is None:
            raise CheckpointError(
                "Not a detector: this checkpoint has no label 'cry' or no threshold."
            )
        if not isinstance(config.front_end, FrontEndConfig) or config.front_end.level != "piece":
            raise CheckpointError("Not a detector: this checkpoint does not level each window.")
        self.config, self.threshold = config, config.detector.threshold
        self.maybe = config.detector.maybe
        self.device = torch.device(device)
        self.model = model.eval().to(self.device)
        self.front_end = FrontEnd(config.front_end).eval().to(self.device)
        self.cry = config.labels.index(CRY)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike = DEFAULT_DETECTOR,
        revision: str | None = None,
        device: str = "cpu",
    ) -> CryDetector:
        """Load a checkpoint folder or a Hub repository, by default the bundled one; raise
        CheckpointError if it cannot be loaded, is no detector, or its output is not finite."""
        detector = cls(*load_checkpoint(find_checkpoint(name, revision)), device=device)
        try_out(detector._log_odds)
        return detector

    def _log_odds(self, recording: audio.Recording) -> list[float]:
        """Return the log odds of all windows; those of broken weights are not finite."""
        wave = self._brought(audio.load(recording))
        return np.concatenate(
            [self.score_windows(wave, n) for n in windows(self.config.front_end)]
        ).tolist()

    def _brought(self, recording: audio.Recording) -> arrays.Array:
        """Resample a recording to the front end's rate, (samples,), and remove mains hum."""
        rate = self.sample_rate
        wave = resample(recording.waveform.to(self.device), recording.sample_rate, rate, WIDTH)
        return arrays.without_hum(wave.cpu().numpy(), rate)

    @property
    def window_seconds(self) -> float:
        """Length of the longest window in seconds."""
        return self.config.front_end.piece_seconds

    @property
    def sample_rate(self) -> int:
        """Rate in Hz that recordings are resampled to."""
        return self.config.front_end.sample_rate

    def scan(self, recording: audio.Recording) -> DetectionScores:
        """Score a whole recording, of any length."""
        wave = self._brought(recording)
        score = partial(self.score_windows, wave)
        return detection_scores(self.config, score, len(wave), recording.duration)

    def probability(self, waveform: Tensor, sample_rate: int) -> float:
        """Return the probability of a cry at the end of (samples,), rate in Hz; 0 for silence."""
        last = waveform[-round(self.window_seconds * sample_rate) :]
        wave, c = self._brought(audio.Recording(last, sample_rate)), self.config.front_end
        odds = [float(self.score_windows(wave[-n * c.hop :], n)[-1]) for n in windows(c)]
        return float(torch.tensor(odds).mean().sigmoid().nan_to_num(0.0))

    @torch.inference_mode()
    def score_windows(self, wave: arrays.Array, frames: int) -> arrays.Array:
        """Score windows of ``frames`` over (samples,) at the front end's rate, one per step:
        (windows,) log odds of a cry, NaN where there is only silence."""
        c = self.config.front_end
        wave, silent = lay_out(wave, frames, c)
        # The spectrogram is computed once and sliced.
        power = self.front_end.mel_power(torch.from_numpy(wave).to(self.device))
        power = power.unfold(-1, frames, step_frames(c)).transpose(0, 1)
        answers = [
            log_odds(self.model(self.front_end.look(part)).float(), self.cry)
            for part in power.split(BATCH)
        ]
        return np.where(silent, np.float32(np.nan), torch.cat(answers).cpu().numpy())


def log_odds(logits: Tensor, label: int) -> Tensor:
    """Return the log odds of one label, (batch, classes) -> (batch,)."""
    found = logits.log_softmax(-1)
    others = torch.cat([found[:, :label], found[:, label + 1 :]], 1).logsumexp(1)
    return found[:, label] - others
