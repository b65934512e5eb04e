"""Check the data in the figures against numbers computed from the sound or the prediction."""

import re

import numpy as np
import pytest
import torch

from analysis.benchmark import draw
from analysis.figures import attention
from analysis.figures.attention import NAMES, SHOWN, contributions_figure, describe_contributions
from analysis.figures.sound import describe_sound, thin
from analysis.sound import compute_display, envelope, mel_spectrogram
from analysis.tabs.cards import explained_cards, sound_cards
from cry_model import Recording
from cry_model.networks.feature_mlp import INPUTS
from cry_model.sound import audio
from cry_model.sound.front_end_config import FEATURES, FrontEndConfig, cut


@pytest.fixture(scope="module")
def rhythmic(examples):
    return examples / "synthetic_rhythmic.wav"


@pytest.fixture(scope="module")
def by_network(improved, rhythmic):
    return improved.predict(rhythmic)


@pytest.fixture(scope="module")
def by_features(six, rhythmic):
    return six[1].classifier.predict(rhythmic)


@pytest.mark.parametrize(("hz", "rate"), [(300, 8000), (1000, 16000), (3000, 44100)])
def test_spectrogram_shows_a_tone_at_its_frequency(tone, hz, rate):
    spectrogram = mel_spectrogram(Recording(tone(hz, 2, rate), rate))
    loudest = spectrogram.hz[spectrogram.decibels.mean(1).argmax()]
    assert loudest == pytest.approx(hz, rel=0.08)
    assert spectrogram.times[-1] == pytest.approx(2, abs=0.05)


def test_envelope_keeps_every_peak(tone):
    wave = tone(500, 20, 16000)
    wave[12345] = 0.9
    drawn = envelope(Recording(wave, 16000))
    assert drawn.high.max() == pytest.approx(0.9, abs=1e-3)
    assert drawn.times[drawn.high.argmax()] == pytest.approx(12345 / 16000, abs=0.03)
    assert drawn.low.min() == pytest.approx(float(wave.min()), abs=1e-3)


