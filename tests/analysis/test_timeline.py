"""Check the table, file and figures of several cries in one recording; pauses stay empty."""

import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.figures.attention import time_channel_figure
from analysis.figures.sound import THINNEST, slices, sound_figure, timeline_figure
from analysis.figures.theme import class_colour
from analysis.session import classify_all
from analysis.tabs.answer import ANSWER
from analysis.tabs.cards import has_timeline, segments_data, segments_table, sound_cards
from analysis.words import ENGLISH
from cry_model.classifier import widened
from cry_model.records import words
from cry_model.sound import audio
from cry_model.sound.front_end_config import FrontEndConfig
from tests.stand_ins import scene, write

NOTHING = "can't tell"
CRIES = ((6, 11), (17, 20), (28, 34))  # s, start and end of each


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("scene") / "scene.wav", scene(6, 5, 6, 3, 8, 6, 4))


@pytest.fixture(scope="module")
def session(path, models, detector):
    return classify_all(models, str(path), detector)


@pytest.fixture(scope="module")
def prediction(session, models):
    """Return the prediction of the network with the reasons of Donate-a-Cry."""
    return session.answers[models[-1].name]


def test_all_models_share_the_track_and_classify_only_cries(session, models, detector, path):
    """Compare with each classifier's own prediction for the detector's track."""
    track = detector.scan(audio.load(path))
    found = [(span.start, span.end) for span in track.spans]
    np.testing.assert_allclose(found, CRIES, atol=1.6)
    for model in models:
        expected = model.classifier.predict(path, track=track)
        assert session.answers[model.name].to_dict(full=True) == expected.to_dict(full=True)
        least = model.classifier.front_end.config.min_seconds
        allowed = [widened(span, least, expected.duration) for span in track.spans]
        for piece in expected.pieces:
            middle = (piece.start + piece.end) / 2
            assert any(span.start <= middle <= span.end for span in allowed)


def test_data_match_predictions_for_each_cry_cut_out(prediction, models, path):
    recording, classifier = audio.load(path), models[-1].classifier
    rows = segments_data(prediction).to_dict("records")
    assert len(rows) == len(CRIES)
    for row in rows:
        start, end = row["start_s"], row["end_s"]
        assert row["length_s"] == end - start
        cells = prediction.track.cells
        middles = (np.arange(len(cells)) + 0.5) * prediction.track.step
        inside = cells[(middles > start) & (middles < end)]
        assert row["cry_probability"] == pytest.approx(inside.max(), abs=1e-3)
        # Expected: the prediction for the cry and half a second on either side, cut out by hand.
        low, high = (round(s * recording.sample_rate) for s in (start - 0.5, end + 0.5))
        alone = classifier.predict(recording.waveform[low:high], recording.sample_rate)
        for label, share in alone.probabilities.items():
            assert row[label] == pytest.approx(share, abs=1e-3)
        assert row["most_probable"] == alone.label
        assert row["set"] == ";".join(alone.prediction_set or ())


def test_table_has_a_row_and_a_button_for_each_cry(prediction):
    table, first = segments_table(prediction), prediction.segments[0]
    assert len(table) == len(CRIES)
    shares = [f"{100 * p:.0f}%" for p in first.probabilities.values()]
    assert table.iloc[0, 5:].to_list() == shares
    played = ANSWER.play(prediction.segments, ENGLISH)
    buttons = re.findall(r'data-play="([\d.]+) ([\d.]+)"', played)
    found = [(s.start, s.end) for s in prediction.segments]
    np.testing.assert_allclose(np.array(buttons, float), found, atol=0.006)
    assert ANSWER.play((), ENGLISH) == ""


@pytest.mark.parametrize(
    ("count", "outside", "expected"),
    [(2, False, "belly pain or burping"), (5, False, NOTHING), (2, True, NOTHING), (0, False, "")],
)
def test_table_names_the_prediction_set_if_informative(prediction, count, outside, expected):
    first, labels = prediction.segments[0], tuple(prediction.probabilities)
    segment = replace(first, prediction_set=labels[:count] or None)
    told = replace(prediction, segments=(segment,), outside=outside, evaluation=None)
    assert segments_table(told)["sounds like"].item() == (expected or words(first.label))


