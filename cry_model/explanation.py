"""Make the evidence for an answer audible: mask the recording to it, and classify again.

A relevance map over bands and time is thresholded to its highest cells. Dimming all other cells of
the recording's spectrogram gives one sound, dimming these cells another. Their new probabilities,
and that of keeping as many cells elsewhere, show whether the map is faithful.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cry_model.classifier import CryClassifier, pieces_of
from cry_model.detection import Span
from cry_model.networks.attention import AttentionMaps
from cry_model.prediction import over_time
from cry_model.sound.audio import AudioError, Recording, load
from cry_model.sound.front_end_config import FrontEndConfig, Pieces
from cry_model.sound.frontend import FrontEnd, resample, torchaudio

SHARE = 0.25  # of the cells with sound: the share kept
DIM_DB = 12.0  # attenuation of the rest; muted, it would be out of distribution
SMOOTHING = 3  # cells in each dimension; single gradient cells are mostly noise
WINDOW_SECONDS = 0.04  # of the masked spectrogram, as in the front end
RATE = 16_000  # Hz, maximum for playback

Relevance: TypeAlias = "Callable[[CryClassifier, Pieces, int], Tensor]"
"""Classifier, pieces and label index -> (pieces, bands, frames), higher where more relevant."""


class NotExplainedError(TypeError):
    """This model's answer cannot be attributed to the sound."""


@dataclass(frozen=True)
class Part:
    """A recording with a part of it dimmed, and the label's probability for it.

    ``probability`` is None if the front end's band is silent.
    """

    sound: Recording
    probability: float | None


@dataclass(frozen=True)
class Explanation:
    """The evidence for an answer.

    Attributes:
        label: the explained label.
        probability: of the whole.
        kept: all but the most relevant cells dimmed.
        removed: the most relevant cells dimmed.
        elsewhere: the probability with as many cells kept at another pitch and time.
    """

    label: str
    probability: float
    kept: Part
    removed: Part
    elsewhere: float | None


