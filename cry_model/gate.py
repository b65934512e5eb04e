"""Whether a baby cries at all, and where: a small system that hears everything first."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d, pad

from cry_model import audio
from cry_model.checkpoint import ASSETS, load_checkpoint, try_out
from cry_model.config import CheckpointConfig, CheckpointError
from cry_model.cry_track import CryTrack
from cry_model.features import FrontEnd, FrontEndConfig, resample
from cry_model.hub import find_checkpoint

DEFAULT_GATE = ASSETS / "gate-ecapa-tdnn"
"""The bundled gate."""
CRY = "cry"  # the label
WIDTH = 16  # zero crossings of the resampling filter: nothing near the cut-off is heard
BATCH = 256  # looks
HUM_HZ = (50, 60, 100, 120, 150, 180, 200, 240)  # of the mains and its overtones, below any cry
HUM_WIDTH, HUM_EDGE = 1.0, 2.0  # Hz to either side that are gone, and that rise to all


class CryGate:
    """A fitted system with the labels "cry" and another one, and the threshold between them.

    It looks at two seconds of a recording at a time, each levelled on its own, so it hears a
    faint cry beside a bang. Safe to share between threads.
    """

    def __init__(self, model: nn.Module, config: CheckpointConfig, device: str = "cpu"):
        if CRY not in config.labels or config.gate is None:
            raise CheckpointError("This checkpoint is no gate: it has no label 'cry' or threshold.")
        if not isinstance(config.front_end, FrontEndConfig) or config.front_end.level != "piece":
            raise CheckpointError("This checkpoint is no gate: it does not level each look.")
        self.config, self.threshold = config, config.gate.threshold
        self.device = torch.device(device)
        self.model = model.eval().to(self.device)
        self.front_end = FrontEnd(config.front_end).eval().to(self.device)
        self.cry = config.labels.index(CRY)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike = DEFAULT_GATE,
        revision: str | None = None,
        device: str = "cpu",
    ) -> CryGate:
        """Loads a checkpoint folder or a Hub repository, by default the bundled one.

        Raises:
            CheckpointError: if it cannot be loaded, is no gate, or gives no numbers.
        """
        gate = cls(*load_checkpoint(find_checkpoint(name, revision)), device=device)
        try_out(lambda sound: gate.scan(sound).probabilities)
        return gate

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
    ) -> CryTrack:
        """Looks at a whole recording, a new look every half second.

        Args:
            recording: of any length.
            progress: called with the share that is done.
        """
        wave = recording.waveform.to(self.device)
        with torch.inference_mode():
            wave = resample(wave, recording.sample_rate, self.sample_rate, WIDTH)
            starts, probabilities = look_at(self.model, self.front_end, wave, self.cry, progress)
        return CryTrack(
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
            return float(look_at(self.model, self.front_end, wave, self.cry)[1].max())


def without_hum(wave: Tensor, rate: int) -> Tensor:
    """(samples,) with a notch at each of ``HUM_HZ``, zero-phase.

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


def look_at(
    model: nn.Module,
    front_end: FrontEnd,
    wave: Tensor,
    label: int,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[list[float], Tensor]:
    """Looks at (samples,) at the front end's rate, in steps that its overlap tells.

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
