"""The page as an API: what gradio_client gets, and what is left on the server."""

import json
import threading
import urllib.request

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from analysis.tabs.answer import NO_LONGER_KEPT, bars_html
from cry_model import audio
from tests.analysis.sounds import RATE, scene, write
from tests.stand_ins import hum


@pytest.fixture(scope="module")
def client(server):
    return Client(server.url, verbose=False)


def ask(client, path, *model):
    return client.predict(handle_file(str(path)), *model, api_name="/predict")


def test_the_api_gives_what_each_classifier_gives(client, examples, models):
    path = examples / "synthetic_rhythmic.wav"
    for model in models:
        expected = json.loads(json.dumps(model.classifier.predict(path).to_dict()))
        answer = ask(client, path, model.name)
        assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)
        for fact in ("label", "system", "evaluation", "agreement", "cautions"):
            assert answer[fact] == expected[fact]
    assert ask(client, path) == ask(client, path, models[0].name)


def test_what_is_no_cry_has_a_label_only_when_asked_for(client, models, tmp_path):
    path = write(tmp_path / "hum.wav", hum(4, RATE))
    answer = ask(client, path)
    assert (answer["is_cry"], answer["label"], answer["probabilities"]) == (False, None, {})
    anyway = ask(client, path, models[0].name, True)
    assert anyway["is_cry"] is False
    assert anyway["probabilities"] == pytest.approx(
        models[0].classifier.predict(path).probabilities, abs=1e-5
    )


def test_the_cries_of_a_recording_are_told_with_their_times(client, models, detector, tmp_path):
    path = write(tmp_path / "scene.wav", scene(6, 4, 7, 4, 6))
    answer = ask(client, path)
    assert answer["is_cry"] is True
    spans = detector.scan(audio.load(path)).spans
    assert len(spans) == 2
    for segment, span in zip(answer["segments"], spans, strict=True):
        assert (segment["start"], segment["end"]) == pytest.approx((span.start, span.end))
        assert set(segment["probabilities"]) == set(models[0].classifier.labels)


def test_a_model_that_is_not_there_is_one_sentence(client, examples, server):
    with pytest.raises(AppError, match="There is no model 'x' here; choose one of") as failure:
        ask(client, examples / "synthetic_rhythmic.wav", "x")
    assert str(failure.value).count(".") == 1
    assert "Traceback" not in server.log.read_text()


def test_only_the_three_endpoints_are_public(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {
        "/analysis",
        "/classify",
        "/predict",
    }


def test_two_visitors_at_once_each_get_their_own_answer(server, examples, tmp_path, models):
    """With recordings of their own and with the same one, which Gradio stores once for both."""
    paths = sorted(examples.glob("*.wav"))
    wave, rate = soundfile.read(paths[0])
    for seconds in (3, 4):
        paths.append(tmp_path / f"own{seconds}.wav")
        soundfile.write(paths[-1], wave[: seconds * rate], rate)
    expected = [models[0].classifier.predict(p).probabilities for p in paths]
    clients = [Client(server.url, verbose=False) for _ in range(2)]
    answers = {}

    def visit(i):
        for n, path in enumerate(paths[i:] + paths[:i]):
            answers[i, (n + i) % len(paths)] = ask(clients[i], path)["probabilities"]

    threads = [threading.Thread(target=visit, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 2 * len(paths)
    for (_, which), probabilities in answers.items():
        assert probabilities == pytest.approx(expected[which], abs=1e-5)


def test_nothing_that_a_visitor_sent_is_kept(server, client, tmp_path):
    path = tmp_path / "private-name.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(32000), 16000)
    ask(client, path)
    client.predict(handle_file(str(path)), api_name="/classify")
    assert server.kept() == []
    assert "private-name" not in server.log.read_text()


class Session:
    """One visitor's page, as the browser speaks to the server: the upload once, then switches."""

    def __init__(self, server, name, path):
        self.url, self.name = f"{server.url}/gradio_api", name
        boundary = b"--cry\r\nContent-Disposition: form-data; "
        form = b'name="files"; filename="cry.wav"\r\n\r\n' + path.read_bytes() + b"\r\n--cry--\r\n"
        kind = {"Content-Type": "multipart/form-data; boundary=cry"}
        (self.file,) = json.loads(self._open("/upload", boundary + form, kind))

    def show(self, model):
        """The answer panel with this model's view of the session's recording."""
        file = {"path": self.file, "meta": {"_type": "gradio.FileData"}}
        body = json.dumps({"data": [file, model.name], "session_hash": self.name}).encode()
        asked = self._open("/call/classify", body, {"Content-Type": "application/json"})
        events = self._open(f"/call/classify/{json.loads(asked)['event_id']}")
        return json.loads(events.rpartition("data: ")[2])[0]

    def _open(self, path, body=None, headers=None):
        request = urllib.request.Request(self.url + path, body, headers or {})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()


def test_two_sessions_switch_without_their_files_and_do_not_mix(server, tmp_path, models):
    rng, visits = np.random.default_rng(1), []
    for i in range(2):
        path = tmp_path / f"own{i}.wav"
        soundfile.write(path, (0.1 + 0.1 * i) * rng.standard_normal(32000).cumsum() / 200, 16000)
        expected = {model.name: bars_html(model.classifier.predict(path)) for model in models}
        visits.append((Session(server, f"session{i}", path), expected))
    for session, expected in visits:
        assert expected[models[0].name] in session.show(models[0])
    assert server.kept() == []
    for model in models[1:]:
        for session, expected in visits:
            assert expected[model.name] in session.show(model)
    stranger, _ = visits[0]
    stranger.name = "session9"
    assert NO_LONGER_KEPT in stranger.show(models[0])


BAD = {
    "text": (b"this is no sound", "could not be read as sound"),
    "empty": (b"", "empty"),
    "cut": (b"RIFF\x00\x00\x00\x00WAVEfmt ", "could not be read"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_sentence_and_the_next_one_works(
    client, server, examples, tmp_path, kind
):
    content, words = BAD[kind]
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(AppError, match=words) as failure:
        ask(client, path)
    assert "Traceback" not in str(failure.value)
    view = client.predict(handle_file(str(path)), api_name="/classify")
    assert words in view[0]
    assert server.kept() == []
    assert "Traceback" not in server.log.read_text()
    assert ask(client, examples / "synthetic_whimper.wav")["label"]


@pytest.mark.parametrize(
    ("seconds", "level", "words"),
    [(0.3, 0.1, "0.3 s long"), (2, 0.0, "silent"), (601, 0.1, "10 min")],
)
def test_short_silent_and_long_recordings_are_told_apart(client, tmp_path, seconds, level, words):
    path = tmp_path / "clip.wav"
    soundfile.write(
        path,
        level * np.ones(round(seconds * 8000)) * np.array([1, -1] * round(seconds * 4000)),
        8000,
    )
    with pytest.raises(AppError, match=words):
        ask(client, path)


def test_no_recording_at_all_is_asked_for(client):
    with pytest.raises(AppError, match="no recording"):
        client.predict(None, api_name="/predict")
