"""The explanation of a model on acoustic features: all of it is drawn, in words too."""

import pytest
import torch

from analysis.figures.features import NAMES, SHOWN, contributions_figure, describe_contributions
from cry_model import audio
from cry_model.acoustic_features import FEATURES
from cry_model.feature_mlp import INPUTS


@pytest.fixture(scope="module")
def read(six, examples):
    """The features' model, and its answer to an example that is no piece longer than one."""
    model = six[1].classifier
    return model, model.predict(examples / "synthetic_rhythmic.wav")


def test_the_bars_sum_to_the_gain_over_an_average_recording(read, examples):
    model, prediction = read
    (bars,) = contributions_figure(prediction).data
    front_end = model.front_end
    clip = front_end.prepare(audio.load(examples / "synthetic_rhythmic.wav"))
    with torch.inference_mode():
        inputs = model.model.inputs(front_end(front_end.cut(clip).waveforms))
        here, average = model.model.log_probabilities(torch.cat([inputs, 0 * inputs]))
    label = model.labels.index(prediction.label)
    assert sum(bars.x) == pytest.approx(float(here[label] - average[label]), abs=0.01)
    total = f"{float(here[label] - average[label]):+.2f}".replace("-", "−")
    assert f"All together {total} " in describe_contributions(prediction)


def test_the_greatest_come_first_and_the_rest_is_one_bar(read):
    _, prediction = read
    (bars,) = contributions_figure(prediction).data
    sizes = [abs(x) for x in bars.x[:-1]]
    assert len(sizes) == SHOWN
    assert sizes == sorted(sizes, reverse=True)
    assert bars.y[-1].startswith(f"{len(INPUTS) - SHOWN} others")
    assert [colour == "#009E73" for colour in bars.marker.color] == [x > 0 for x in bars.x]


def test_each_bar_tells_the_value_of_its_feature(read):
    _, prediction = read
    (bars,) = contributions_figure(prediction).data
    first = max(
        prediction.acoustic.contributions, key=lambda n: abs(prediction.acoustic.contributions[n])
    )
    assert bars.customdata[0].startswith(f"{NAMES[first].full}: ")
    shown = bars.customdata[0].partition(": ")[2].split()[0].replace(",", "")
    assert float(shown) == pytest.approx(prediction.acoustic.features[first], rel=0.01)


def test_the_axis_says_for_what(read):
    _, prediction = read
    assert prediction.label in contributions_figure(prediction).layout.xaxis.title.text


def test_every_feature_has_a_name_of_its_own():
    assert set(NAMES) == set(FEATURES)
    assert len({name.full for name in NAMES.values()}) == len(FEATURES)
    assert NAMES["spectral_centroid"].value(2310.4) == "2,310 Hz"
    assert NAMES["mfcc2"].value(-12.34) == "-12.3"


def test_a_network_has_no_such_figure(six, examples):
    prediction = six[0].classifier.predict(examples / "synthetic_rhythmic.wav")
    with pytest.raises(ValueError, match="acoustic features"):
        contributions_figure(prediction)
