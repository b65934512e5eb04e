"""A disk that is full, a folder that may not be written, Ctrl-C: one sentence, nothing lost."""

import errno
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from tests.train.killed_fit import arguments
from tests.train.small_fit import started
from train.__main__ import main, sentence
from train.fit.state import TrainingState


def test_a_full_disk_is_one_sentence_and_the_last_state_stays(tmp_path):
    state = TrainingState(tmp_path / "fit.pt", "this")
    state.save({"epoch": 1})
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:  # the system itself refuses to let the file grow
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
        with pytest.raises(OSError, match="File too large") as caught:
            state.save({"epoch": 2, "blob": "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert state.load() == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["fit.pt"]
    assert "disk is full" in sentence(caught.value)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "may not be written"),
        (errno.EACCES, "may not be written"),
        (errno.EIO, "cannot be used"),
    ],
)
def test_trouble_in_the_middle_of_a_run(made_up_root, tmp_path, monkeypatch, capsys, number, words):
    whole = Path.write_bytes

    def fail(self, data):
        if self.name.endswith(".pt.part"):
            whole(self, data[:100])
            raise OSError(number, os.strerror(number), str(self))
        return whole(self, data)

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert main(arguments(str(made_up_root), str(tmp_path))) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert words in said
    assert str(tmp_path) in said
    assert not list(tmp_path.rglob("*.part"))


def test_an_output_that_is_no_folder_is_refused_before_training(made_up_root, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert main(arguments(str(made_up_root), str(tmp_path / "out"))) == 2
    error = capsys.readouterr().err
    assert "epoch" not in error
    assert "cannot be used" in error.splitlines()[-1]


@pytest.mark.slow
def test_ctrl_c_ends_with_a_sentence_and_the_state_is_kept(made_up_root, tmp_path):
    words = arguments(str(made_up_root), str(tmp_path))
    with started(*words, "epochs=1000", "patience=0") as process:
        end = time.monotonic() + 120
        while not list(tmp_path.rglob("*.pt")) and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert len(list(tmp_path.rglob("*.pt"))) == 1
