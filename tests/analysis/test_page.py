"""The page as an API: what gradio_client gets, and what is left on the server."""

import threading

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from cry_model import CryClassifier


@pytest.fixture(scope="module")
def client(server):
    return Client(server.url, verbose=False)


def ask(client, path):
    return client.predict(handle_file(str(path)), api_name="/predict")


def test_the_api_gives_what_the_classifier_gives(client, examples):
    path = examples / "synthetic_rhythmic.wav"
    expected = CryClassifier.from_pretrained().predict(path).to_dict()
    answer = ask(client, path)
    assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)
    assert answer["evaluation"]["metrics"] == expected["evaluation"]["metrics"]


def test_only_the_two_endpoints_are_public(client):
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == {
        "/classify",
        "/predict",
    }


def test_two_visitors_at_once_each_get_their_own_answer(server, examples, tmp_path):
    """With recordings of their own and with the same one, which Gradio stores once for both."""
    paths = sorted(examples.glob("*.wav"))
    wave, rate = soundfile.read(paths[0])
    for seconds in (3, 4):
        paths.append(tmp_path / f"own{seconds}.wav")
        soundfile.write(paths[-1], wave[: seconds * rate], rate)
    classifier = CryClassifier.from_pretrained()
    expected = [classifier.predict(p).probabilities for p in paths]
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
