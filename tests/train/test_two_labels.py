"""A corpus, or a fold of it, with one label alone teaches and measures nothing."""

import json
import shutil

import pytest
import soundfile

from train.__main__ import main

SYSTEM = "improved-ecapa-tdnn-no-mca"


def corpus(made_up_root, root, groups_of):
    """A folder of recordings: label -> the group of each of its files."""
    files = iter(sorted(made_up_root.rglob("*.wav")))
    rows = ["file,group"]
    for label, groups in groups_of.items():
        (root / label).mkdir(parents=True)
        for number, group in enumerate(groups):
            shutil.copyfile(next(files), root / label / f"{number}.wav")
            rows.append(f"{label}/{number}.wav,{group}")
    (root / "groups.csv").write_text("\n".join(rows))
    return root


def fit(root, out, *more, system=SYSTEM, command="fit"):
    which = ["--dataset"] if command == "fit" else ["--protocols", "baby", "--datasets"]
    words = [command, "--system", system, *which, "folder", "--data-root", str(root)]
    words += ["--out", str(out), "--cache", str(out / "cache"), "--folds", "2", "--epochs", "1"]
    small = ["members=2", "hidden=8"] if system == "feature-mlp" else ["channels=8", "stages=1"]
    return main([*words, "--device", "cpu", "--set", "batch=8", *small, *more])


def refused(capsys, out):
    """What it says, where nothing was measured or saved."""
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert not list(out.rglob("model.safetensors"))
    assert not list(out.rglob("predictions.csv"))
    return error


@pytest.mark.parametrize("system", [SYSTEM, "feature-mlp"])
@pytest.mark.parametrize("command", ["fit", pytest.param("grid", marks=pytest.mark.slow)])
def test_one_label_is_refused(made_up_root, tmp_path, capsys, system, command):
    root = corpus(made_up_root, tmp_path / "mine", {"hungry": "aabbcc"})
    assert fit(root, tmp_path / "out", system=system, command=command) == 2
    assert "the label 'hungry' alone" in refused(capsys, tmp_path / "out")


@pytest.mark.parametrize("spoilt", ["all", "one label"])
def test_what_cannot_be_read_counts_as_nothing(made_up_root, tmp_path, capsys, spoilt):
    root = corpus(made_up_root, tmp_path / "mine", {"hungry": "aabb", "tired": "ccdd"})
    for file in root.rglob("*.wav"):
        if spoilt == "all" or file.parent.name == "tired":
            file.write_bytes(b"nothing to hear")
    assert fit(root, tmp_path / "out") == 2
    said = refused(capsys, tmp_path / "out")
    assert ("could be read" if spoilt == "all" else "the label 'hungry' alone") in said


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_a_fold_that_would_learn_one_label_is_refused(made_up_root, tmp_path, capsys, seed):
    root = corpus(made_up_root, tmp_path / "mine", {"hungry": "aabbcc", "tired": "ee"})
    assert fit(root, tmp_path / "out", "--seeds", seed) == 2
    said = refused(capsys, tmp_path / "out")
    assert "learns from has the label 'hungry' alone" in said
    assert "--folds" in said


def test_a_test_part_with_one_label_is_refused(made_up_root, tmp_path, capsys):
    root, files = tmp_path / "mine", iter(sorted(made_up_root.rglob("*.wav")))
    for place in ("train/hungry", "train/tired", "test/hungry"):
        (root / place).mkdir(parents=True)
        for number in range(3):
            shutil.copyfile(next(files), root / place / f"{number}.wav")
    words = ["fit", "--system", SYSTEM, "--dataset", "folder", "--data-root", str(root), "--epochs"]
    words += ["1", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert main(words) == 2
    assert "the label 'hungry' alone" in refused(capsys, tmp_path / "out")


def test_what_is_left_to_learn_beside_a_part_that_is_watched(made_up_root, tmp_path, capsys):
    """Each label has two groups: one is tested, the other held back."""
    root = corpus(made_up_root, tmp_path / "mine", {"hungry": "aabbccddee", "tired": "fg"})
    assert fit(root, tmp_path / "out", "validation=0.5") == 2
    error = capsys.readouterr().err
    assert "the label 'hungry' alone" in error
    assert "Traceback" not in error


def test_a_rate_with_one_label_has_no_score_and_all_json_is_valid(made_up_root, tmp_path):
    root = corpus(made_up_root, tmp_path / "mine", {"hungry": "aabbccdd", "tired": "eeffgghh"})
    for group in (0, 2):  # a and b, which are hungry, at another rate
        file = root / "hungry" / f"{group}.wav"
        samples, _ = soundfile.read(file)
        soundfile.write(file, samples, 16_000, subtype="PCM_16")
    assert fit(root, tmp_path / "out") == 0

    def refuse(constant):
        raise ValueError(constant)

    found = {}
    for file in (tmp_path / "out").rglob("*.json"):
        found[file.name] = json.loads(file.read_text(), parse_constant=refuse)
    assert set(found) == {"run.json", "config.json"}
    assert set(found["run.json"]["metrics"]) == {"piece", "recording", "recording_8000_hz"}
