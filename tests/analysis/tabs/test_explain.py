"""Check the audible explanation of an answer from an uploaded file, and that no sound stays."""

import base64
import gc
import io
import re
from types import SimpleNamespace

import pytest
import soundfile

from analysis import uploads
from analysis.models import find
from analysis.session import classify_all
from analysis.tabs.explain import MARGIN, button_html, make_listen_explain
from analysis.words import ENGLISH
from cry_model import Recording
from cry_model.explanation import Explanation, Part
from tests.server import file_names
from tests.stand_ins import scene, write

GERMAN = SimpleNamespace(headers={"accept-language": "de"})
NAME = "six-class"


@pytest.fixture
def upload(folder):
    (folder / "visitor").mkdir()
    return write(folder / "visitor" / "cry.wav", scene(1, 5, 1))


@pytest.fixture
def explain(models):
    """Return ``explain(path)``, the reply for its cry; keywords change the request."""
    asked = {"model": NAME, "start": 1.0, "end": 6.0}
    listen_explain = make_listen_explain(models)
    return lambda path, **other: listen_explain({**asked, "path": path, **other}, GERMAN)


def with_sound():
    """Return all objects that hold sound; ``isinstance`` would fail on dead weak references."""
    gc.collect()
    return [o for o in gc.get_objects() if issubclass(type(o), (Explanation, Part, Recording))]


def test_reply_contains_the_sounds_and_nothing_is_kept(explain, upload, folder):
    others = with_sound()  # from other tests
    html = explain(str(upload))["html"]
    sounds = re.findall(r'src="data:audio/wav;base64,([^"]+)"', html)
    assert len(sounds) == 4  # two maps, each kept and removed
    for sound in sounds:
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
        assert len(wave) / rate == pytest.approx(5 + 2 * MARGIN, abs=0.01)
    assert len(re.findall(r"<td>\d+%</td>", html)) == 8
    assert "Der ganze Schrei" in html
    assert upload.exists()
    uploads._due[upload] = 0.0
    uploads.delete_due(set())
    assert file_names(folder) == set()
    assert {id(one) for one in with_sound()} <= {id(one) for one in others}


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 0.0, "end": 600.0}, {"start": -1.0}, {"end": "nan"}, {"start": "x"},
        {"start": 30.0, "end": 31.0}, {"model": "nobody"}, {"model": "six-class-features"},
    ],
)  # fmt: skip
def test_invalid_request_is_refused_and_its_file_deleted(explain, upload, wrong):
    assert explain(str(upload), **wrong).keys() == {"problem"}
    assert "x" in wrong.values() or upload in uploads._due


@pytest.mark.parametrize("path", ["", "own.wav", "/etc/hostname", None, 3])
def test_only_uploads_are_read(explain, folder, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "own.wav", scene(1, 5))
    assert explain(path).keys() == {"problem"}


def test_button_is_shown_if_labels_are_named(models, detector, tmp_path):
    path = write(tmp_path / "cry.wav", scene(1, 3, 1, 5, 1))
    answers = classify_all(models, str(path), detector).answers
    html = button_html(find(models, NAME), answers[NAME], ENGLISH)
    assert ("data-explain" in html) == bool(answers[NAME].answer.labels)
    if html:
        found = tuple(map(float, re.search(r'data-explain="([\d.]+) ([\d.]+)"', html).groups()))
        spans = [(cry.start, cry.end) for cry in answers[NAME].segments]
        assert any(found == pytest.approx(span, abs=0.01) for span in spans)
    deaf = "six-class-features"  # it uses no mel bands
    assert button_html(find(models, deaf), answers[deaf], ENGLISH) == ""
