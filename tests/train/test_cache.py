"""A prepared corpus is what was decoded, once, and notices when the recordings change."""

from dataclasses import replace

import pytest
import soundfile
import torch

from cry_model import PAPER_FRONT_END, FrontEndConfig, audio
from tests.train.folders import cry, write
from train.__main__ import main
from train.data.cache import DATASETS, cache_path, load, prepare
from train.data.corpus import DataError
from train.data.datasets import public

DATASET = DATASETS["donateacry"]
CONFIG = FrontEndConfig()


@pytest.fixture
def root(tmp_path):
    """Five recordings, one a label, and one that is no recording."""
    for i, label in enumerate(public.REASONS):
        path = tmp_path / "donateacry" / label / f"{i:036d}-x.wav"
        write(path, cry(i, 2.0 + i, 8000), 8000)
    (tmp_path / "donateacry" / "tired" / "broken.wav").write_bytes(b"RIFF broken")
    return tmp_path


def test_it_holds_what_was_decoded_to_16_bits(made_up_root, clips, tmp_path):
    data, path = prepare(DATASET, made_up_root, tmp_path, CONFIG)
    assert [replace(i, path=None) for i in data.clips.items] == [
        replace(i, path=None) for i in clips.items
    ]
    assert torch.equal(data.clips.labels, clips.labels)
    assert data.clips.seconds == clips.seconds
    for ours, decoded in zip(data.clips.waveforms, clips.waveforms, strict=True):
        assert (ours - decoded).abs().max() <= decoded.abs().max() / 32767 / 2 * 1.01
    size = sum(2 * len(w) for w in clips.waveforms)
    assert size < path.stat().st_size < 1.05 * size + 20_000


def test_the_paper_front_end_shares_the_file_and_another_rate_does_not(root, tmp_path):
    _, path = prepare(DATASET, root, tmp_path / "c", CONFIG)
    assert prepare(DATASET, root, tmp_path / "c", PAPER_FRONT_END)[1] == path
    other = replace(CONFIG, sample_rate=16_000)
    assert cache_path(tmp_path / "c", "donateacry", other) != path
    with pytest.raises(DataError, match="another front end"):
        load(path, other)


def test_it_is_written_once_and_again_when_a_recording_changes(root, tmp_path):
    first, path = prepare(DATASET, root, tmp_path / "c", CONFIG)
    written = path.stat().st_mtime_ns
    prepare(DATASET, root, tmp_path / "c", CONFIG)
    assert path.stat().st_mtime_ns == written
    file = next((root / "donateacry" / "hungry").iterdir())
    length = soundfile.info(file).frames / 8000  # not even the length tells
    write(file, cry(9, length, 8000), 8000)
    again, _ = prepare(DATASET, root, tmp_path / "c", CONFIG)
    assert path.stat().st_mtime_ns != written
    assert again.clips.fingerprint() != first.clips.fingerprint()


def test_what_cannot_be_read_is_left_out_and_named_and_takes_no_other_with_it(
    root, tmp_path, capsys, monkeypatch
):
    folder = root / "donateacry" / "tired"
    samples = cry(9, 2.0, 8000)
    soundfile.write(folder / "huge.wav", samples * 1e30, 8000, subtype="FLOAT")
    soundfile.write(folder / "odd.wav", samples, 8000)
    load_one = audio.load

    def unlucky(source, *args):
        if source == folder / "odd.wav":
            raise IndexError("index 0 is out of bounds")
        return load_one(source, *args)

    monkeypatch.setattr(audio, "load", unlucky)
    command = ["prepare", "donateacry", "--data-root", str(root), "--cache", str(tmp_path / "c")]
    for _ in range(2):  # decoded, and then from the file
        assert main(command) == 0
        said = capsys.readouterr().out
        assert "Left out broken:" in said
        assert "Left out huge: The recording holds impossible values" in said
        assert "Left out odd: This recording could not be read (IndexError)" in said
        assert "5 recordings in 5 groups, 0 of them unlabelled, 3 left out." in said


def test_a_missing_or_damaged_file_is_one_sentence(root, tmp_path):
    _, path = prepare(DATASET, root, tmp_path / "c", CONFIG)
    with pytest.raises(DataError, match="There is no file"):
        load(tmp_path / "none.safetensors", CONFIG)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="damaged or not a prepared corpus"):
        load(path, CONFIG)
    assert len(prepare(DATASET, root, tmp_path / "c", CONFIG)[0].clips.items) == 5
