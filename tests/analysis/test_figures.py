"""What the figures draw, against the numbers that they should show."""

import base64
import csv
import io
import json
import re
import time

import numpy as np
import pytest
import torch

import cry_model
from analysis import attention_figures as attention
from analysis.answer import answer_html, pieces_csv
from analysis.benchmark import draw, run_benchmark
from analysis.classify_tab import classify, forget, show
from analysis.sound_figure import describe_sound, envelope, mel_spectrogram, sound_figure
from analysis.tracks import thin
from cry_model import CheckpointConfig, CryClassifier, FrontEndConfig, Recording

LABELS = ("belly_pain", "hungry", "tired")


@pytest.fixture(scope="module", params=cry_model.list_models())
def answered(request):
    torch.manual_seed(0)
    config = CheckpointConfig(request.param, LABELS, FrontEndConfig())
    recording = Recording(tone(700, 8, 16000), 16000)
    classifier = CryClassifier(config.build(), config)
    return recording, classifier.predict(recording)


@pytest.fixture(scope="module")
def improved():
    return CryClassifier.from_pretrained()


def tone(hz, seconds, rate):
    t = torch.arange(round(seconds * rate)) / rate
    return 0.2 * torch.sin(2 * torch.pi * hz * t) + 0.001 * torch.randn(len(t))


@pytest.mark.parametrize(("hz", "rate"), [(300, 8000), (1000, 16000), (3000, 44100)])
def test_the_spectrogram_shows_a_tone_where_it_is(hz, rate):
    spectrogram = mel_spectrogram(Recording(tone(hz, 2, rate), rate))
    loudest = spectrogram.hz[spectrogram.decibels.mean(1).argmax()]
    assert loudest == pytest.approx(hz, rel=0.08)
    assert spectrogram.times[-1] == pytest.approx(2, abs=0.05)


def test_the_envelope_holds_every_peak():
    wave = tone(500, 20, 16000)
    wave[12345] = 0.9
    times, low, high = envelope(Recording(wave, 16000))
    assert high.max() == pytest.approx(0.9, abs=1e-3)
    assert times[high.argmax()] == pytest.approx(12345 / 16000, abs=0.03)
    assert low.min() == pytest.approx(float(wave.min()), abs=1e-3)


def test_every_system_gets_the_figures_that_it_has(answered):
    recording, prediction = answered
    view = show(recording, prediction, 3400)
    maps = prediction.attention
    drawn = len(draw(recording, prediction, 3400))
    expected = 1 + bool(maps.temporal) + bool(maps.multi_scale) + (maps.differential is not None)
    assert drawn == expected
    assert view.time_channel.visible == bool(maps.temporal)
    assert bool(view.differential_words) == (maps.differential is not None)
    rows = {
        axis
        for axis in sound_figure(recording, mel_spectrogram(recording), prediction, 3400).layout
        if "yaxis" in axis
    }
    assert len(rows) == (3 if maps.temporal else 2)


def test_axes_are_named_with_units(improved, examples):
    path = examples / "synthetic_rhythmic.wav"
    recording = cry_model.audio.load(path)
    drawn = [json.loads(d)["layout"] for d in draw(recording, improved.predict(path), 3400)]
    titles = [
        {a["title"]["text"] for name, a in d.items() if "axis" in name and "title" in a}
        for d in drawn
    ]
    assert titles[0] == {"amplitude", "frequency (Hz)", "attention Aₜ", "time (s)"}
    assert titles[1] == {"channel", "time (s)"}
    assert titles[2] == {"share of the gates (%)"}


