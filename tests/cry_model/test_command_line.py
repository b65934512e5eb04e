"""Test ``python -m cry_model``: the choice of model, its output and files, its refusals."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import soundfile

from cry_model import CryClassifier, CryDetector
from cry_model import __main__ as command
from cry_model.__main__ import main
from cry_model.checkpoint import BUNDLED
from cry_model.detection import clock
from cry_model.prediction import choose
from cry_model.sound import audio
from tests.conftest import ROOT
from tests.stand_ins import EVALUATION, RATE, hum, scene, write

CHIME = str(ROOT / "assets/examples/synthetic_door_chime.wav")
CRY = str(ROOT / "assets/examples/synthetic_rhythmic.wav")
NO_RAY = pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is here")


def test_models_lists_the_names_that_predict_takes(tmp_path, monkeypatch, capsys):
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    for name in BUNDLED:
        (tmp_path / name).mkdir()  # the bundled model wins over a folder of that name
        options = ["--json", "--full", "--no-detector", "--model", name]
        assert main(["predict", CRY, *options]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["file"], answer["model"]) == (CRY, name)
        labels = ", ".join(label.replace("_", " ") for label in answer["probabilities"])
        (line,) = (line for line in listed.splitlines() if line.startswith(f"  {name} "))
        assert line.endswith(f": {labels}")


def test_a_failing_file_does_not_stop_the_others(tmp_path, capsys, monkeypatch):
    huge, odd, strange = tmp_path / "huge.wav", tmp_path / "odd.wav", tmp_path / "\udcff.wav"
    samples, rate = soundfile.read(CRY, dtype="float32")
    soundfile.write(huge, samples * np.float32(1e30), rate, subtype="FLOAT")
    try:
        strange.symlink_to(CRY)
    except (OSError, UnicodeError):
        strange = CRY  # the file system takes only names in UTF-8
    predict = CryClassifier.predict

    def unlucky(self, source, *args, **more):
        if str(source) == str(odd):
            raise IndexError("index 0 is out of bounds")
        return predict(self, source, *args, **more)

    monkeypatch.setattr(CryClassifier, "predict", unlucky)
    files = [str(file) for file in (huge, CRY, odd, strange, tmp_path / "gone.wav", CRY)]
    assert main(["predict", "--no-detector", *files]) == 2
    output = capsys.readouterr()
    assert output.out.count("Not a medical device.") == 3
    lines = output.err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [files[0], files[2], files[4]]
    assert "invalid values" in lines[0]
    assert "IndexError" in lines[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([CRY, "--model", "six-clas"], "neither a folder nor a model"),
        ([CRY, "--revision", "v1"], "leave the revision out"),
        ([CRY, "--revision", "v1", "--model", "six-class"], "leave the revision out"),
        ([CRY, "--revision", "v1", "--model", "."], "leave the revision out"),
        ([CRY, "--full"], "--full needs --json"),
        ([CRY, "--out", "table.csv", "--json"], "--json"),
        ([CRY, "--ray"], "--ray needs --out"),
        ([CRY, "--out", "out", "--ray"], "--ray needs --out"),
        pytest.param([CRY, "--out", "t.csv", "--ray"], "--ray needs Ray", marks=NO_RAY),
        ([CRY, "--out", "answers.xlsx"], "--out cannot write .xlsx; give .csv, .parquet"),
        ([CRY, "--no-detector", "--out", "file"], "--out file cannot be written"),
        (["."], "no recording"),
        ([".", "--out", "table.csv"], "no recording"),
    ],
)
def test_bad_options_are_refused_and_write_nothing(words, told, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^2$"):
        sys.exit(main(["predict", *words]))
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("asked", [["predict", CHIME, CHIME], ["models"]])
def test_a_closed_pipe_prints_no_error(asked):
    command = [sys.executable, "-m", "cry_model", *asked]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        ended = subprocess.run(command, cwd=ROOT, stdout=gone, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, "Error" in ended.stderr) == (1, False), ended.stderr


# Which of several models answers


KNOWS, CHANCE, OUTSIDE, NEVER = (
    {"outside": False, "evaluation": EVALUATION},
    {"outside": False, "evaluation": replace(EVALUATION, chance=1.0)},
    {"outside": True, "evaluation": EVALUATION},
    {"outside": False, "evaluation": None},
)


@pytest.fixture(scope="module")
def prediction():
    return CryClassifier.from_pretrained("six-class", detector=False).predict(CRY)


@pytest.mark.parametrize(
    ("answers", "chosen", "asked"),
    [
        ([KNOWS, KNOWS, CHANCE], 0, 1),
        ([NEVER, KNOWS], 0, 1),
        ([OUTSIDE, KNOWS, CHANCE], 1, 2),
        ([CHANCE, KNOWS], 1, 2),
        ([OUTSIDE, OUTSIDE, CHANCE], 2, 3),
        ([OUTSIDE, OUTSIDE], 0, 2),
    ],
)
def test_the_first_model_in_distribution_and_above_chance_answers(
    prediction, answers, chosen, asked
):
    told = ((str(i), replace(prediction, cautions=(), **a)) for i, a in enumerate(answers))
    name, answer = choose(told)
    assert int(name) == chosen
    assert answer.fallback == bool(chosen)
    assert len(list(told)) == len(answers) - asked


def test_an_8_khz_clip_is_answered_by_the_8_khz_model(data_root, capsys):
    wide = next((data_root / "challenge6_cuts" / "awake").glob("*.flac"))
    narrow = next((data_root / "donateacry" / "hungry").glob("*.wav"))
    assert main(["predict", str(wide), str(narrow), "--json", "--no-detector"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["model"] == "six-class"
    assert (second["model"], second["answer"]["reason"]) == ("donate-a-cry", "at chance")
    assert (first["fallback"], second["fallback"]) == (False, True)
    main(["predict", str(narrow), "--no-detector"])
    assert command.INSTEAD in capsys.readouterr().out


# Detected cries as text, JSON and files


@pytest.fixture
def folder(tmp_path, detector, monkeypatch):
    """Replace the bundled detector by a stand-in; return a folder with a hum, two files of the same
    stem with two cries each, an undecodable file, a dangling link, and a text file."""
    monkeypatch.setattr(CryDetector, "from_pretrained", classmethod(lambda cls, **_: detector))
    root = tmp_path / "in"
    (root / "night").mkdir(parents=True)
    write(root / "hum.wav", hum(4, RATE))
    write(root / "night" / "two.wav", scene(6, 4, 7, 4, 6))
    write(root / "night" / "two.FLAC", scene(6, 4, 7, 4, 6))
    (root / "bad.wav").write_bytes(b"no sound")
    (root / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (root / "notes.txt").write_text("x")
    return root


def test_a_folder_becomes_a_table_and_labels(folder, tmp_path, capsys):
    out = tmp_path / "out"
    line = ["predict", str(folder), "--out", str(out), "--json", "--full"]
    assert main(line) == 2
    output = capsys.readouterr()
    refused = [str(folder / name) for name in ("bad.wav", "gone.wav")]
    assert [line.split(": ")[0] for line in output.err.splitlines()] == refused
    told = {answer["file"]: answer for answer in map(json.loads, output.out.splitlines())}
    written = (out / "answers.csv").read_bytes()
    every = list(csv.DictReader(written.decode().splitlines()))
    rows = [row for row in every if not row["error"]]
    assert [row["file"] for row in every if row["error"]] == refused
    assert [row["file"] for row in rows] == list(told) == sorted(told)
    for row in rows:
        answer = told[row["file"]]
        assert (row["model"], row["answer"]) == (answer["model"], answer["answer"]["kind"])
        assert row["labels"].split(";") == (answer["answer"]["labels"] or [""])
        assert int(row["cries"]) == len(answer["segments"])
    names = {"hum": 0, "night/two": 2, "night/two-2": 2}
    for (name, cries), answer in zip(names.items(), told.values(), strict=True):
        audacity = [line.split("\t") for line in (out / f"{name}.txt").read_text().splitlines()]
        with (out / f"{name}.selections.txt").open(newline="") as file:
            raven = list(csv.DictReader(file, delimiter="\t"))
        assert len(audacity) == len(raven) == cries
        for (start, end, label), row, segment in zip(
            audacity, raven, answer["segments"], strict=True
        ):
            assert (float(start), float(end)) == pytest.approx((segment["start"], segment["end"]))
            assert (start, end) == (row["Begin Time (s)"], row["End Time (s)"])
            assert label == row["Annotation"]
            assert label.startswith("cry")
            assert all(name.replace("_", " ") in label for name in segment["labels"])
    assert main(line) == 2  # existing answers are not overwritten
    assert str(out / "answers.csv") in capsys.readouterr().err
    assert (out / "answers.csv").read_bytes() == written


def test_text_and_json_report_the_detected_cries(folder, detector, capsys):
    files = [str(folder / name) for name in ("hum.wav", "night/two.wav")]
    main(["predict", *files])
    nothing, cries = capsys.readouterr().out.split(f"{files[1]}\n")
    assert "hungry" not in nothing
    spans = detector.scan(audio.load(files[1])).spans
    assert len(spans) == 2
    assert (clock(0), clock(59.96), clock(75.25)) == ("0:00.0", "1:00.0", "1:15.3")
    for line, span in zip(cries.splitlines(), spans, strict=False):
        assert line.split()[:3] == [clock(span.start), "-", clock(span.end)]
    main(["predict", *files, "--json"])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["is_cry"], first["probabilities"], first["segments"]) == (False, {}, [])
    assert first["cry_probability"] < 0.5
    assert second["is_cry"] is True
    assert [set(segment) for segment in second["segments"]] == [{"start", "end", "labels"}] * 2
    main(["predict", files[0], "--json", "--full"])
    told = json.loads(capsys.readouterr().out)
    assert set(told["calibration"]["constant_set"]) < set(told["probabilities"])
    assert set(first) < set(told)
