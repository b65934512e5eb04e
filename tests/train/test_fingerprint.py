"""What a fit learnt from is known again by its checkpoint, and by one that gets it afterwards."""

from safetensors.torch import load_file, save_file

from cry_model import audio
from cry_model.checkpoint import ASSETS, BUNDLED, HASHES, SALT, WEIGHTS, load_fingerprints
from tests.train.small_fit import CHECKPOINT
from train.__main__ import main


def shares(folder, root):
    """Of the recordings of a corpus that a checkpoint knows."""
    known = load_fingerprints(folder)
    found = [known.know(audio.load(path)) for path in sorted(root.rglob("*.wav"))]
    return sum(found) / len(found)


def test_a_fit_leaves_them_and_they_can_be_added_later(copied_fit, made_up_root, tmp_path):
    folder = copied_fit / CHECKPOINT
    assert shares(folder, made_up_root) > 0.9
    before = load_file(folder / WEIGHTS)
    bare = {n: t for n, t in before.items() if n not in (SALT, HASHES)}
    save_file(bare, folder / WEIGHTS)
    assert load_fingerprints(folder) is None
    place = ["--data-root", str(made_up_root), "--cache", str(tmp_path / "cache")]
    assert main(["fingerprint", str(folder), "--dataset", "donateacry", *place]) == 0
    after = load_file(folder / WEIGHTS)
    assert all(after[name].equal(before[name]) for name in before)


def test_a_model_of_rows_has_none(capsys):
    folder = ASSETS / BUNDLED["six-class-features"]
    assert main(["fingerprint", str(folder), "--dataset", "donateacry"]) == 2
    assert "keeps no fingerprints" in capsys.readouterr().err
