"""What ``fit`` cannot do it says in one sentence, before it has computed or written anything."""

import json
import shutil

import pytest
import soundfile
from filelock import FileLock

from tests.train import small_fit
from tests.train.small_fit import RESULTS, SYSTEM
from train.__main__ import main
from train.cli.grid import BUSY


@pytest.fixture
def refused(made_up_root, tmp_path, capsys):
    """Runs the small fit, which is refused; returns the sentence."""

    def run(*more, out=tmp_path, root=made_up_root, status=2, **system):
        capsys.readouterr()
        assert small_fit.fit(root, out, *more, **system) == status
        error = capsys.readouterr().err
        assert "Traceback" not in error
        assert "epoch/s" not in error  # nothing was fitted
        return error

    return run


# Before a recording is read


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "colour=red"], ["has no such setting", "channels", "mixup", "batch", "fft"]),
        (["--set", "chanels=8"], ["has no such setting; it has channels."]),
        (["--set", "average=0"], ["has no such setting; it has ema_decay."]),
        (["--set", "channels=none"], [f"{SYSTEM} cannot be built with", "channels=none"]),
        (["--set", "channels=-1"], ["channels must be a whole number from 4"]),
        (["--set", "heads=3"], ["cannot be split"]),
        (["--set", "batch=1000000000"], ["batch must be a whole number"]),
        (["--set", "reused_classifier={'hidden':8}"], ["--teacher"]),
        (["--folds", "40"], ["there are 15; take fewer --folds"]),
        (["--folds", "4000000000"], ["take fewer --folds"]),
        (["--epochs", "4000000000"], ["epochs must be a whole number"]),
        (["--unlabelled", "donateacry"], ["need a --teacher"]),
        (["--teacher", "x", "--permute-labels", "1"], ["leave --permute-labels out"]),
        (["--teacher", "x", "--outer-fold", "1"], ["leave --outer-fold out"]),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_recording_is_read(
    refused, monkeypatch, words, said
):
    monkeypatch.setattr("train.cli.plan.find_corpus", None)  # would be called
    error = refused(*words)
    assert all(part in error for part in said)
    assert len(error.splitlines()) == 1


def test_a_wrong_folder_or_none_or_a_fold_too_many_is_one_sentence(
    refused, tmp_path, monkeypatch, capsys
):
    assert "--outer-fold counts from 0" in refused("--outer-fold", "2")
    assert "There are no recordings in" in refused(root=tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRY_DATA", raising=False)
    assert main(["fit", "--system", SYSTEM, "--dataset", "donateacry"]) == 2
    assert "--data-root" in capsys.readouterr().err


# Results of another run, or damaged ones


def test_other_settings_or_other_sound_do_not_mix_with_an_earlier_run(
    finished_fit, made_up_root, tmp_path, refused
):
    assert "other settings" in refused("--preset", "paper", out=finished_fit)
    shutil.copytree(made_up_root / "donateacry", tmp_path / "donateacry")
    file = next(tmp_path.rglob("*.wav"))
    samples, rate = soundfile.read(file)
    soundfile.write(file, samples[::-1], rate, subtype="PCM_16")  # under the same name
    assert "other settings or data" in refused(out=finished_fit, root=tmp_path)


def test_two_fits_into_one_folder_do_not_mix(refused, tmp_path):
    lock = tmp_path / "state" / f"results-donateacry-baby-{SYSTEM}.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert "Another process writes to" in refused(status=BUSY)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("predictions.csv", lambda table: "".join(table.splitlines(keepends=True)[:-9])),
        ("run.json", lambda _: '{"configuration": {}}'),
    ],
)
def test_a_damaged_file_is_refused_before_anything_is_fitted(copied_fit, refused, name, damage):
    path = copied_fit / RESULTS / name
    path.write_text(damage(path.read_text()))
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    said = refused("--seeds", "0", "1", out=copied_fit)
    assert str(path) in said
    assert "restore" in said
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


# One label alone teaches and measures nothing


@pytest.fixture
def mine(made_up_root, tmp_path):
    """Writes recordings into folders: name -> the group of each of its files."""
    files = iter(sorted(made_up_root.rglob("*.wav")))

    def write(grouped=True, **groups_of):
        root, rows = tmp_path / "mine", ["file,group"]
        for label, groups in groups_of.items():
            (root / label).mkdir(parents=True)
            for number, group in enumerate(groups):
                shutil.copyfile(next(files), root / label / f"{number}.wav")
                rows.append(f"{label}/{number}.wav,{group}")
        if grouped:
            (root / "groups.csv").write_text("\n".join(rows))
        return root

    return write


OWN = ("--dataset", "folder", "--set", "batch=8")
ALONE = "the label 'hungry' alone"


@pytest.mark.parametrize(
    ("groups", "more", "said"),
    [
        ({"hungry": "aabbcc"}, (), ALONE),
        ({"hungry": "aabbcc", "tired": "ee"}, (), f"learns from has {ALONE}"),
        # Each label has two groups: one is tested, the other held back.
        ({"hungry": "aabbccddee", "tired": "fg"}, ("validation=0.5",), ALONE),
    ],
)
def test_one_label_is_refused(mine, refused, tmp_path, groups, more, said):
    assert said in refused(*OWN, *more, root=mine(**groups))
    assert not [*tmp_path.rglob("model.safetensors"), *tmp_path.rglob("predictions.csv")]


def test_one_label_is_refused_for_features_too(mine, tmp_path, capsys):
    words = small_fit.words(mine(hungry="aabbcc"), tmp_path, *OWN, system="feature-mlp")
    place = words.index("channels=8")
    assert main([*words[:place], "members=2", "hidden=8", *words[place + 2 :]]) == 2
    assert ALONE in capsys.readouterr().err


def test_a_rate_with_one_label_has_no_score_and_all_json_is_valid(mine, tmp_path):
    root = mine(hungry="aabbccdd", tired="eeffgghh")
    for group in (0, 2):  # a and b, which are hungry, at another rate
        file = root / "hungry" / f"{group}.wav"
        samples, _ = soundfile.read(file)
        soundfile.write(file, samples, 16_000, subtype="PCM_16")
    assert small_fit.fit(root, tmp_path / "out", *OWN) == 0

    found = {
        file.name: json.loads(file.read_text(), parse_constant=pytest.fail)
        for file in (tmp_path / "out").rglob("*.json")
    }
    assert set(found) == {"run.json", "config.json"}
    assert set(found["run.json"]["metrics"]) == {"piece", "recording", "recording_8000_hz"}
