"""The page as an API: what gradio_client and the browser get, and what is left on the server."""

import json
from concurrent.futures import ThreadPoolExecutor
from html import escape

import httpx
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from analysis.session import classify_all
from analysis.tabs.answer import headline_html
from analysis.words import ENGLISH
from cry_model.prediction import choose
from cry_model.sound import audio
from tests.cry_model.encode import with_soundfile
from tests.stand_ins import RATE, cry, hum, scene, write


@pytest.fixture(scope="module")
def client(server):
    return Client(server.url, verbose=False)


def ask(client, path, *options):
    return client.predict(handle_file(str(path)), *options, api_name="/predict")


def test_the_api_gives_what_each_classifier_gives(client, examples, models):
    path = examples / "synthetic_rhythmic.wav"
    for model in models:
        prediction = model.classifier.predict(path)
        for full in (False, True):
            answer = ask(client, path, model.name, full)
            assert answer.pop("model") == model.name
            expected = json.loads(json.dumps(prediction.to_dict(full)))
            assert set(answer) == set(expected)
            assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)
            for fact in {"answer", "system", "evaluation", "cautions"} & set(expected):
                assert answer[fact] == expected[fact]
    name, chosen = choose((m.name, m.classifier.predict(path)) for m in models)
    answer = ask(client, path)
    assert (answer["model"], answer["answer"]["labels"]) == (name, list(chosen.answer.labels))


def test_what_is_no_cry_has_probabilities_only_when_asked_for(client, models, tmp_path):
    path = write(tmp_path / "hum.wav", hum(4, RATE))
    answer = ask(client, path)
    assert (answer["answer"]["kind"], answer["probabilities"]) == ("not_a_cry", {})
    full = ask(client, path, models[0].name, True)
    assert full["is_cry"] is False
    assert full["probabilities"] == pytest.approx(
        models[0].classifier.predict(path).probabilities, abs=1e-5
    )


def test_the_cries_of_a_recording_are_told_with_their_times(client, models, detector, tmp_path):
    path = write(tmp_path / "scene.wav", scene(6, 4, 7, 4, 6))
    answer = ask(client, path, models[0].name, True)
    assert answer["is_cry"] is True
    spans = detector.scan(audio.load(path)).spans
    assert len(spans) == 2
    for segment, span in zip(answer["segments"], spans, strict=True):
        assert (segment["start"], segment["end"]) == pytest.approx((span.start, span.end))
        assert set(segment["probabilities"]) == set(models[0].classifier.labels)


def test_what_is_neither_true_nor_false_is_refused(client, examples):
    with pytest.raises(AppError, match="without quotes"):
        ask(client, examples / "synthetic_rhythmic.wav", "", "false")


def test_a_model_that_is_not_there_is_one_sentence(client, examples, server):
    with pytest.raises(AppError, match="There is no model 'x' here; choose one of") as failure:
        ask(client, examples / "synthetic_rhythmic.wav", "x")
    assert str(failure.value).count(".") == 1
    assert "Traceback" not in server.log.read_text()


def test_only_two_endpoints_are_public_and_predict_comes_first(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == [
        "/predict",
        "/analysis",
    ]


def test_two_visitors_at_once_each_get_their_own_answer(server, examples, tmp_path, models):
    """With recordings of their own and with the same one, which Gradio stores once for both."""
    paths = sorted(examples.glob("*.wav"))
    wave, rate = soundfile.read(paths[0])
    paths += [write(tmp_path / f"own{s}.wav", wave[: s * rate], rate) for s in (3, 4)]

    def visit(first):
        client = Client(server.url, verbose=False)
        order = paths[first:] + paths[:first]
        return {path: ask(client, path, models[0].name, True)["probabilities"] for path in order}

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(visit, range(2)))
    for path in paths:
        expected = models[0].classifier.predict(path).probabilities
        for answer in answers:
            assert answer[path] == pytest.approx(expected, abs=1e-5)


def test_nothing_that_a_visitor_sent_is_kept(server, client, tmp_path):
    path = tmp_path / "private-name.wav"
    write(path, 0.1 * np.random.default_rng(0).standard_normal(32000))
    ask(client, path)
    Session(server, "private", path).answer()
    assert server.kept() == []
    assert "private-name" not in server.log.read_text()


class Session:
    """One visitor's page, as the browser speaks to the server: the upload once, then switches."""

    def __init__(self, server, name, path):
        self.http, self.name = httpx.Client(base_url=f"{server.url}/gradio_api", timeout=60), name
        (self.file,) = self.http.post("/upload", files={"files": path.open("rb")}).json()
        config = httpx.get(f"{server.url}/config").json()
        ids = {c["props"].get("elem_id"): c["id"] for c in config["components"]}
        self.events = {tuple(t): d["id"] for d in config["dependencies"] for t in d["targets"]}
        self.listen, self.model = ids["listen"], ids["model"]

    def run(self, target, event, *data):
        """What the event of a component puts on the page."""
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
        """The card of the session's recording."""
        file = {"path": self.file, "meta": {"_type": "gradio.FileData"}}
        return self.run(self.listen, "upload", file)[0]

    def switch(self, model):
        """The card with this model's view of it."""
        return self.run(self.model, "input", None, model.name)[0]


def test_two_sessions_switch_without_their_files_and_do_not_mix(server, tmp_path, models, detector):
    visits = []
    for i in range(2):
        path = write(tmp_path / f"own{i}.wav", cry(4 + 2 * i))
        session = classify_all(models, str(path), detector)
        told = {m.name: headline_html(session.answers[m.name]) for m in models}
        told[None] = headline_html(session.chosen(models)[1])
        length = f"{4 + 2 * i}.0 s of sound"
        visits.append((Session(server, f"session{i}", path), told, length))
    for session, told, length in visits:
        html = session.answer()
        assert told[None] in html
        assert length in html
    assert server.kept() == []
    for model in models[1:]:
        for session, told, length in visits:
            html = session.switch(model)
            assert told[model.name] in html
            assert length in html
    stranger, *_ = visits[0]
    stranger.name = "session9"
    assert ENGLISH("gone") in stranger.switch(models[0])


def sound(seconds, level):
    return with_soundfile(level * np.resize([1, -1], round(seconds * 8000)), 8000)


@pytest.mark.parametrize(
    ("content", "words", "kind"),
    [
        (b"this is no sound", "could not be read as sound", "Undecodable"),
        (b"", "empty", "Empty"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "could not be read", "Undecodable"),
        (sound(0.3, 0.1), "0.3 s long", "TooShort"),
        (sound(2, 0.0), "silent", "Silent"),
        (sound(601, 0.1), "10 min", "TooLong"),
    ],
    ids=["text", "empty", "cut", "short", "silent", "long"],
)
def test_a_bad_file_is_one_sentence_and_the_next_one_works(
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


def test_no_recording_at_all_is_asked_for(client):
    with pytest.raises(AppError, match="no recording"):
        client.predict(None, api_name="/predict")