def test_short_burst_in_a_long_recording_stays_visible(tone):
    rate = 44100
    wave = 1e-3 * torch.randn(300 * rate)
    wave[200 * rate : 200 * rate + rate // 20] = tone(1000, 0.05, rate)[: rate // 20]
    spectrogram = mel_spectrogram(Recording(wave, rate))
    assert spectrogram.decibels.shape[1] <= 900
    loudest = spectrogram.times[spectrogram.decibels.max(0).argmax()]
    assert loudest == pytest.approx(200, abs=0.5)


def test_every_system_has_its_figures_with_descriptions(answered):
    recording, prediction = answered
    maps, display = prediction.attention, compute_display(recording)
    cards = [*sound_cards(display, prediction, FrontEndConfig()), *explained_cards(prediction)]
    shown = {card.name: card for card in cards}
    expected = {
        "sound": True,
        "spectral": maps.spectral is not None,
        "feature": prediction.system == "feature-mlp",
        "map": bool(maps.temporal),
        "branch": bool(maps.multi_scale),
        "differential": maps.differential is not None,
    }
    assert set(shown) == {name for name, there in expected.items() if there}
    assert all(card.title and "\n\n" in card.note for card in shown.values())
    assert len(draw(recording, prediction, FrontEndConfig())) == len(shown)
    rows = {axis for axis in shown["sound"].figure.layout if "yaxis" in axis}
    assert len(rows) == (3 if maps.temporal else 2)
    found = re.search(r"A recording of 8.0 s.* near (\d+) Hz", describe_sound(display, prediction))
    assert float(found[1]) == pytest.approx(700, rel=0.08)


def test_attention_map_is_the_outer_product_sorted_by_channel(improved, tone):
    prediction = improved.predict(tone(600, 4, 8000), 8000)  # a single piece
    maps = prediction.attention
    _, weights = attention.time_channel_map(prediction, 1)
    a_c = np.sort(maps.channel[1][0].numpy())[::-1]
    expected = np.outer(a_c, maps.temporal[1][0].numpy())
    assert weights.shape == expected.shape == (128, 200)
    np.testing.assert_allclose(weights.numpy(), expected, atol=1e-6)


NAN = np.nan
GAPS = [0, 1, 2, 10, 11]


@pytest.mark.parametrize(
    ("frames", "columns", "kept", "means"),
    [
        (range(4), 20, [0, 1, 2, 3], [0, 10, 20, 30]),
        (range(11), 5, [0, 3, 6], [10, 40, 70]),  # an incomplete last group is dropped
        (GAPS, 6, [0, 2, 4, 6, 8, 10], [5, 20, NAN, NAN, NAN, 105]),
    ],
)
def test_thinning_averages_neighbours_and_keeps_gaps(frames, columns, kept, means):
    frames = torch.tensor([*frames])
    times, track = thin(frames / 50, torch.stack([10.0 * frames, -10.0 * frames]), columns, 1 / 50)
    np.testing.assert_allclose(50 * times, kept, atol=1e-4)
    np.testing.assert_allclose(track, [means, np.negative(means)])


def test_branch_shares_sum_to_a_hundred(by_network):
    figure = attention.multi_scale_figure(by_network)
    np.testing.assert_allclose(np.sum([bar.x for bar in figure.data], axis=0), 100, atol=0.3)
    assert len(figure.data[0].x) == 6
    spans = [bar.customdata[0] for bar in figure.data]
    assert spans == pytest.approx([100, 180, 260, 60])  # ms; block 1 has dilation 2


def test_differential_attention_uses_the_learnt_lambda(by_network):
    first, second, difference = (d.z for d in attention.differential_figure(by_network).data)
    weight = float(by_network.attention.differential_lambda)
    np.testing.assert_allclose(difference, first - weight * second, atol=2e-3)
    np.testing.assert_allclose(first.sum(1), 1, atol=5e-3)


def test_contributions_sum_to_the_gain_over_average_features(six, by_features, rhythmic):
    """Compare with log-probabilities of the input and of average features, which are zeros."""
    model, figure = six[1].classifier, contributions_figure(by_features)
    (bars,) = figure.data
    clip = model.front_end.prepare(audio.load(rhythmic))
    with torch.inference_mode():
        inputs = model.model.inputs(model.front_end(cut(clip, model.front_end.config).waveforms))
        here, average = model.model.log_probabilities(torch.cat([inputs, 0 * inputs]))
    label = model.labels.index(by_features.label)
    gain = float(here[label] - average[label])
    assert sum(bars.x) == pytest.approx(gain, abs=0.01)
    total = f"{gain:+.2f}".replace("-", "−")
    assert f"All together {total} " in describe_contributions(by_features)
    assert by_features.label in figure.layout.xaxis.title.text


def test_largest_contributions_come_first_with_feature_values(by_features):
    (bars,), acoustic = contributions_figure(by_features).data, by_features.acoustic
    ranked = sorted(acoustic.contributions.items(), key=lambda item: -abs(item[1]))
    np.testing.assert_allclose(bars.x[:-1], [amount for _, amount in ranked[:SHOWN]], atol=1e-4)
    assert bars.y[-1].startswith(f"{len(INPUTS) - SHOWN} others")
    assert [colour == "#009E73" for colour in bars.marker.color] == [x > 0 for x in bars.x]
    name, _, value = bars.customdata[0].partition(": ")
    assert name == NAMES[ranked[0][0]].full
    shown = float(value.split()[0].replace(",", ""))
    assert shown == pytest.approx(acoustic.features[ranked[0][0]], rel=0.01)


def test_every_feature_has_a_unique_name():
    assert set(NAMES) == set(FEATURES)
    assert len({name.full for name in NAMES.values()}) == len(FEATURES)
