"""Downloads from a server on this machine that behaves in every way a server can."""

import errno
import hashlib
import io
import os
import re
import stat
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.train.folders import contents
from train.data.cache import DATASETS
from train.data.corpus import Archive, ArchiveFolder, DataError
from train.data.download import download

FILES = {
    "hungry/a.wav": os.urandom(200_000),
    "hungry/b.wav": b"b" * 1000,
    "tired/c.wav": b"c" * 1000,
}
UPLOADS = {"d.caf": b"d" * 10, "e.caf": b"e" * 10}


def digest_of(files):
    """Compute it as the docstring of ArchiveFolder says."""
    lines = [f"{n}\0{hashlib.sha256(files[n]).hexdigest()}\n" for n in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


FOLDERS = (
    ArchiveFolder("cries", "clean/data", "*/*.wav", 3, digest_of(FILES)),
    ArchiveFolder("uploads", "bucket", "*.caf", 2),
)


def zipped(files=FILES, uploads=UPLOADS, **more):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("repository-master/README.md", "the licence")
        archive.writestr("repository-master/clean/data/", "")
        for name, content in files.items():
            archive.writestr(f"repository-master/clean/data/{name}", content)
        for name, content in uploads.items():
            archive.writestr(f"repository-master/bucket/{name}", content)
        for name in ("clean/data/notes.wav", "clean/data/hungry/x.txt", "other/hungry/x.wav"):
            archive.writestr(f"repository-master/{name}", "not wanted")
        for name, content in more.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@dataclass
class Site:
    """What is served, and how: its first answers may break off after some bytes, or be an error."""

    content: bytes = b""
    drops: int = 0  # answers that break off after so many bytes of content
    after: int = 0
    status: int = 0  # the error of the first ``refusals`` requests
    refusals: int = 1_000
    url: str = ""
    asked: int = 0  # requests for it


@contextmanager
def serve_file(site):
    """Serve until the block ends, under ``site.url``; ``/moved.zip`` leads there."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            moved = self.path == "/moved.zip"
            site.asked += not moved
            if site.status and site.asked <= site.refusals:
                self.send_error(site.status)
                return
            self.send_response(302 if moved else 200)
            self.send_header("Location", site.url)
            self.send_header("Content-Length", "0" if moved else str(len(site.content)))
            self.end_headers()
            if not moved:
                self.wfile.write(site.content[: site.after] if site.drops > 0 else site.content)
                site.drops -= 1

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}/master.zip"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


WHOLE = zipped()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("train.data.download.PAUSES", (0.01, 0.01))
    with serve_file(Site(WHOLE)) as site:
        yield site


def fetched(url, root, name="cries"):
    download(name, Archive(url, "repository.zip", FOLDERS), root)


def assert_complete(root):
    assert contents(root / "cries") == {**FILES, "README.md": b"the licence"}
    assert contents(root / "uploads") == {**UPLOADS, "README.md": b"the licence"}
    assert sorted(path.name for path in root.iterdir()) == ["cries", "uploads"]


def refused(site, root, *messages, name="cries"):
    """The error's text; no folder has come of it, nor any temporary one."""
    with pytest.raises(DataError) as error:
        fetched(site.url, root, name)
    assert all(message in str(error.value) for message in messages), error.value
    assert not [path for path in root.iterdir() if path.is_dir() and path.name != "uploads"]
    return str(error.value)


# What arrives


def test_the_corpus_and_its_sibling_lie_where_their_readers_look(site, tmp_path, capsys):
    fetched(site.url.replace("master", "moved"), tmp_path / "new")  # redirected
    assert_complete(tmp_path / "new")
    assert site.asked == 1
    assert "3 recordings" in capsys.readouterr().out
    others_may_read = (tmp_path / "new" / "cries").stat().st_mode & stat.S_IROTH
    tmp_path.joinpath("made").mkdir()
    assert others_may_read == (tmp_path / "made").stat().st_mode & stat.S_IROTH


def test_what_is_there_is_not_downloaded(site, tmp_path, capsys):
    (tmp_path / "cries").mkdir()
    (tmp_path / "cries" / "mine.wav").write_bytes(b"mine")
    fetched(site.url, tmp_path)
    assert "already there" in capsys.readouterr().out
    assert site.asked == 0
    fetched(site.url, tmp_path, "uploads")
    assert contents(tmp_path / "cries") == {"mine.wav": b"mine"}
    assert set(contents(tmp_path / "uploads")) == {*UPLOADS, "README.md"}


# A connection that breaks


@pytest.mark.parametrize("how", [{"drops": 2, "after": 50_000}, {"status": 503, "refusals": 2}])
def test_what_breaks_or_is_busy_is_asked_again_from_the_start(site, tmp_path, how):
    (tmp_path / "repository.zip.part").write_bytes(WHOLE + b"more")  # an earlier run left it
    vars(site).update(how)
    fetched(site.url, tmp_path)
    assert_complete(tmp_path)
    assert site.asked == 3


def test_without_a_network_or_the_file_it_says_what_to_put_where(site, tmp_path):
    site.status, by_hand = 404, str(tmp_path / "repository.zip")
    refused(site, tmp_path, site.url, "404", by_hand)
    assert site.asked == 1
    with serve_file(Site()) as closed:
        pass
    refused(closed, tmp_path, closed.url, "no connection", by_hand)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_leaves_no_half_file(site, tmp_path):
    (tmp_path / "repository.zip.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        fetched(site.url, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_unpacking_leaves_no_half_folder(site, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", Mock(side_effect=OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        fetched(site.url, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["repository.zip"]


# Archives that are not what they should be


BROKEN = bytearray(WHOLE)
BROKEN[WHOLE.index(FILES["hungry/a.wav"]) + 100] ^= 1
INSIDE = "repository-master/clean/data"
BAD = {
    "another byte": (zipped({**FILES, "tired/c.wav": b"C"}), "some of its 3 files differ"),
    "one more": (zipped({**FILES, "tired/x.wav": b""}), "4 files instead of 3"),
    "one less": (zipped({"hungry/a.wav": b"", "tired/c.wav": b""}), "2 files instead of 3"),
    "bits": (bytes(BROKEN), "is damaged"),
    "end": (WHOLE[:-500], "is damaged"),
    "text": (b"<html>", "is damaged"),
    **{
        name: (zipped(**{name: b"evil"}), f"leads out of it.*{name}")
        for name in ("../evil.wav", f"{INSIDE}/../../../evil.wav", "/evil.wav")
    },
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_an_archive_that_is_not_what_it_should_be_is_refused_and_kept(
    site, tmp_path, content, message
):
    root = tmp_path / "a" / "b"
    root.mkdir(parents=True)
    site.content = content
    said = refused(site, root, str(root / "repository.zip"))
    assert re.search(message, said)
    assert contents(tmp_path) == {"a/b/repository.zip": content}


# The registry


def test_a_corpus_without_an_archive_says_so(tmp_path):
    with pytest.raises(DataError, match="no public archive of 'challenge6'"):
        download("challenge6", DATASETS["challenge6"].archive, tmp_path)


def test_the_digest_of_esc10_is_that_of_the_recordings(data_root):
    (folder,) = DATASETS["esc10"].archive.folders
    paths = (data_root / "esc10").glob(folder.pattern)
    files = {path.relative_to(data_root / "esc10").as_posix(): path.read_bytes() for path in paths}
    assert (folder.files, folder.digest) == (len(files), digest_of(files))
