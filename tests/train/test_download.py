"""Test downloads from a local server that can break off, refuse or send bad archives."""

import hashlib
import io
import os
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.train.folders import contents, touch
from train.data.cache import DATASETS
from train.data.corpus import Archive, ArchiveFolder, DataError
from train.data.download import download

INSIDE = "repository-master/clean/data"
README = {"README.md": b"the licence"}
FILES = {
    "hungry/a.wav": os.urandom(200_000),
    "hungry/b.wav": b"b" * 1000,
    "tired/c.wav": b"c" * 1000,
}
UPLOADS = {"d.caf": b"d" * 10, "e.caf": b"e" * 10}


def digest_of(files):
    """Compute the digest as documented in ArchiveFolder."""
    lines = [f"{n}\0{hashlib.sha256(files[n]).hexdigest()}\n" for n in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


FOLDERS = (
    ArchiveFolder("cries", "clean/data", "*/*.wav", 3, digest_of(FILES)),
    ArchiveFolder("uploads", "bucket", "*.caf", 2),
)


def zipped(files=FILES, **more):
    """Return the bytes of a repository's archive, with some files that must be ignored."""
    unwanted = f"{INSIDE}/notes.wav", f"{INSIDE}/hungry/x.txt", "repository-master/x/hungry/x.wav"
    members = {
        "repository-master/README.md": b"the licence",
        f"{INSIDE}/": b"",
        **{f"{INSIDE}/{name}": content for name, content in files.items()},
        **{f"repository-master/bucket/{name}": content for name, content in UPLOADS.items()},
        **dict.fromkeys(unwanted, b"not wanted"),
        **more,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


WHOLE = zipped()


@pytest.fixture
def site(monkeypatch):
    """Serve ``content``; each of ``first`` is an earlier answer: its status and bytes sent."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    site = SimpleNamespace(content=WHOLE, first=[], asked=0)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            site.asked += 1
            status, arrive = site.first.pop(0) if site.first else (200, None)
            self.send_response(status)
            self.send_header("Content-Length", str(len(site.content)))
            self.end_headers()
            self.wfile.write(site.content[:arrive])

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}/master.zip"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join()


def fetched(url, root, name="cries"):
    download(name, Archive(url, "repository.zip", FOLDERS), root)


def refused(url, root):
    """Return the error's text; check that neither a corpus folder nor a temporary one is left."""
    with pytest.raises(DataError) as error:
        fetched(url, root)
    assert not [path for path in root.iterdir() if path.is_dir() and path.name != "uploads"]
    assert str(root / "repository.zip") in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("first", "asked"),
    [([], 1), ([(200, 50_000)] * 2, 3), ([(503, 0)] * 2, 3)],
    ids=["at once", "breaks", "busy"],
)
def test_a_corpus_and_its_sibling_are_unpacked_in_place(site, tmp_path, first, asked):
    root, site.first = tmp_path / "new", first
    fetched(site.url, root)
    assert site.asked == asked
    assert contents(root / "cries") == FILES | README
    assert contents(root / "uploads") == UPLOADS | README
    assert sorted(path.name for path in root.iterdir()) == ["cries", "uploads"]


def test_existing_folders_are_not_downloaded(site, tmp_path, capsys):
    touch(tmp_path / "cries" / "mine.wav")
    fetched(site.url, tmp_path)
    assert "already exists" in capsys.readouterr().out
    assert site.asked == 0
    fetched(site.url, tmp_path, "uploads")
    assert contents(tmp_path / "cries") == {"mine.wav": b""}
    assert contents(tmp_path / "uploads") == UPLOADS | README


def test_a_failed_download_is_refused_with_instructions(site, tmp_path):
    site.first = [(404, 0)] * 4
    assert f"{site.url} could not be downloaded (answer 404)" in refused(site.url, tmp_path)
    assert "the connection failed" in refused("http://127.0.0.1:1/master.zip", tmp_path)
    assert list(tmp_path.iterdir()) == []


BROKEN = bytearray(WHOLE)
BROKEN[WHOLE.index(FILES["hungry/a.wav"]) + 100] ^= 1
BAD = {
    "another byte": (zipped({**FILES, "tired/c.wav": b"C"}), "some of its 3 files differ"),
    "one more": (zipped({**FILES, "tired/x.wav": b""}), "4 files instead of 3"),
    "one less": (zipped({"hungry/a.wav": b"", "tired/c.wav": b""}), "2 files instead of 3"),
    "bits": (bytes(BROKEN), "is damaged"),
    "end": (WHOLE[:-500], "is damaged"),
    "text": (b"<html>", "is damaged"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_a_wrong_archive_is_refused_and_kept(site, tmp_path, content, message):
    root, site.content = tmp_path / "a" / "b", content
    assert re.search(message, refused(site.url, root))
    assert contents(tmp_path) == {"a/b/repository.zip": content}


@pytest.mark.parametrize("name", ["../evil.wav", f"{INSIDE}/../../../evil.wav", "/evil.wav"])
def test_paths_outside_of_the_folder_are_not_written(site, tmp_path, name):
    site.content = zipped(**{name: b"evil"})
    fetched(site.url, tmp_path / "a" / "b")
    assert contents(tmp_path / "a" / "b" / "cries") == FILES | README
    assert not [*tmp_path.rglob("evil.wav")]
    assert not Path("/evil.wav").exists()


def test_a_corpus_without_an_archive_says_so(tmp_path):
    with pytest.raises(DataError, match="no public archive of 'challenge6'"):
        download("challenge6", DATASETS["challenge6"].archive, tmp_path)


def test_digest_of_esc10_matches_the_recordings(data_root):
    (folder,) = DATASETS["esc10"].archive.folders
    paths = (data_root / "esc10").glob(folder.pattern)
    files = {path.relative_to(data_root / "esc10").as_posix(): path.read_bytes() for path in paths}
    assert (folder.files, folder.digest) == (len(files), digest_of(files))
