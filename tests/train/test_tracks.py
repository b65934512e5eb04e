"""Tracks lie on the recording's own time, and gradient x input is what finite differences give."""

import numpy as np
import pytest
import torch
from torch import nn

import cry_model
from cry_model import CheckpointConfig, CryClassifier, FrontEndConfig, audio
from cry_model.attention import AttentionMaps
from train.onset_mass import mass_above_median, near, share
from train.tracks import GATE, GRADIENT, LOUDNESS, RISE, gradient_times_input, read_tracks, rise

LEADING = 2.371  # s of silence, which the front end trims
BURST = 6.213  # s
REFERENCES = {LOUDNESS, RISE}


class Ear(nn.Module):
    """Attends to what is loud: A_t and the logits are plain averages of the features."""

    def forward(self, features, return_attention=False):
        energy = features.square().mean(1)
        logits = torch.stack([energy.mean(-1), -energy.mean(-1)], dim=1)
        maps = AttentionMaps(temporal=(energy, 3 * energy))
        return (logits, maps) if return_attention else logits


@pytest.fixture(scope="module", params=[8_000, 44_100])
def recording(request):
    """Silence, then quiet noise to 12.9 s, and 20 ms of loud noise in its midst."""
    rate, rng = request.param, np.random.default_rng(0)
    times = np.arange(round(12.9 * rate)) / rate
    level = np.where(times < LEADING, 0.0, 0.02)
    level[np.abs(times - BURST) < 0.01] = 0.9
    wave = torch.from_numpy(level * rng.uniform(-1, 1, len(times))).float()
    return audio.Recording(wave, rate)


@pytest.fixture(scope="module")
def heard(recording):
    config = CheckpointConfig("ecapa-tdnn", ("a", "b"), FrontEndConfig())
    return read_tracks(CryClassifier(Ear(), config), recording)


def test_the_beginning_was_cut_off_and_there_are_several_pieces(heard):
    assert heard.clip.offset == pytest.approx(LEADING - 0.1, abs=0.05)
    assert len(heard.prediction.pieces) > 2
    assert heard.times[0] == pytest.approx(heard.clip.offset, abs=0.011)
    np.testing.assert_allclose(np.diff(heard.times), 0.02, atol=1e-5)


@pytest.mark.parametrize("name", ["gate_1", "gate_2", GATE, GRADIENT, LOUDNESS, RISE])
def test_what_is_loud_is_found_at_its_true_second(heard, name):
    track = heard.values[name]
    assert track.shape == heard.times.shape
    # The window of 40 ms begins to hear it 30 ms before its middle; "rise" is where it does.
    assert heard.times[track.argmax()] == pytest.approx(BURST, abs=0.035)
    begins = np.array([LEADING, BURST] if name == RISE else [BURST])
    loud = np.where(track > track.max() / 2, track, 0)
    assert share(mass_above_median(loud), near(heard.times, begins, 0.045)) == 1.0


def test_the_gate_is_the_mean_of_the_blocks(heard):
    expected = (heard.values["gate_1"] + heard.values["gate_2"]) / 2
    np.testing.assert_allclose(heard.values[GATE], expected, rtol=1e-6)


def test_a_system_without_gates_has_the_stand_in_alone(recording):
    config = CheckpointConfig(
        "improved-ecapa-tdnn-no-rse", ("a", "b"), FrontEndConfig(), {"channels": 8}
    )
    values = read_tracks(CryClassifier(config.build(), config), recording).values
    assert set(values) == {GRADIENT} | REFERENCES


@pytest.mark.parametrize("system", ["improved-ecapa-tdnn", "improved-ecapa-tdnn-no-rse"])
def test_gradient_times_input_is_what_finite_differences_give(system):
    """Scaling a frame by 1 + s changes the logit by s times the sum over its bands."""
    torch.manual_seed(0)
    model = cry_model.build_model(system, 3, 5, channels=8).double().eval()
    features = torch.rand(2, 5, 24, dtype=torch.float64)
    found = gradient_times_input(model, features, label=1)
    assert found.shape == (2, 24)
    step = 1e-6
    for frame in range(24):
        scale = torch.ones(24, dtype=torch.float64)
        scale[frame] += step
        with torch.no_grad():
            more = model(features * scale)[:, 1]
            less = model(features * (2 - scale))[:, 1]
        expected = ((more - less) / (2 * step)).abs()
        np.testing.assert_allclose(found[:, frame], expected, rtol=1e-4, atol=1e-9)


def test_rise_counts_only_what_gets_louder_and_nothing_below_the_floor():
    power = np.array([1e-9, 1e-6, 1e-2, 1.0, 0.1, 10.0])
    np.testing.assert_allclose(rise(power, -40.0), [0, 0, 20, 20, 0, 20], atol=1e-9)
