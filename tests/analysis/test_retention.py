"""Check that expired or unused uploads and sessions are deleted, and nothing else."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from gradio.state_holder import StateHolder

from analysis import uploads
from analysis.uploads import PREFIX, delete_due, delete_sessions, delete_upload, sweep
from tests.server import file_names


def put(folder, name, content=b"sound"):
    """Write a file as Gradio stores an upload, in a folder of its own; return its path."""
    path = folder / f"of-{name}" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def old(monkeypatch, seconds=60.0):
    """Shift the clock so that all existing files expire; ctime is coarse and cannot be set."""
    time.sleep(0.2)
    start = time.time()
    monkeypatch.setattr("analysis.uploads.KEPT_SECONDS", seconds)
    monkeypatch.setattr("analysis.uploads.time.time", lambda: start + seconds - 0.1)


def test_sweep_deletes_expired_files_that_are_not_needed(folder, monkeypatch):
    asked, unasked = put(folder, "asked.wav"), put(folder, "unasked.wav")
    (folder / "tmpbroken").write_bytes(b"half")
    killed = put(folder.parent / f"{PREFIX}killed", "killed.wav")
    (killed.parent / "tmpbroken").write_bytes(b"half")
    strange = put(folder.parent / "somebody-else", "strange.wav")
    old(monkeypatch)
    put(folder, "young.wav")
    sweep({asked})
    assert file_names(folder) == {"asked.wav", "young.wav"}
    assert not unasked.parent.exists()
    assert not killed.exists()
    assert strange.exists()


def test_needed_file_looks_recent_to_other_processes(folder, monkeypatch):
    asked = put(folder, "asked.wav")
    other = folder.parent / f"{PREFIX}other"
    other.mkdir()
    old(monkeypatch)
    sweep({asked})  # by this process
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(other))
    sweep(set())  # by the other one, a moment later
    assert asked.exists()


def test_shared_folder_is_not_swept(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    path = put(tmp_path, "somebody-else.wav")
    old(monkeypatch)
    assert sweep(set()) == 0
    assert path.exists()


def test_sweep_follows_no_links(folder, monkeypatch):
    outside = put(folder.parent / "outside", "mine.wav")
    for name, target in (("file", outside), ("folder", outside.parent), ("gone", folder / "no")):
        (folder / name).symlink_to(target)
    (folder.parent / f"{PREFIX}link").symlink_to(outside.parent)
    (folder / "round").symlink_to(folder)
    old(monkeypatch)
    sweep(set(), most=0)
    assert outside.read_bytes() == b"sound"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("most", [0, 25_000, 10**6])
def test_oldest_files_are_deleted_until_the_rest_fits(folder, monkeypatch, most):
    sizes = {f"{i}.wav": size for i, size in enumerate((9000, 1, 7000, 4000, 3000))}
    for name, size in sizes.items():
        put(folder, name, b"x" * size)
        time.sleep(0.02)
    (folder / "tmprunning").write_bytes(b"x" * 500)  # still being received: it counts, but stays
    monkeypatch.setattr("analysis.uploads.SETTLED_SECONDS", 0.0)
    needed = {folder / "of-1.wav" / "1.wav"}
    left = list(sizes)
    total = sum(sizes.values()) + 500 + 6 * uploads.ENTRY_BYTES
    for name in sizes:
        if total > most and name != "1.wav":
            total -= sizes[name] + uploads.ENTRY_BYTES
            left.remove(name)
    assert sweep(needed, most) == total
    assert file_names(folder) == {*left, "tmprunning"}


def test_undeletable_file_does_not_stop_the_sweep(folder, monkeypatch):
    paths = [put(folder, f"{i}.wav") for i in range(4)]
    unlink = Path.unlink

    def refuse(path, missing_ok=False):
        if path == paths[1]:
            raise PermissionError(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    old(monkeypatch)
    assert sweep(set()) == 5 + uploads.ENTRY_BYTES
    assert file_names(folder) == {"1.wav"}
    delete_upload(str(paths[1]), 0.0)
    delete_due(set())


def test_concurrent_sweeps_and_writers(folder, monkeypatch):
    for i in range(100):
        put(folder, f"{i}.wav")
    old(monkeypatch)
    young = []

    def write(i):
        young.extend(put(folder, f"young-{i}-{k}.wav") for k in range(20))

    with ThreadPoolExecutor(6) as pool:
        swept, written = pool.map(sweep, 4 * [set()]), pool.map(write, range(2))
        assert len([*swept, *written]) == 6
    assert file_names(folder) == {path.name for path in young}


def test_upload_folder_is_private_and_deleted_on_exit(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "new"))
    with uploads.upload_folder() as own:
        assert own.parent == (tmp_path / "new").resolve()
        assert os.environ["GRADIO_TEMP_DIR"] == str(own)
        assert own.stat().st_mode & 0o077 == 0
        put(own, "cry.wav")
        (own / "tmpbroken").write_bytes(b"half")
    assert list((tmp_path / "new").iterdir()) == []


def test_upload_is_deleted_when_due_and_not_needed(folder):
    soon, later = put(folder, "soon.wav"), put(folder, "later.wav")
    for path, after in ((soon, 0), (later, 3600)):
        delete_upload(str(path), after)
    delete_due({soon})
    assert soon.exists()
    delete_due(set())
    assert not soon.exists()
    assert later.exists()


def test_files_outside_the_upload_folder_are_not_deleted(folder):
    elsewhere = put(folder.parent, "mine.wav")
    (folder / "link.wav").symlink_to(elsewhere)
    outward = folder / ".." / elsewhere.parent.name / elsewhere.name
    paths = map(str, (elsewhere, outward, folder / "link.wav", folder / "gone"))
    for path in (*paths, None, "", "a\0b", "x" * 5000):
        delete_upload(path, after=0)
    delete_due(set())
    assert elsewhere.exists()


def test_unused_sessions_are_dropped_completely():
    sessions = StateHolder()
    for name, minutes in (("old", 60), ("new", 59)):
        sessions.session_data[name] = object()
        sessions.time_last_used[name] = datetime.now() - timedelta(minutes=minutes)
    assert delete_sessions(sessions) == ["old"]
    assert sessions.session_data.keys() == sessions.time_last_used.keys() == {"new"}
