"""The six-class challenge corpus with its oddities, from the unpacked folder to the Hub and back.

Made here, from the synthesiser's cries: the real one is not at hand.
"""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.signal import resample_poly

from cry_model.checkpoint import CONFIG, WEIGHTS, CheckpointConfig
from tests.hub import WRITER
from train.data.datasets import synthetic6
from train.data.datasets.challenge6 import LABELS

TRAINING = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
COMMAND = re.search(r"^python -m train (fit .*--dataset challenge6 .*)$", TRAINING, re.MULTILINE)[1]
TOGETHER = [  # what must never be on both sides
    {"awake_10", "awake_11"},  # halves, 16 kHz
    {"hungry_10", "hungry_11"},  # halves, 44.1 kHz
    {"hug_0", "hug_10"},  # the same bytes
    {"hungry_0", "sleepy_10"},  # the same bytes under two labels
    {"diaper_0", "diaper_10"},  # one recording at two rates
    {"uncomfortable_11", "awake_12"},  # 3 s of the one that lasts 64 s, under another label
]
DAMAGED = {"hug_11": "could not be read", "sleepy_11": "is empty", "diaper_11": "only 0.2 s long"}
WHOLE = 12 + 10  # two plain ones of each label, and those made of them
ANSWER = """
from cry_model import CryClassifier
answer = CryClassifier.from_pretrained("user/cry6").predict(arguments[0]).probabilities
"""


def path_of(root, name):
    return root / "train" / name.rpartition("_")[0] / f"{name}.wav"


def write(root, name, sound, rate):
    path = path_of(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype="PCM_16")


def write_plain(root):
    """Two recordings of each label, of two babies, one at 16 and one at 44.1 kHz."""
    sounds = {}
    plans = synthetic6.plan(4, 4.0)  # the first three of a label are of one baby
    for number, rate in ((0, 44_100), (3, 16_000)):
        for cry in plans[number * len(LABELS) :][: len(LABELS)]:
            name = f"{cry.label}_{number}"
            sounds[name] = replace(cry, sample_rate=rate).make().waveform
            write(root, name, sounds[name], rate)
    return sounds


def write_odd(root, sounds):
    """What the real corpus has, too."""
    long = synthetic6.plan(7, 8.0)[-6:]  # babies of their own
    for label, rate in (("awake", 16_000), ("hungry", 44_100)):
        whole = replace(long[LABELS.index(label)], sample_rate=rate).make().waveform
        halves = np.split(whole[: len(whole) // 2 * 2], 2)
        for number, half in enumerate(halves, 10):
            write(root, f"{label}_{number}", half, rate)
    shutil.copyfile(path_of(root, "hug_0"), path_of(root, "hug_10"))
    shutil.copyfile(path_of(root, "hungry_0"), path_of(root, "sleepy_10"))
    write(root, "diaper_10", resample_poly(sounds["diaper_0"], 160, 441), 16_000)
    minute = np.tile(replace(long[5], seconds=16.0, sample_rate=16_000).make().waveform, 4)
    write(root, "uncomfortable_11", minute, 16_000)
    write(root, "awake_12", minute[30 * 16_000 : 33 * 16_000], 16_000)
    short = replace(long[1], seconds=3.0, sample_rate=44_100).make().waveform
    write(root, "uncomfortable_10", short, 44_100)


def write_strays(root):
    """What is no recording, or cannot be used, or has no label."""
    path_of(root, "hug_11").write_bytes(b"RIFF\xff\xff\xff\xffWAVEnothing of the kind")
    path_of(root, "sleepy_11").touch()
    write(root, "diaper_11", np.zeros(3_200), 16_000)
    (root / "train" / "hug" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "train" / "hug" / "._hug_0.wav").write_bytes(b"\0\5\x16\7")
    path_of(root, "sleepy_3").rename(root / "train" / "sleepy" / "sleepy_3.WAV")
    (root / "test").mkdir()
    shutil.copyfile(path_of(root, "awake_10"), root / "test" / "test_0.wav")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus") / "Infant cry (unpacked)"
    write_odd(root, write_plain(root))
    write_strays(root)
    return root


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def done(everything, unpacked, out):
    """The documented command, made quick; before it, the same under the other honest protocol."""
    hub, client = everything
    hub.reset()
    placeholders = {"FOLDER": str(unpacked), "user/name": "user/cry6"}
    words = [placeholders.get(word, word) for word in shlex.split(COMMAND)]
    quick = ["--epochs", "1", "--folds", "2", "--set", "channels=16", "--out", out]
    quick += ["--cache", out / "cache"]
    sending = words.index("--publish")
    unsent = [*words[:sending], *words[sending + 2 :], "--no-checkpoint"]
    first = client.train(*unsent, *quick, "--protocol", "recording", token=None)
    assert first.status == 0, first.err
    second = client.train(*words, *quick, token=WRITER)
    assert second.status == 0, second.err
    return second


def results(out, protocol):
    (folder,) = (out / "results" / "challenge6" / protocol).iterdir()
    return json.loads((folder / "run.json").read_text()), pd.read_csv(folder / "predictions.csv")


@pytest.mark.parametrize("protocol", ["recording", "baby"])
def test_what_belongs_together_is_one_group_on_one_side_and_nothing_else_is(done, out, protocol):
    _, table = results(out, protocol)
    groups = [set(members) for _, members in table.groupby("group")["recording"]]
    assert sum(map(len, groups)) == table["recording"].nunique() == WHOLE
    joined = [members for members in groups if len(members) > 1]
    assert sorted(map(sorted, joined)) == sorted(map(sorted, TOGETHER))
    assert set(table["fold"]) == {0, 1}
    assert table.groupby("group")["fold"].nunique().max() == 1


def test_what_cannot_be_used_is_named_with_the_reason_and_the_rest_is_there(done, out):
    record, table = results(out, "baby")
    assert set(record["left_out"]) == set(DAMAGED)
    for name, why in DAMAGED.items():
        assert why in record["left_out"][name]
        assert f"Left out {name}: {record['left_out'][name]}" in done.out
    assert f"challenge6: {WHOLE} recordings in {WHOLE - len(TOGETHER)} groups" in done.out
    assert "sleepy_3.WAV" in set(table["recording"])
    assert not any(name.startswith(("test_", "._")) for name in table["recording"])
    pieces = table["recording"].value_counts()
    assert pieces["uncomfortable_10"] == 1
    assert pieces["uncomfortable_11"] > 60 / 5


def test_what_is_published_are_the_six_class_weights_with_their_numbers(done, everything, out):
    repository = everything[0].repositories["models/user/cry6"]
    files = repository.files()
    assert set(files) == {".gitattributes", "README.md", CONFIG, WEIGHTS}
    config = CheckpointConfig.from_json(files[CONFIG].decode())
    assert config.labels == LABELS
    (folder,) = (out / "checkpoints").iterdir()
    assert files[WEIGHTS] == (folder / WEIGHTS).read_bytes()
    measured = results(out, "baby")[0]["metrics"]["recording"]["metrics"]
    assert config.evaluation.protocol == "baby"
    assert f"{measured['accuracy']['value']:.3f}" in files["README.md"].decode()
    assert f"Published: {everything[0].url}/user/cry6/commit/" in done.out


def test_what_is_published_answers(done, everything, unpacked):
    for name in ("uncomfortable_10", "uncomfortable_11", "hungry_10"):
        found = everything[1].python(ANSWER, str(path_of(unpacked, name)))
        assert tuple(found) == LABELS
        assert sum(found.values()) == pytest.approx(1, abs=1e-5)