def test_a_short_burst_in_a_long_recording_is_seen():
    rate = 44100
    wave = 1e-3 * torch.randn(300 * rate)
    wave[200 * rate : 200 * rate + rate // 20] = tone(1000, 0.05, rate)[: rate // 20]
    spectrogram = mel_spectrogram(Recording(wave, rate))
    assert spectrogram.decibels.shape[1] <= 900
    loudest = spectrogram.times[spectrogram.decibels.max(0).argmax()]
    assert loudest == pytest.approx(200, abs=0.5)


def test_the_gate_is_drawn_on_the_recordings_time_axis(improved):
    wave = torch.cat([torch.zeros(8000), tone(600, 3, 8000), torch.zeros(8000)])
    recording = Recording(wave, 8000)
    figure = sound_figure(recording, mel_spectrogram(recording), improved.predict(recording), 3400)
    gates = [t for t in figure.data if t.name and t.name.startswith("block")]
    assert len(gates) == 3
    assert gates[0].x[0] == pytest.approx(0.9, abs=0.05)
    assert gates[0].x[-1] == pytest.approx(4.1, abs=0.05)
    assert figure.layout.xaxis.range == (0, 5)


def test_the_map_is_the_outer_product_sorted_by_channel(improved):
    prediction = improved.predict(tone(600, 4, 8000), 8000)
    assert len(prediction.pieces) == 1
    maps = prediction.attention
    _, weights = attention.time_channel_map(prediction, 1)
    a_c = np.sort(maps.channel[1][0].numpy())[::-1]
    expected = np.outer(a_c, maps.temporal[1][0].numpy())
    assert weights.shape == expected.shape == (128, 200)
    np.testing.assert_allclose(weights.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("frames", "columns", "kept"), [(10, 20, 10), (10, 5, 5), (11, 5, 3)])
def test_thinning_averages_neighbours(frames, columns, kept):
    times, track = thin(torch.arange(frames) / 50, torch.arange(2.0 * frames).view(2, -1), columns)
    step = -(-frames // columns)
    assert len(times) == track.shape[1] == kept
    assert track[0, 0] == pytest.approx(np.mean(np.arange(step)))
    assert track[1, 0] == pytest.approx(frames + np.mean(np.arange(step)))


def test_shares_of_the_branches_sum_to_a_hundred(improved, examples):
    prediction = improved.predict(examples / "synthetic_rhythmic.wav")
    figure = attention.multi_scale_figure(prediction)
    np.testing.assert_allclose(np.sum([bar.x for bar in figure.data], axis=0), 100, atol=0.3)
    assert len(figure.data[0].x) == 6
    spans = [bar.customdata[0] for bar in figure.data]
    assert spans == pytest.approx([100, 180, 260, 60])  # ms: block 1 has dilation 2


def test_the_difference_is_drawn_with_the_learnt_lambda(improved, examples):
    prediction = improved.predict(examples / "synthetic_rhythmic.wav")
    first, second, difference = (d.z for d in attention.differential_figure(prediction).data)
    weight = float(prediction.attention.differential_lambda)
    np.testing.assert_allclose(difference, first - weight * second, atol=2e-3)
    np.testing.assert_allclose(first.sum(1), 1, atol=5e-3)


def test_figures_have_words_too(answered):
    recording, prediction = answered
    text = describe_sound(recording, mel_spectrogram(recording), prediction)
    assert "8.0 s" in text
    found = float(re.search(r"near (\d+) Hz", text)[1])
    assert found == pytest.approx(700, rel=0.08)


def test_the_answer_ranks_and_names(answered):
    _, prediction = answered
    html = answer_html(prediction)
    names = re.findall(r'class="name">([^<]+)<', html)
    values = [int(v) for v in re.findall(r'class="value">(\d+) %', html)]
    assert sorted(names) == ["belly pain", "hungry", "tired"]
    assert values == sorted(values, reverse=True)
    assert "never measured" in html
    assert "Not a medical device." in html


def test_the_trust_lines_are_the_checkpoints_own(improved, examples):
    html = answer_html(improved.predict(examples / "synthetic_rhythmic.wav"))
    recall = improved.config.evaluation.metrics["balanced_accuracy"]
    assert f"{100 * recall.value:.0f} % of cries" in html
    assert f"interval {100 * recall.low:.0f} to {100 * recall.high:.0f} %" in html
    assert improved.config.evaluation.verdict in html


def test_downloads_hold_the_result(improved, examples):
    prediction = improved.predict(examples / "synthetic_rhythmic.wav")
    links = dict(
        re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', answer_html(prediction))
    )
    document = json.loads(base64.b64decode(links["cry.json"]))
    assert document["probabilities"] == dict(prediction.probabilities)
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(links["cry.csv"]).decode())))
    assert len(rows) == len(prediction.pieces)
    assert pieces_csv(prediction).startswith("start_s,end_s,belly_pain")


def test_markup_in_a_label_is_shown_not_run():
    config = CheckpointConfig("resnet18", ("<script>", "b"), FrontEndConfig())
    prediction = CryClassifier(config.build(), config).predict(tone(500, 2, 8000), 8000)
    assert "<script>" not in answer_html(prediction)


def test_nothing_chosen_shows_the_invitation(improved):
    view = classify(improved, None)
    assert "Record a cry" in view.answer


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """A folder that Gradio takes for its own."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


def test_forget_deletes_a_recording_but_not_our_examples(uploads, examples):
    private, ours = uploads / "mine.wav", uploads / "synthetic_whimper.wav"
    elsewhere = uploads.parent / "mine.wav"
    elsewhere.write_bytes(b"not an upload")
    private.write_bytes(b"private")
    ours.write_bytes((examples / ours.name).read_bytes())
    impostor = uploads / "synthetic_rhythmic.wav"
    impostor.write_bytes(b"not the example")
    for path in (private, ours, impostor, elsewhere, uploads / "gone.wav"):
        forget(str(path), after=0.05)
    forget(None)
    time.sleep(0.5)
    assert [p.name for p in uploads.iterdir()] == [ours.name]
    assert elsewhere.exists()


def test_a_recording_that_was_sent_again_waits_for_its_own_answer(uploads):
    shared = uploads / "cry.wav"
    shared.write_bytes(b"sound")
    forget(str(shared), after=0.3)
    time.sleep(0.05)
    shared.write_bytes(b"sound")  # the second visitor's upload
    time.sleep(0.6)
    assert shared.exists()


def test_the_benchmark_measures_and_saves(tmp_path, capsys):
    out = tmp_path / "benchmark.json"
    costs = run_benchmark(out, ["improved-ecapa-tdnn"])
    record = json.loads(out.read_text())
    assert record["costs"][0]["threads"] == 1
    for cost in costs:
        assert 0 < cost.forward < cost.total
        assert cost.total == pytest.approx(cost.real_time_factor * 5000)
        assert cost.peak_memory > 50
    assert "Improved ECAPA-TDNN" in capsys.readouterr().out