def test_timeline_needs_several_cries_or_a_long_recording(session, prediction):
    assert not has_timeline(prediction)  # the model is no better than chance
    prediction = replace(prediction, evaluation=None)
    one = replace(prediction, segments=prediction.segments[:1])
    *_, cries = sound_cards(session.display, prediction, FrontEndConfig())
    assert cries.table.equals(segments_table(prediction))
    assert has_timeline(one)
    assert not has_timeline(replace(one, duration=12.0))
    assert not has_timeline(replace(prediction, segments=()))


def test_timeline_bars_have_the_cries_times_and_class_colours(prediction):
    figure, segments = timeline_figure(prediction), prediction.segments
    labels = tuple(prediction.probabilities)
    assert [bar.name for bar in figure.data] == list(map(words, labels))
    for label, bar in zip(labels, figure.data, strict=True):
        assert bar.marker.color == class_colour(labels, label)
        x, half = np.array(bar.x), np.array(bar.width) / 2
        np.testing.assert_allclose(x - half, [s.start for s in segments], atol=2e-3)
        np.testing.assert_allclose(x + half, [s.end for s in segments], atol=2e-3)
        np.testing.assert_allclose(
            bar.y, [100 * s.probabilities[label] for s in segments], atol=0.06
        )
    assert figure.layout.xaxis.range == (0, prediction.duration)


def test_single_cry_is_drawn_by_piece_and_short_cry_stays_visible(prediction):
    one = replace(prediction, segments=prediction.segments[:1])
    found = slices(one)
    assert len(found) == len(one.pieces)
    assert [end for _, end, _ in found[:-1]] == [start for start, _, _ in found[1:]]
    brief = replace(one.segments[0], end=one.segments[0].start + 0.01)
    figure = timeline_figure(replace(prediction, segments=(brief, brief)))
    assert figure.data[0].width[0] == pytest.approx(THINNEST * prediction.duration, abs=1e-3)


def test_sound_figure_marks_cries_and_threshold(session, prediction):
    figure = sound_figure(session.display, prediction, 3400)
    bands = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert [(b.x0, b.x1) for b in bands] == [(s.start, s.end) for s in prediction.segments]
    line, _ = [s for s in figure.layout.shapes if s.type == "line" and s.yref == "y3"]
    assert line.y0 == line.y1 == prediction.track.threshold
    (steps,) = [t for t in figure.select_traces("scatter") if t.line.shape == "hv"]
    np.testing.assert_allclose(steps.y[:-1], prediction.track.cells, atol=1e-3)
    assert steps.x[1] - steps.x[0] == pytest.approx(prediction.track.step, abs=1e-3)
    assert steps.x[-1] <= prediction.duration


def test_attention_figures_have_gaps_at_pauses(session, prediction):
    figure = sound_figure(session.display, prediction, 3400)
    tracks = [t for t in figure.data if (t.name or "").startswith("block")]
    assert len(tracks) == len(CRIES)
    for track in tracks:
        x, y = np.array(track.x, float), np.array(track.y, float)
        for start, end in ((13.2, 14.8), (22.5, 25.5)):  # s, well within the pauses
            inside = (x > start) & (x < end)
            assert inside.sum() > 20
            assert np.isnan(y[inside]).all()
        assert not np.isnan(y[(x > 7) & (x < 10)]).any()
    for heatmap in time_channel_figure(prediction).data:
        x, z = np.array(heatmap.x, float), np.array(heatmap.z, float)
        (jumps,) = np.nonzero(np.diff(x) > 1.5 * np.diff(x).min())
        assert len(jumps) == 2  # between the cries
        assert np.isnan(z[:, [*jumps, *(jumps + 1)]]).all()
        assert 11 < x[jumps[0]] < 13.2
        assert 14.8 < x[jumps[0] + 1] < 17
        assert not np.isnan(z[:, (x > 7) & (x < 10)]).any()
