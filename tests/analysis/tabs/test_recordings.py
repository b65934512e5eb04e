"""Which file is the recording that the results name, and what the page makes of it."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile

from analysis.stats.runs import RESULTS, find_runs
from analysis.tabs import recordings
from analysis.tabs.recordings import (
    NOT_FOUND,
    SECONDS,
    AudioNotFoundError,
    find_audio,
    find_recording,
    play,
    player_html,
)
from cry_model.sound import audio

RATE = 8000
NAMES = ("CD", "<gone>", "broken")


def tone(hz=400, seconds=1.0, rate=RATE):
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data root with some recordings of each layout, and files that must not be taken."""
    root = tmp_path / "data"
    for name in (
        "donateacry/hungry/AB-1.0-m-hu.wav",
        "donateacry/tired/CD.WAV",
        "donateacry/hungry/.hidden.wav",
        "donateacry/.git/inside.wav",
        "donateacry/hungry/twice.wav",
        "donateacry/tired/twice.wav",
        "donateacry_ios/EF.flac",
        "esc10/001 - Dog bark/1-100-A.ogg",
        "challenge6/train/awake/awake_7.wav",
        "../outside/secret.wav",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(), RATE)
    (root / "donateacry" / "hungry" / "notes.txt").write_text("no sound")
    (root / "donateacry" / "hungry" / "broken.wav").write_bytes(b"no sound in here")
    monkeypatch.setenv("CRY_DATA", str(root))
    recordings._index.cache_clear()
    yield root
    recordings._index.cache_clear()


@pytest.mark.parametrize(
    ("dataset", "recording", "path"),
    [
        ("donateacry", "AB-1.0-m-hu", "donateacry/hungry/AB-1.0-m-hu.wav"),
        ("donateacry", "CD", "donateacry/tired/CD.WAV"),
        ("donateacry", "CD.WAV", "donateacry/tired/CD.WAV"),
        ("donateacry_ios", "EF", "donateacry_ios/EF.flac"),
        ("esc10", "1-100-A", "esc10/001 - Dog bark/1-100-A.ogg"),
        ("folder-data", "donateacry/tired/CD.WAV", "donateacry/tired/CD.WAV"),
    ],
)
def test_recordings_are_found_as_the_readers_name_them(data, dataset, recording, path):
    assert find_recording(dataset, recording) == data / path
    if dataset != "folder-data":
        expected = audio.load(data / path)
        np.testing.assert_array_equal(find_audio(dataset, recording).waveform, expected.waveform)


@pytest.mark.parametrize(
    ("dataset", "recording"),
    [
        ("donateacry", "../../outside/secret"),
        ("donateacry", "../../outside/secret.wav"),
        ("donateacry", "/etc/passwd"),
        ("..", "secret"),
        ("../outside", "secret"),
        ("donateacry/../../outside", "secret"),
        ("", "AB-1.0-m-hu"),
        (".", "AB-1.0-m-hu"),
        ("donateacry", ""),
        ("donateacry", ".hidden"),
        ("donateacry", "inside"),
        ("donateacry", "notes"),
        ("donateacry", "twice"),  # in two folders: nobody knows which is meant
        ("donateacry", "gone"),
        ("nowhere", "AB-1.0-m-hu"),
        ("folder-other", "donateacry/tired/CD.WAV"),
        ("OUTSIDE", "secret"),  # an absolute path in the place of a dataset's name
    ],
)
def test_nothing_else_is(data, dataset, recording):
    dataset = dataset.replace("OUTSIDE", str(data.parent / "outside"))
    assert find_recording(dataset, recording) is None
    with pytest.raises(AudioNotFoundError) as told:
        find_audio(dataset, recording)
    assert str(told.value) == NOT_FOUND


def test_without_the_variable_nothing_is_at_hand(data, monkeypatch):
    monkeypatch.setenv("CRY_DATA", "")
    assert find_recording("donateacry", "CD") is None
    monkeypatch.delenv("CRY_DATA")
    assert find_recording("donateacry", "CD") is None


@pytest.mark.parametrize(
    ("dataset", "recording", "sentence"),
    [
        ("donateacry", "broken", "could not be read as sound"),
        ("donateacry", "AB-1.0-m-hu", "could not be opened"),  # it went since the folder was read
        ("challenge6", "awake_7", "licence"),
        ("challenge6_cuts", "awake_7", "licence"),
    ],
)
def test_why_a_recording_is_not_played_is_a_sentence(data, dataset, recording, sentence):
    assert find_recording("donateacry", recording) or sentence == "licence"
    (data / "donateacry" / "hungry" / "AB-1.0-m-hu.wav").unlink()
    with pytest.raises(AudioNotFoundError, match=sentence):
        find_audio(dataset, recording)


def test_every_recording_of_the_repository_is_found_under_its_label(data_root, monkeypatch):
    monkeypatch.setenv("CRY_DATA", str(data_root))
    runs = [run for run in find_runs(RESULTS).runs if run.dataset in ("donateacry", "esc10")]
    assert runs
    for run in {run.dataset: run for run in runs}.values():
        for row in run.recordings.itertuples():
            folder = find_recording(run.dataset, row.recording).parent.name
            assert folder.split(" - ")[-1].lower().replace(" ", "_") == row.label


def test_the_player_holds_the_first_minute_at_its_level():
    wave = np.array([-1.5, -1, -0.25, 0, 0.25, 1, 1.5] * RATE * 10, np.float32)
    sound = audio.load(wave, RATE)  # sixteen bits neither wrap nor are scaled
    html = player_html("<b>", sound)
    data = base64.b64decode(re.search('src="data:audio/wav;base64,([^"]+)"', html)[1])
    samples, rate = soundfile.read(io.BytesIO(data))
    assert (len(samples), rate) == (SECONDS * RATE, RATE)
    np.testing.assert_allclose(samples, wave[: len(samples)].clip(-1, 1), atol=1 / 32768)
    assert "<b>" not in html
    assert "the first 60 s" in html
    assert "the first" not in player_html("r", audio.load(tone(), RATE))


def test_a_row_is_played_or_says_why_not(data):
    told = {name: play({"dataset": "donateacry", "recording": name})["html"] for name in NAMES}
    assert "<audio" in told["CD"]
    assert "<button" in told["CD"]
    assert NOT_FOUND in told["<gone>"]
    assert "&lt;gone&gt;" in told["<gone>"]
    assert not any("<audio" in told[name] or "<button" in told[name] for name in NAMES[1:])
    assert str(data) not in "".join(told.values())  # no path of this machine
    assert NOT_FOUND in play({})["html"]
