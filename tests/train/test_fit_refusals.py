"""Test that ``fit`` refuses bad input in one sentence, before computing or writing anything."""

import json
import shutil

import pytest
import soundfile
from filelock import FileLock

from tests.train import small_fit
from tests.train.small_fit import RESULTS, SYSTEM
from train.cli.grid import BUSY


@pytest.fixture
def refused(made_up_root, tmp_path, capsys):
    """Return a function that runs a small fit, asserts its refusal and returns the message."""

    def run(*more, out=tmp_path, root=made_up_root, status=2, system=SYSTEM):
        assert small_fit.fit(root, out, *more, system=system) == status
        error = capsys.readouterr().err
        assert "Traceback" not in error
        assert "epoch/s" not in error  # nothing was fitted
        return error

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--folds", "40"], "there are 15; use fewer --folds"),
        (["--outer-fold", "2"], "--outer-fold must be >= 0"),
        (["--data-root", "/nowhere"], "There are no recordings in"),
    ],
)
def test_impossible_folds_or_folders_are_refused(refused, words, said):
    assert said in refused(*words)


def test_other_settings_or_sound_are_refused(finished_fit, made_up_root, tmp_path, refused):
    assert "other settings" in refused("--preset", "paper", out=finished_fit)
    shutil.copytree(made_up_root / "donateacry", tmp_path / "donateacry")
    file = next(tmp_path.rglob("*.wav"))
    samples, rate = soundfile.read(file)
    soundfile.write(file, samples[::-1], rate, subtype="PCM_16")  # same name, other sound
    assert "other settings or data" in refused(out=finished_fit, root=tmp_path)


def test_a_second_fit_into_one_folder_is_refused(refused, tmp_path):
    lock = tmp_path / "state" / f"results-donateacry-baby-{SYSTEM}.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert "Another process is writing to" in refused(status=BUSY)


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


@pytest.fixture
def mine(made_up_root, tmp_path):
    """Return a function that writes recordings, given label -> the group of each file."""
    files = iter(sorted(made_up_root.rglob("*.wav")))

    def write(**groups_of):
        root, rows = tmp_path / "mine", ["file,group"]
        for label, groups in groups_of.items():
            (root / label).mkdir(parents=True)
            for number, group in enumerate(groups):
                shutil.copyfile(next(files), root / label / f"{number}.wav")
                rows.append(f"{label}/{number}.wav,{group}")
        (root / "groups.csv").write_text("\n".join(rows))
        return root

    return write


OWN = ("--dataset", "folder", "--set", "batch=8")


@pytest.mark.parametrize(
    ("groups", "setting", "system"),
    [
        ({"hungry": "aabbcc"}, "channels=8", SYSTEM),
        ({"hungry": "aabbcc"}, "hidden=8", "feature-mlp"),
        ({"hungry": "aabbcc", "tired": "ee"}, "channels=8", SYSTEM),
        # Tired has two groups: one is tested, the other held out for validation.
        ({"hungry": "aabbccddee", "tired": "fg"}, "validation=0.5", SYSTEM),
    ],
)
def test_a_single_label_is_refused(mine, refused, tmp_path, groups, setting, system):
    said = refused(*OWN, setting, root=mine(**groups), system=system)
    assert "only the label 'hungry'" in said
    assert not [*tmp_path.rglob("model.safetensors"), *tmp_path.rglob("predictions.csv")]


def test_a_rate_with_one_label_is_not_scored(mine, tmp_path):
    root = mine(hungry="aabbccdd", tired="eeffgghh")
    for group in (0, 2):  # a and b, which are hungry, at another rate
        file = root / "hungry" / f"{group}.wav"
        samples, _ = soundfile.read(file)
        soundfile.write(file, samples, 16_000, subtype="PCM_16")
    assert small_fit.fit(root, tmp_path / "out", *OWN) == 0
    files = (next((tmp_path / "out").rglob(name)) for name in ("config.json", "run.json"))
    _, run = (json.loads(file.read_text(), parse_constant=pytest.fail) for file in files)
    assert set(run["metrics"]) == {"piece", "recording", "recording_8000_hz"}
