"""Check what the API returns to gradio_client and to a browser, and that it keeps no upload."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from markupsafe import escape

from analysis.session import classify_all
from analysis.tabs.answer import headline_html
from analysis.words import ENGLISH
from cry_model.prediction import choose
from cry_model.sound import audio
from tests.cry_model.encode import with_soundfile
from tests.stand_ins import cry, scene, write


@pytest.fixture(scope="module")
def client(server):
    return Client(server.url, verbose=False)


def ask(client, path, *options):
    return client.predict(handle_file(str(path)), *options, api_name="/predict")


def test_api_matches_each_classifier_for_each_cry(client, server, models, detector, tmp_path):
    """Compare with the classifiers' predictions for the same detector track."""
    path = write(tmp_path / "private-name.wav", scene(6, 4, 7, 4, 6))
    track = detector.scan(audio.load(path))
    told = {model.name: model.classifier.predict(path, track=track) for model in models}
    assert len(told[models[0].name].segments) == 2
    for name, full in zip(told, (False, True, True), strict=True):
        answer = ask(client, path, name, full)
        assert answer.pop("model") == name
        expected = json.loads(json.dumps(told[name].to_dict(full)))
        assert set(answer) == set(expected)
        assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)
        for fact in {"answer", "is_cry", "system", "evaluation", "cautions"} & set(expected):
            assert answer[fact] == expected[fact]
        for mine, segment in zip(answer["segments"], told[name].segments, strict=True):
            assert (mine["start"], mine["end"]) == pytest.approx((segment.start, segment.end))
            if full:
                assert mine["probabilities"] == pytest.approx(dict(segment.probabilities), abs=1e-5)
    name, chosen = choose(told.items())
    answer = ask(client, path)
    assert (answer["model"], answer["answer"]["labels"]) == (name, list(chosen.answer.labels))
    assert server.kept() == []
    assert "private-name" not in server.log.read_text()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"full": "false"}, "without quotes"),
        ({"model": "x"}, "There is no model 'x' here; choose one of"),
        ({"file": None}, "no recording"),
    ],
)
def test_invalid_request_gives_a_one_sentence_error(client, examples, server, given, sentence):
    file = handle_file(str(examples / "synthetic_rhythmic.wav"))
    usual = {"file": file, "model": "", "full": False}
    with pytest.raises(AppError, match=sentence) as failure:
        client.predict(*{**usual, **given}.values(), api_name="/predict")
    assert str(failure.value).count(".") == 1
    assert "Traceback" not in server.log.read_text()


def test_only_two_endpoints_are_public_and_predict_comes_first(client):
    api = client.view_api(return_format="dict")
    assert list(api["named_endpoints"]) == ["/predict", "/analysis"]


class Session:
    """Send the requests of one visitor's browser: one upload, then switches of the model."""

    def __init__(self, server, name, path):
        self.http, self.name = httpx.Client(base_url=f"{server.url}/gradio_api", timeout=60), name
        (self.file,) = self.http.post("/upload", files={"files": path.open("rb")}).json()
        config = httpx.get(f"{server.url}/config").json()
        ids = {c["props"].get("elem_id"): c["id"] for c in config["components"]}
        self.events = {tuple(t): d["id"] for d in config["dependencies"] for t in d["targets"]}
        self.listen, self.model = ids["listen"], ids["model"]

    def run(self, target, event, *data):
        """Trigger an event of a component; return its outputs."""
        number = self.events[target, event]
        body = {"data": data, "fn_index": number, "session_hash": self.name}
        self.http.post("/queue/join", json=body)
        with self.http.stream("GET", f"/queue/data?session_hash={self.name}") as told:
            for line in told.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "process_completed":
                    return message["output"]["data"]
        raise AssertionError("the event gave no answer")

    def answer(self):
        """Submit the recording; return the answer card."""
        file = {"path": self.file, "meta": {"_type": "gradio.FileData"}}
        return self.run(self.listen, "upload", file)[0]

    def switch(self, model):
        """Select a model; return the card with its answer."""
        return self.run(self.model, "input", None, model.name)[0]


def test_sessions_switch_models_without_files_and_do_not_mix(server, tmp_path, models, detector):
    visits = []
    for i in range(2):
        path = write(tmp_path / f"private-own{i}.wav", cry(4 + 2 * i))
        session = classify_all(models, str(path), detector)
        told = {m.name: headline_html(session.answers[m.name]) for m in models}
        told[None] = headline_html(session.chosen(models)[1])
        length = f"{4 + 2 * i}.0 s of sound"
        visits.append((Session(server, f"session{i}", path), told, length))
    with ThreadPoolExecutor(2) as pool:  # in parallel
        answers = list(pool.map(lambda visit: visit[0].answer(), visits))
    for (_, told, length), html in zip(visits, answers, strict=True):
        assert told[None] in html
        assert length in html
    assert server.kept() == []
    assert "private-own" not in server.log.read_text()
    for model in models[1:]:
        for session, told, length in visits:
            html = session.switch(model)
            assert told[model.name] in html
            assert length in html
    stranger, *_ = visits[0]
    stranger.name = "session9"
    assert ENGLISH("gone") in stranger.switch(models[0])


def sound(seconds, level):
    return with_soundfile(level * np.resize([1, -1], seconds * 8000), 8000)


@pytest.mark.parametrize(
    ("content", "words", "kind"),
    [
        (b"this is no sound", "could not be read as sound", "Undecodable"),
        (sound(2, 0.0), "silent", "Silent"),
        (sound(601, 0.1), "10 min", "TooLong"),
    ],
    ids=["text", "silent", "long"],
)
def test_bad_file_gives_one_sentence_and_the_next_one_works(
    client, server, examples, tmp_path, content, words, kind
):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(AppError, match=words) as failure:
        ask(client, path)
    assert "Traceback" not in str(failure.value)
    told = Session(server, "bad", path).answer()
    assert any(escape(text) in told for key, text in ENGLISH.texts.items() if f".{kind}" in key)
    assert server.kept() == []
    assert "Traceback" not in server.log.read_text()
    assert ask(client, examples / "synthetic_whimper.wav")["answer"]
