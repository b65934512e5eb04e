"""Test audible explanations with two tones, only one of which a toy model responds to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cry_model import CheckpointConfig, CryClassifier, Recording
from cry_model.classifier import pieces_of
from cry_model.detection import Span
from cry_model.explanation import (
    DIM_DB,
    explain,
    gradient_times_input,
    spectral_attention,
    temporal_attention,
)
from cry_model.networks.attention import AttentionMaps
from cry_model.sound.front_end_config import FrontEndConfig

CONFIG = FrontEndConfig()
RATE, LOW, HIGH = 16_000, 700.0, 2400.0  # Hz
BETWEEN = 1500.0  # Hz


class Listening(torch.nn.Module):
    """Score "yes" by the level above 1500 Hz; temporal attention lies on the second half."""

    def __init__(self):
        super().__init__()
        self.register_buffer("heard", torch.from_numpy(CONFIG.band_hz > BETWEEN).float())

    def forward(self, features, return_attention=False):
        loud = (features.transpose(1, 2) @ self.heard).mean(-1) / self.heard.sum()
        logits = torch.stack([3 * loud, torch.zeros_like(loud)], -1)
        gate = (torch.arange(features.shape[-1]) > features.shape[-1] // 2).float()
        heard = self.heard.unsqueeze(1).expand_as(features)
        maps = AttentionMaps(temporal=(gate.expand(len(features), -1),), spectral=heard)
        return (logits, maps) if return_attention else logits


@pytest.fixture(scope="module")
def listening():
    return CryClassifier(Listening(), CheckpointConfig("ecapa-tdnn", ("yes", "no"), CONFIG))


@pytest.fixture(scope="module")
def whole():
    """Return 2 s of a low tone, then 2 s of a high one, in faint noise."""
    t = np.arange(4 * RATE) / RATE
    wave = 0.3 * np.sin(2 * np.pi * np.where(t < 2, LOW, HIGH) * t)
    wave += 0.001 * np.random.default_rng(0).standard_normal(len(t))
    return Recording(torch.from_numpy(wave.astype(np.float32)), RATE)


def decibels(sound, hz):
    """Return the power within 50 Hz of a tone in dB, by one FFT of the whole sound."""
    power = np.abs(np.fft.rfft(sound.waveform.numpy())) ** 2
    at = np.fft.rfftfreq(len(sound.waveform), 1 / sound.sample_rate)
    return 10 * np.log10(power[abs(at - hz) < 50].sum())


def test_only_the_relevant_tone_keeps_its_level(listening, whole):
    found = explain(listening, whole)
    for part, same, dimmed in ((found.kept, HIGH, LOW), (found.removed, LOW, HIGH)):
        assert decibels(part.sound, same) == pytest.approx(decibels(whole, same), abs=1)
        lost = decibels(whole, dimmed) - decibels(part.sound, dimmed)
        assert lost == pytest.approx(DIM_DB, abs=2)
    assert found.label == "yes"
    assert found.removed.probability < found.probability - 0.02
    assert found.kept.probability > found.elsewhere
    together = found.kept.sound.waveform + found.removed.sound.waveform
    expected = (1 + 10 ** (-DIM_DB / 20)) * whole.waveform
    torch.testing.assert_close(together, expected, atol=1e-5, rtol=1e-4)


def test_sound_outside_the_explained_span_is_dimmed(listening, whole):
    found = explain(listening, whole, Span(2.2, 3.2))
    assert decibels(found.kept.sound, LOW) == pytest.approx(decibels(whole, LOW) - DIM_DB, abs=1)
    before = slice(0, round(0.8 * RATE))  # the span is widened to 3 s, the minimum
    torch.testing.assert_close(found.removed.sound.waveform[before], whole.waveform[before])


def test_spectral_attention_keeps_the_relevant_band(listening, whole):
    kept = explain(listening, whole, relevance=spectral_attention).kept.sound
    assert decibels(kept, LOW) == pytest.approx(decibels(whole, LOW) - DIM_DB, abs=1)
    assert decibels(kept, HIGH) > decibels(whole, HIGH) - DIM_DB / 2  # over 1/4 of its power


def test_temporal_attention_keeps_the_relevant_half(listening, whole):
    kept = explain(listening, whole, relevance=temporal_attention).kept.sound.waveform
    left = (kept.square() / whole.waveform.square().mean()).reshape(4, -1).mean(1)
    assert left[:2].max() < 0.1
    assert left[2:].max() > 0.9


@pytest.mark.parametrize(
    "changes",
    [{}, {"level": "piece"}, {"kind": "pcen"}, {"kind": "mfcc", "num_bands": 13}],
    ids=str,
)
def test_relevance_sums_to_the_derivative_towards_the_floor(changes, whole):
    config = replace(CONFIG, **changes)
    torch.manual_seed(0)
    settings = CheckpointConfig("ecapa-tdnn", ("a", "b"), config)
    classifier = CryClassifier(settings.build().double(), settings)
    front_end = classifier.front_end.double()
    sound = Recording(whole.waveform.double(), RATE)
    ((_, pieces),) = pieces_of(front_end, sound, (Span(0, 4),))
    relevance = gradient_times_input(classifier, pieces, 1)
    power = front_end.mel_power(pieces.waveforms)
    floor = 10 ** (config.floor_db / 10)
    if config.level == "piece":
        floor = floor * front_end.loudness(power)
    above = (power / floor).clamp_min(1)

    def asked(step):
        with torch.no_grad():
            logits = classifier.model(front_end.look(power * above**-step))
            return float(logits.log_softmax(-1)[:, 1].sum())

    slope = (asked(1e-6) - asked(-1e-6)) / 2e-6
    assert float(relevance.sum()) == pytest.approx(-slope, rel=1e-3, abs=1e-6)
