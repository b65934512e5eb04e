"""Check which file a recording named in the results is, and how the page plays it."""

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
    find_audio,
    find_recording,
    play,
    player_html,
)
from cry_model.sound import audio

RATE = 8000
TONE = 0.3 * np.sin(np.arange(RATE) / 3)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Write a data root with recordings in each layout, and files that must not be found."""
    root = tmp_path / "data"
    files = {
        "donateacry/hungry": ["AB-1.0-m-hu.wav", ".hidden.wav", "twice.wav"],
        "donateacry/tired": ["CD.WAV", "twice.wav"],
        "donateacry/.git": ["inside.wav"],
        "donateacry_ios": ["EF.flac"],
        "esc10/001 - Dog bark": ["1-100-A.ogg"],
        "challenge6/train/awake": ["awake_7.wav"],
        "../outside": ["secret.wav"],
    }
    for folder, names in files.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            soundfile.write(root / folder / name, TONE, RATE)
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
def test_recordings_are_found_by_the_names_in_the_results(data, dataset, recording, path):
    assert find_recording(dataset, recording) == data / path
    if dataset != "folder-data":
        expected = audio.load(data / path)
        np.testing.assert_array_equal(find_audio(dataset, recording).waveform, expected.waveform)


NAMES = ("../../outside/secret", "../../outside/secret.wav", "/etc/passwd", "", ".hidden", "inside")
DATASETS = ("..", "../outside", "donateacry/../../outside", "ABSOLUTE")


@pytest.mark.parametrize(
    ("dataset", "recording"),
    [
        *(("donateacry", name) for name in (*NAMES, "notes", "gone")),
        ("donateacry", "twice"),  # in two folders: ambiguous
        *((dataset, "secret") for dataset in DATASETS),
        *((dataset, "AB-1.0-m-hu") for dataset in ("", ".", "nowhere")),
        ("folder-other", "donateacry/tired/CD.WAV"),
    ],
)
def test_other_files_and_names_are_not_found(data, dataset, recording):
    dataset = dataset.replace("ABSOLUTE", str(data.parent / "outside"))
    assert find_recording(dataset, recording) is None
    with pytest.raises(audio.AudioError, match=re.escape(NOT_FOUND)):
        find_audio(dataset, recording)


def test_without_cry_data_nothing_is_found(data, monkeypatch):
    monkeypatch.setenv("CRY_DATA", "")
    assert find_recording("donateacry", "CD") is None


@pytest.mark.parametrize(
    ("dataset", "recording", "sentence"),
    [
        ("donateacry", "broken", "could not be read as sound"),
        ("donateacry", "AB-1.0-m-hu", "could not be opened"),  # deleted after indexing
        ("challenge6", "awake_7", "licence"),
        ("challenge6_cuts", "awake_7", "licence"),
    ],
)
def test_unplayable_recording_gives_a_sentence(data, dataset, recording, sentence):
    assert find_recording("donateacry", recording) or sentence == "licence"
    (data / "donateacry" / "hungry" / "AB-1.0-m-hu.wav").unlink()
    with pytest.raises(audio.AudioError, match=sentence):
        find_audio(dataset, recording)


def test_every_recording_in_the_results_is_found_under_its_label(data_root, monkeypatch):
    monkeypatch.setenv("CRY_DATA", str(data_root))
    runs = [run for run in find_runs(RESULTS).runs if run.dataset in ("donateacry", "esc10")]
    assert runs
    for run in {run.dataset: run for run in runs}.values():
        for row in run.recordings.itertuples():
            folder = find_recording(run.dataset, row.recording).parent.name
            assert folder.split(" - ")[-1].lower().replace(" ", "_") == row.label


def test_player_has_the_first_minute_at_unchanged_level():
    wave = np.array([-1.5, -1, -0.25, 0, 0.25, 1, 1.5] * RATE * 10, np.float32)
    sound = audio.load(wave, RATE)  # 16-bit samples are clipped, not wrapped or scaled
    html = player_html("<b>", sound)
    data = base64.b64decode(re.search('src="data:audio/wav;base64,([^"]+)"', html)[1])
    samples, rate = soundfile.read(io.BytesIO(data))
    assert (len(samples), rate) == (SECONDS * RATE, RATE)
    np.testing.assert_allclose(samples, wave[: len(samples)].clip(-1, 1), atol=1 / 32768)
    assert "<b>" not in html
    assert "the first 60 s" in html
    assert "the first" not in player_html("r", audio.load(TONE, RATE))


def test_play_returns_a_player_or_the_reason(data):
    played, gone, broken = (
        play({"dataset": "donateacry", "recording": name})["html"]
        for name in ("CD", "<gone>", "broken")
    )
    for part in ("<audio", "<button"):
        assert part in played
        assert part not in gone + broken
    assert NOT_FOUND in gone
    assert "&lt;gone&gt;" in gone
    assert str(data) not in played + gone + broken  # no path is shown
    assert NOT_FOUND in play({})["html"]
