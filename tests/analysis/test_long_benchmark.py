"""What the long benchmark measures; how long that takes is not tested."""

import numpy as np
import pytest
import soundfile

from analysis import long_benchmark
from analysis.long_benchmark import KnowingGate, write_minutes
from cry_model import CryClassifier, audio
from tests.analysis.sounds import RATE, scene


@pytest.fixture
def shorter(monkeypatch):
    """A minute and a half in the place of ten."""
    monkeypatch.setattr(long_benchmark, "LENGTH", 90)


def test_a_knowing_gate_works_as_hard_and_says_where_the_cries_were_put(gate):
    asked = []
    knowing = KnowingGate(gate, lambda second: 8 <= second < 12)
    recording = audio.Recording(audio.load(scene(20), RATE).waveform, RATE)
    track = knowing.scan(recording, asked.append)
    assert asked[-1] == 1.0
    assert track.starts == gate.scan(recording).starts
    (span,) = track.spans
    assert (span.start, span.end) == pytest.approx((8, 12), abs=0.6)
    assert not gate.scan(recording).is_cry
    alone = CryClassifier.from_pretrained(gate=False)
    gated = CryClassifier(alone.model, alone.config, gate=knowing)
    assert [s.start for s in gated.predict(recording).segments] == [span.start]


@pytest.mark.usefixtures("shorter")
@pytest.mark.parametrize(("channels", "pauses"), [(1, False), (2, True)])
def test_the_recordings_are_as_long_and_as_full_of_cries_as_told(tmp_path, channels, pauses):
    path = tmp_path / "minutes.wav"
    is_cry = write_minutes(path, RATE, channels, pauses)
    wave, rate = soundfile.read(path, always_2d=True)
    assert wave.shape == (90 * RATE, channels)
    assert rate == RATE
    assert is_cry(1.0)
    assert is_cry(20.0) is not pauses
    level = np.abs(wave[:, 0]).reshape(90, RATE).max(1)
    assert level[30:35].max() > 0.1
    assert (level[20:29].max() < 0.05) == pauses
