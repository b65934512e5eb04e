"""``python -m cry_model predict`` with a detector in front."""

import json

import pytest

from cry_model import CryDetector, audio
from cry_model.__main__ import main
from cry_model.detector import clock
from tests.stand_ins import RATE, hum, scene, write


@pytest.fixture(autouse=True)
def _stand_in(detector, monkeypatch):
    """The stand-in where the bundled detector would be loaded."""
    monkeypatch.setattr(CryDetector, "from_pretrained", classmethod(lambda cls, **_: detector))


@pytest.fixture
def nothing(tmp_path):
    return str(write(tmp_path / "hum.wav", hum(4, RATE)))


@pytest.fixture
def two_cries(tmp_path):
    return str(write(tmp_path / "two.wav", scene(6, 4, 7, 4, 6)))


def test_what_is_no_cry_gets_no_reasons(nothing, capsys):
    assert main(["predict", nothing]) == 0
    out = capsys.readouterr().out
    assert "does not sound like a baby crying" in out
    assert "hungry" not in out


def test_cries_are_listed_with_their_times(two_cries, detector, capsys):
    main(["predict", two_cries])
    lines = capsys.readouterr().out.splitlines()
    spans = detector.scan(audio.load(two_cries)).spans
    assert len(spans) == 2
    for line, span in zip(lines[1:], spans, strict=False):
        assert line.split()[:3] == [clock(span.start), "-", clock(span.end)]


def test_json_says_whether_and_where(nothing, two_cries, capsys):
    main(["predict", nothing, two_cries, "--json"])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["is_cry"], first["probabilities"]) == (False, {})
    assert first["answer"] == {"kind": "not_a_cry", "labels": [], "reason": "no cry"}
    assert first["cry_probability"] < 0.5
    assert first["segments"] == []
    assert second["is_cry"] is True
    assert [set(segment) for segment in second["segments"]] == [{"start", "end", "labels"}] * 2
    main(["predict", nothing, "--json", "--full"])
    told = json.loads(capsys.readouterr().out)
    assert told["is_cry"] is False
    assert set(told["calibration"]["constant_set"]) < set(told["probabilities"])
    assert set(first) < set(told)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0:00.0"), (59.96, "1:00.0"), (75.25, "1:15.3"), (599.94, "9:59.9")],
)
def test_times_are_minutes_and_seconds(seconds, written):
    assert clock(seconds) == written
