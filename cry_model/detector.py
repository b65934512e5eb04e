"""Detect whether and where a baby cries, with a small model that scores sliding windows."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import max_pool1d, pad

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
    by_step,
    layout,
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
        with torch.inference_mode():
            wave = self._brought(audio.load(recording))
            odds = [self.score_windows(wave, n) for n in windows(self.config.front_end)]
        return torch.cat(odds).tolist()

    def _brought(self, recording: audio.Recording) -> Tensor:
        """Resample a recording to the front end's rate, (samples,), and remove mains hum."""
        rate = self.sample_rate
        wave = resample(recording.waveform.to(self.device), recording.sample_rate, rate, WIDTH)
        return torch.from_numpy(arrays.without_hum(wave.cpu().numpy(), rate)).to(self.device)

    @property
    def window_seconds(self) -> float:
        """Length of the longest window in seconds."""
        return self.config.front_end.piece_seconds

    @property
    def sample_rate(self) -> int:
        """Rate in Hz that recordings are resampled to."""
        return self.config.front_end.sample_rate

    def scan(
        self, recording: audio.Recording, progress: Callable[[float], None] = lambda share: None
    ) -> DetectionScores:
        """Score a whole recording.

        Args:
            recording: of any length.
            progress: called with the share done.
        """
        with torch.inference_mode():
            wave = self._brought(recording)

            def score(frames: int, told: Callable[[float], None]) -> NDArray[np.float32]:
                return self.score_windows(wave, frames, told).numpy()

            found = by_step(score, len(wave), self.config.front_end, progress)
        return DetectionScores.of(self.config, found.tolist(), recording.duration)

    def probability(self, waveform: Tensor, sample_rate: int) -> float:
        """Return the probability of a cry at the end of (samples,), rate in Hz; 0 for silence."""
        last = waveform[-round(self.window_seconds * sample_rate) :]
        with torch.inference_mode():
            wave, c = self._brought(audio.Recording(last, sample_rate)), self.config.front_end
            odds = [self.score_windows(wave[-n * c.hop :], n)[-1] for n in windows(c)]
            return float(torch.stack(odds).mean().sigmoid().nan_to_num(0.0))

    def score_windows(
        self, wave: Tensor, frames: int, progress: Callable[[float], None] = lambda share: None
    ) -> Tensor:
        """Score windows of ``frames`` over (samples,) at the front end's rate, one per step.

        The spectrogram is computed once and sliced. A wave shorter than a window is repeated; the
        last window reaches the end, zero-padded if necessary.

        Returns:
            (windows,) log odds of a cry, on the CPU; NaN where there is only silence.
        """
        c = self.config.front_end
        step, (count, covered) = step_frames(c), layout(len(wave), frames, c)
        if len(wave) < frames * c.hop:
            wave = wave.repeat(math.ceil(covered / len(wave)))[:covered]
        wave = pad(wave, (0, covered - len(wave)))
        power = self.front_end.mel_power(wave).unfold(-1, frames, step).transpose(0, 1)
        answers = []
        for begin in range(0, count, BATCH):
            features = self.front_end.look(power[begin : begin + BATCH])
            logits = self.model(features).float().log_softmax(-1)
            others = torch.cat([logits[:, : self.cry], logits[:, self.cry + 1 :]], 1).logsumexp(1)
            answers.append(logits[:, self.cry] - others)
            progress(min(1.0, (begin + BATCH) / count))
        hops = max_pool1d(wave.abs().view(1, 1, -1), c.hop).view(-1)
        silent = hops.unfold(0, frames, step).amax(-1) < audio.SILENCE_PEAK
        return torch.cat(answers).masked_fill(silent, torch.nan).cpu()