def gradient_times_input(classifier: CryClassifier, pieces: Pieces, label: int) -> Tensor:
    """Return d log p / d log power times the height of each cell above the floor, in nats.

    To first order, it is the drop in the label's log p if a cell falls to the floor. Source:
    Shrikumar et al. 2016, "Not just a black box", for gradient times input.
    """
    front_end, config = classifier.front_end, classifier.config.front_end
    power = front_end.mel_power(torch.as_tensor(pieces.waveforms)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(
        classifier.model(front_end.look(power)).log_softmax(-1)[:, label].sum(), power
    )
    power = power.detach()
    floor = 10 ** (config.floor_db / 10)
    if config.level == "piece":
        floor = floor * front_end.loudness(power)
    return gradient * power * (power / floor).clamp_min(1).log()


def temporal_attention(classifier: CryClassifier, pieces: Pieces, label: int) -> Tensor:
    """Return the mean of A_t over the blocks, the same for all bands; raise NotExplainedError if
    the model has none."""
    power, maps = _maps(classifier, pieces)
    if not maps.temporal:
        raise NotExplainedError("This model has no temporal attention.")
    return torch.stack(maps.temporal).mean(0).unsqueeze(1).expand_as(power)


def spectral_attention(classifier: CryClassifier, pieces: Pieces, label: int) -> Tensor:
    """Return the gate M of the hybrid system; raise NotExplainedError if the model has none."""
    power, maps = _maps(classifier, pieces)
    if maps.spectral is None or not len(classifier.config.front_end.band_hz):
        raise NotExplainedError("This model has no attention over mel bands.")
    return maps.spectral[:, : power.shape[1]]


def _maps(classifier: CryClassifier, pieces: Pieces) -> tuple[Tensor, AttentionMaps]:
    """Return the mel power (pieces, bands, frames), and the model's attention maps for it."""
    power = classifier.front_end.mel_power(torch.as_tensor(pieces.waveforms))
    with torch.no_grad():
        _, maps = classifier.model(classifier.front_end.look(power), return_attention=True)
    return power, maps


def explain(
    classifier: CryClassifier,
    recording: Recording,
    span: Span | None = None,
    relevance: Relevance = gradient_times_input,
) -> Explanation:
    """Explain the most probable label of one stretch of a recording, by default all of it.

    The classifier is on torch and the CPU, with a front end of bands; else raise NotExplainedError.
    Raise AudioError if the recording cannot be used.
    """
    front_end = classifier.front_end
    if not isinstance(front_end, FrontEnd):
        raise NotExplainedError(
            "Only torch models that take bands can be explained; please choose another."
        )
    recording = load(recording)
    if recording.sample_rate > RATE:
        recording = Recording(resample(recording.waveform, recording.sample_rate, RATE), RATE)
    span = span or Span(0.0, recording.duration)
    ((_, pieces),) = pieces_of(front_end, recording, (span,))
    shares = classifier.probabilities(recording, span)
    label = max(shares, key=shares.__getitem__)
    cells = relevance(classifier, pieces, classifier.labels.index(label))
    places = [(start, pieces.seconds) for start in pieces.starts]
    hop = front_end.config.hop_seconds
    heard = over_time(cells, places, hop, math.ceil(recording.duration / hop) + 1)
    chosen = highest(heard)

    left = 10 ** (-DIM_DB / 20)

    def part(cells: Tensor, is_kept: bool) -> Part:
        whole = recording.waveform
        inside = masked(recording, cells, front_end.config).waveform
        wave = left * whole + (1 - left) * (inside if is_kept else whole - inside)
        sound = Recording(wave, recording.sample_rate)
        try:
            return Part(sound, classifier.probabilities(sound, span)[label])
        except AudioError:  # silent in the front end's band
            return Part(sound, None)

    kept, removed = part(chosen, True), part(chosen, False)
    elsewhere = part(moved(chosen, heard), True).probability
    return Explanation(label, shares[label], kept, removed, elsewhere)


def highest(heard: Tensor) -> Tensor:
    """Return 1 for the :data:`SHARE` of the known cells of (bands, frames) with the highest
    smoothed relevance, or fewer if fewer are above 0; 0 elsewhere."""
    known = ~heard.isnan()
    smooth = avg_pool2d(heard.nan_to_num(0.0)[None], SMOOTHING, 1, SMOOTHING // 2)[0]
    smooth = smooth.masked_fill(~known, -math.inf)
    count = max(1, round(SHARE * int(known.sum())))
    least = smooth.flatten().topk(count).values[-1]
    return ((smooth >= least) & (smooth > 0)).float()


def moved(chosen: Tensor, heard: Tensor) -> Tensor:
    """Shift a mask cyclically, by half of the bands and half of the known frames."""
    frames = (~heard[0].isnan()).nonzero().squeeze(1)
    there, by = torch.zeros_like(chosen), (len(chosen) // 2, len(frames) // 2)
    there[:, frames] = chosen[:, frames].roll(by, dims=(0, 1))
    return there


def masked(recording: Recording, cells: Tensor, config: FrontEndConfig) -> Recording:
    """Apply a mask (bands, frames) over the front end's mel bands to a recording."""
    wave, rate = recording.waveform, recording.sample_rate
    fft = 2 ** round(math.log2(WINDOW_SECONDS * rate))
    window = torch.hann_window(fft, device=wave.device)
    spectrum = torch.stft(wave, fft, fft // 4, window=window, return_complex=True)
    gain = _to_bins(cells, config, rate, fft)
    times = torch.arange(spectrum.shape[1]) * (fft // 4) / rate / config.hop_seconds
    before = times.floor().long().clamp_max(cells.shape[1] - 1)
    after, share = (before + 1).clamp_max(cells.shape[1] - 1), times - times.floor()
    gain = gain[:, before] * (1 - share) + gain[:, after] * share
    found = torch.istft(spectrum * gain, fft, fft // 4, window=window, length=len(wave))
    return Recording(found, rate)


def _to_bins(cells: Tensor, config: FrontEndConfig, rate: int, fft: int) -> Tensor:
    """Map a mask over mel bands (bands, frames) to frequency bins, (fft / 2 + 1, frames)."""
    filters = torchaudio.functional.melscale_fbanks(
        fft // 2 + 1, config.low_hz, min(config.high_hz, rate / 2), config.num_filters, rate
    )  # (bins, bands)
    total = filters.sum(1, keepdim=True)
    return (filters @ cells) / torch.where(total > 0, total, 1.0)
