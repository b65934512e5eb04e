"""What an answer rested on, from a file sent once more: heard, and kept nowhere."""

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


def asked(path, **other):
    return {"path": str(path), "model": NAME, "start": 1.0, "end": 6.0, **other}


def with_sound():
    """All objects that hold sound; no ``isinstance``, which asks dead weak references."""
    gc.collect()
    return [o for o in gc.get_objects() if issubclass(type(o), (Explanation, Part, Recording))]


def test_the_sounds_are_in_the_reply_and_nothing_stays(models, folder):
    (folder / "visitor").mkdir()
    path = write(folder / "visitor" / "cry.wav", scene(1, 5, 1))
    others = with_sound()  # of other tests
    reply = make_listen_explain(models)(asked(path), GERMAN)
    sounds = re.findall(r'src="data:audio/wav;base64,([^"]+)"', reply["html"])
    assert len(sounds) == 4  # two maps, each kept and removed
    for sound in sounds:
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
        assert len(wave) / rate == pytest.approx(5 + 2 * MARGIN, abs=0.01)
    assert len(re.findall(r"<td>\d+%</td>", reply["html"])) == 8
    assert "Der ganze Schrei" in reply["html"]
    del reply, sounds
    assert path.exists()
    uploads._due[path] = 0.0
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
def test_a_request_of_another_kind_is_refused_and_its_file_deleted(models, folder, wrong):
    (folder / "visitor").mkdir()
    path = write(folder / "visitor" / "cry.wav", scene(1, 5, 1))
    reply = make_listen_explain(models)(asked(path, **wrong), GERMAN)
    assert "data:audio" not in reply.get("html", "")
    assert "x" in wrong.values() or path in uploads._due


@pytest.mark.parametrize("path", ["", "cry.wav", "/etc/hostname", None, 3])
def test_only_uploads_are_read(models, folder, tmp_path, path):
    path = write(tmp_path / "own.wav", scene(1, 5)) if path == "cry.wav" else path
    reply = make_listen_explain(models)({**asked(""), "path": path}, GERMAN)
    assert "problem" in reply


def test_the_button_is_there_where_a_label_is_named(models, detector, tmp_path):
    path = write(tmp_path / "cry.wav", scene(1, 3, 1, 5, 1))
    model = find(models, NAME)
    session = classify_all(models, str(path), detector)
    answer = session.answers[NAME]
    html = button_html(model, answer, ENGLISH)
    assert ("data-explain" in html) == bool(answer.answer.labels)
    if html:
        start, end = map(float, re.search(r'data-explain="([\d. ]+)"', html)[1].split())
        assert any((start, end) == pytest.approx((s.start, s.end), abs=0.01)
                   for s in answer.segments)  # fmt: skip
    features = session.answers["six-class-features"]
    assert button_html(find(models, "six-class-features"), features, ENGLISH) == ""
