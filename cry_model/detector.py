"""Detect whether a baby cries, and where: a small model that scores every window first."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d, pad

from cry_model import audio
from cry_model.checkpoint import ASSETS, CheckpointConfig, CheckpointError, load_checkpoint, try_out
from cry_model.frontend import FrontEnd, FrontEndConfig, resample
from cry_model.hub import find_checkpoint


def clock(seconds: float) -> str:
    """Minutes, seconds and tenths: 75.25 -> "1:15.3"."""
    tenths = math.floor(10 * seconds + 0.5)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds from its beginning."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True)
class DetectionScores:
    """What the detector made of one recording, look by look.

    Attributes:
        starts: seconds, one a look, a constant step apart.
        seconds: length of a look.
        probabilities: of a baby crying, one a look.
        duration: seconds of the recording.
        threshold: at and above it the detector hears a cry.
    """

    starts: tuple[float, ...]
    seconds: float
    probabilities: tuple[float, ...]
    duration: float
    threshold: float

    KEEP = 0.75  # of the threshold: a cry does not end where it is a little less sure
    MERGE = 1.5  # s: a pause for breath does not end a cry

    @property
    def step(self) -> float:
        """Seconds from one look to the next; a recording of a single look is one step."""
        return self.starts[1] - self.starts[0] if len(self.starts) > 1 else self.duration

    @cached_property
    def cells(self) -> Tensor:
        """The probability over time, (cells,): cell i begins at ``i * step``.

        The mean over the looks that cover a cell, so that one look alone does not make a cry in
        the midst of a recording, and the edges of a cry lie where half of the looks hear it.
        """
        values = torch.tensor(self.probabilities)
        if len(values) == 1:
            return values
        width = max(1, round(self.seconds / self.step))
        total = torch.zeros(len(values) + width - 1)
        count = torch.zeros_like(total)
        for shift in range(width):
            total[shift : shift + len(values)] += values
            count[shift : shift + len(values)] += 1
        return total / count

    @property
    def score(self) -> float:
        """The probability that there is a cry anywhere: that of the likeliest cell."""
        return float(self.cells.max())

    @property
    def is_cry(self) -> bool:
        """Whether that reaches the threshold: then, and only then, there are :attr:`spans`."""
        return self.score >= self.threshold

    @property
    def spans(self) -> tuple[Span, ...]:
        """The cries in order; those with less than :attr:`MERGE` between them are one.

        A cry has to reach the threshold, and lasts while it stays above :attr:`KEEP` of it.
        """
        lasting = [
            (i, v) for i, v in enumerate(self.cells.tolist()) if v >= self.KEEP * self.threshold
        ]
        found: list[tuple[Span, float]] = []
        for cell, value in lasting:
            start, end = cell * self.step, min((cell + 1) * self.step, self.duration)
            if found and start - found[-1][0].end < self.MERGE:
                before, peak = found[-1]
                found[-1] = (Span(before.start, end), max(peak, value))
            else:
                found.append((Span(start, end), value))
        return tuple(span for span, peak in found if peak >= self.threshold)

    def peak(self, span: Span) -> float:
        """Return the greatest probability within a span."""
        first = round(span.start / self.step)
        last = max(first + 1, round(span.end / self.step))
        return float(self.cells[first:last].max())


DEFAULT_DETECTOR = ASSETS / "detector-ecapa-tdnn"
"""The bundled detector."""
CRY = "cry"  # the label
WIDTH = 16  # zero crossings of the resampling filter: nothing near the cut-off is heard
BATCH = 256  # looks
HUM_HZ = (50, 60, 100, 120, 150, 180, 200, 240)  # of the mains and its overtones, below any cry
HUM_WIDTH, HUM_EDGE = 1.0, 2.0  # Hz to either side that are gone, and that rise to all


class CryDetector:
    """A fitted system with the labels "cry" and another one, and the threshold between them.

    It looks at two seconds of a recording at a time, each levelled on its own, so it hears a
    faint cry beside a bang. Safe to share between threads.
    """

    def __init__(self, model: nn.Module, config: CheckpointConfig, device: str = "cpu"):
        if CRY not in config.labels or config.detector is None:
            raise CheckpointError(
                "This checkpoint is no detector: it has no label 'cry' or threshold."
            )
        if not isinstance(config.front_end, FrontEndConfig) or config.front_end.level != "piece":
            raise CheckpointError("This checkpoint is no detector: it does not level each look.")
        self.config, self.threshold = config, config.detector.threshold
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
        """Load a checkpoint folder or a Hub repository, by default the bundled one.

        Raises:
            CheckpointError: if it cannot be loaded, is no detector, or gives no numbers.
        """
        detector = cls(*load_checkpoint(find_checkpoint(name, revision)), device=device)
        try_out(lambda sound: detector.scan(sound).probabilities)
        return detector

    @property
    def window_seconds(self) -> float:
        """What one look takes."""
        return self.config.front_end.piece_seconds

    @property
    def sample_rate(self) -> int:
        """Hz, what a recording is brought to."""
        return self.config.front_end.sample_rate

    def scan(
        self,
        recording: audio.Recording,
        progress: Callable[[float], None] = lambda share: None,
    ) -> DetectionScores:
        """Look at a whole recording, a new look every half second.

        Args:
            recording: of any length.
            progress: called with the share that is done.
        """
        wave = recording.waveform.to(self.device)
        with torch.inference_mode():
            wave = resample(wave, recording.sample_rate, self.sample_rate, WIDTH)
            starts, probabilities = score_windows(
                self.model, self.front_end, wave, self.cry, progress
            )
        return DetectionScores(
            tuple(starts),
            self.window_seconds,
            tuple(probabilities.tolist()),
            recording.duration,
            self.threshold,
        )

    def probability(self, waveform: Tensor, sample_rate: int) -> float:
        """Of a cry in the last look of (samples,) at ``sample_rate`` Hz; 0 for silence."""
        last = waveform[-round(self.window_seconds * sample_rate) :]
        with torch.inference_mode():
            wave = resample(last.to(self.device), sample_rate, self.sample_rate, WIDTH)
            return float(score_windows(self.model, self.front_end, wave, self.cry)[1].max())


def without_hum(wave: Tensor, rate: int) -> Tensor:
    """Return (samples,) with a notch at each of ``HUM_HZ``, zero-phase.

    A high-pass would leave bands emptier than any that the system was fitted on, and did worse.
    """
    padded = math.ceil((len(wave) + rate / 2) / 4096) * 4096  # as in features.band_pass
    spectrum = torch.fft.rfft(wave, n=padded)
    low = spectrum[: math.ceil((HUM_HZ[-1] + HUM_WIDTH + HUM_EDGE) / rate * padded)]
    hz = torch.arange(len(low), device=wave.device) * (rate / padded)
    distance = (hz.unsqueeze(1) - torch.tensor(HUM_HZ, device=wave.device)).abs().amin(1)
    rise = ((distance - HUM_WIDTH) / HUM_EDGE).clamp(0, 1)
    low *= 0.5 - 0.5 * torch.cos(math.pi * rise)
    return torch.fft.irfft(spectrum, n=padded)[: len(wave)]


def score_windows(
    model: nn.Module,
    front_end: FrontEnd,
    wave: Tensor,
    label: int,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[list[float], Tensor]:
    """Look at (samples,) at the front end's rate, in steps that its overlap tells.

    The hum of the mains is taken off. The spectrogram is computed once and cut. A wave shorter
    than a look is repeated.

    Returns:
        starts: seconds, one a look; the last look reaches the end, if need be beyond it.
        probabilities: (looks,) of ``label``, on the CPU; 0 where there is only silence.
    """
    c = front_end.config
    length = round(c.piece_seconds * c.sample_rate) // c.hop  # frames
    step = max(1, round(length * (1 - c.overlap)))
    samples = length * c.hop
    wave = without_hum(wave, c.sample_rate)
    if len(wave) < samples:
        wave = wave.repeat(math.ceil(samples / len(wave)))[:samples]
    count = max(1, math.ceil((len(wave) - samples) / (step * c.hop)) + 1)
    wave = pad(wave, (0, (count - 1) * step * c.hop + samples - len(wave)))
    looks = front_end.mel_power(wave).unfold(-1, length, step).transpose(0, 1)
    answers = []
    for begin in range(0, count, BATCH):
        answers.append(model(front_end.look(looks[begin : begin + BATCH])).float().softmax(-1))
        progress(min(1.0, (begin + BATCH) / count))
    loudest = max_pool1d(wave.abs().view(1, 1, -1), c.hop).view(-1).unfold(0, length, step).amax(-1)
    probabilities = torch.cat(answers)[:, label] * (loudest >= audio.SILENCE_PEAK)
    return [i * step * c.hop / c.sample_rate for i in range(count)], probabilities.cpu()
