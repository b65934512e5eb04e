"""Detect whether a baby cries, and where: a small model that scores every window first."""

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
from cry_model.detection import BATCH, CRY, WIDTH, DetectionScores, by_step, step_frames, windows
from cry_model.detection import Span as Span
from cry_model.detection import clock as clock
from cry_model.hub import find_checkpoint
from cry_model.sound import arrays, audio
from cry_model.sound.frontend import FrontEnd, FrontEndConfig, resample


class CryDetector:
    """A fitted system with the labels "cry" and another one, and the threshold between them.

    It scores windows of one and of two seconds, each levelled on its own, so it hears a faint cry
    beside a bang. Safe to share between threads.
    """

    def __init__(self, model: nn.Module, config: CheckpointConfig, device: str = "cpu"):
        if CRY not in config.labels or config.detector is None:
            raise CheckpointError(
                "This checkpoint is no detector: it has no label 'cry' or threshold."
            )
        if not isinstance(config.front_end, FrontEndConfig) or config.front_end.level != "piece":
            raise CheckpointError("This checkpoint is no detector: it does not level each window.")
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
        CheckpointError if it cannot be loaded, is no detector, or gives no numbers."""
        detector = cls(*load_checkpoint(find_checkpoint(name, revision)), device=device)
        try_out(detector._log_odds)
        return detector

    def _log_odds(self, recording: audio.Recording) -> list[float]:
        """Return those of all windows: of broken weights they are no numbers."""
        wave = audio.load(recording).waveform
        wave = resample(wave, recording.sample_rate, self.sample_rate, WIDTH)
        with torch.inference_mode():
            model, front_end, wave = self.model, self.front_end, wave.to(self.device)
            lengths = windows(self.config.front_end)
            odds = [score_windows(model, front_end, wave, self.cry, n) for n in lengths]
        return torch.cat(odds).tolist()

    @property
    def window_seconds(self) -> float:
        """Seconds of the longest window."""
        return self.config.front_end.piece_seconds

    @property
    def sample_rate(self) -> int:
        """Hz, what a recording is brought to."""
        return self.config.front_end.sample_rate

    def scan(
        self, recording: audio.Recording, progress: Callable[[float], None] = lambda share: None
    ) -> DetectionScores:
        """Score a whole recording.

        Args:
            recording: of any length.
            progress: called with the share that is done.
        """
        wave = recording.waveform.to(self.device)
        with torch.inference_mode():
            wave = resample(wave, recording.sample_rate, self.sample_rate, WIDTH)
            found = detect(self.model, self.front_end, wave, self.cry, progress)
        return DetectionScores.of(self.config, found.tolist(), recording.duration)

    def probability(self, waveform: Tensor, sample_rate: int) -> float:
        """Of a cry at the end of (samples,) at ``sample_rate`` Hz; 0 for silence."""
        last = waveform[-round(self.window_seconds * sample_rate) :]
        with torch.inference_mode():
            wave = resample(last.to(self.device), sample_rate, self.sample_rate, WIDTH)
            return probability_now(self.model, self.front_end, wave, self.cry)


def without_hum(wave: Tensor, rate: int) -> Tensor:
    """See :func:`cry_model.sound.arrays.without_hum`."""
    return torch.from_numpy(arrays.without_hum(wave.cpu().numpy(), rate)).to(wave.device)


def score_windows(
    model: nn.Module,
    front_end: FrontEnd,
    wave: Tensor,
    label: int,
    frames: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """Score windows of ``frames`` over (samples,) at the front end's rate, a new one every step.

    The spectrogram is computed once and cut. A wave shorter than a window is repeated; the last
    window reaches the end, if need be beyond it.

    Returns:
        (windows,) log odds of ``label``, on the CPU; NaN where there is only silence.
    """
    c = front_end.config
    step, samples = step_frames(c), frames * c.hop
    if len(wave) < samples:
        wave = wave.repeat(math.ceil(samples / len(wave)))[:samples]
    count = max(1, math.ceil((len(wave) - samples) / (step * c.hop)) + 1)
    wave = pad(wave, (0, (count - 1) * step * c.hop + samples - len(wave)))
    power = front_end.mel_power(wave).unfold(-1, frames, step).transpose(0, 1)
    answers = []
    for begin in range(0, count, BATCH):
        logits = model(front_end.look(power[begin : begin + BATCH])).float().log_softmax(-1)
        others = torch.cat([logits[:, :label], logits[:, label + 1 :]], 1).logsumexp(1)
        answers.append(logits[:, label] - others)
        progress(min(1.0, (begin + BATCH) / count))
    loudest = max_pool1d(wave.abs().view(1, 1, -1), c.hop).view(-1).unfold(0, frames, step).amax(-1)
    silent = loudest < audio.SILENCE_PEAK
    return torch.cat(answers).masked_fill(silent, torch.nan).cpu()


def detect(
    model: nn.Module,
    front_end: FrontEnd,
    wave: Tensor,
    label: int,
    progress: Callable[[float], None] = lambda share: None,
) -> NDArray[np.float32]:
    """Return the probability of ``label`` in each step of (samples,), once the hum is off."""
    config = front_end.config
    wave = without_hum(wave, config.sample_rate)

    def score(frames: int, told: Callable[[float], None]) -> NDArray[np.float32]:
        return score_windows(model, front_end, wave, label, frames, told).numpy()

    return by_step(score, len(wave), config, progress)


def probability_now(model: nn.Module, front_end: FrontEnd, wave: Tensor, label: int) -> float:
    """Return the probability of ``label`` at the end of (samples,): of its last windows."""
    config = front_end.config
    wave, odds = without_hum(wave, config.sample_rate), []
    for frames in windows(config):
        last = wave[-frames * config.hop :]
        odds.append(score_windows(model, front_end, last, label, frames)[-1])
    return float(torch.stack(odds).mean().sigmoid().nan_to_num(0.0))
