"""Uploads: who needs them keeps them, and nothing else stays."""

import json
import os
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from starlette.middleware import Middleware

from analysis import uploads
from analysis.page import launch_options
from analysis.server import ELSEWHERE, FULL, TOO_LARGE, UploadLimit
from analysis.uploads import PREFIX, needing, own_path, sweep, upload_folder

PATIENCE = 60  # s, on a busy machine


def until(condition):
    """Waits until ``condition()`` is true; False if it never is."""
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What upload_folder() would give."""
    folder = (tmp_path / f"{PREFIX}own").resolve()
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def put(folder, name, content=b"sound"):
    """A file as an upload lies there: in a folder of its own."""
    path = folder / f"of-{name}" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def files(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}


class Small:
    """A page with one function, behind everything that stands before the real one."""

    def __init__(self, most):
        self.gates = {}  # bytes of a file -> what its answer waits for
        self.begun = 0  # answers
        with gr.Blocks(analytics_enabled=False) as self.page:
            source, answer = gr.Audio(type="filepath"), gr.Textbox()
            gr.Button().click(self.read, source, answer, api_name="read")
        options = launch_options()
        options["app_kwargs"]["middleware"] = [Middleware(UploadLimit, most=most)]
        self.page.queue(default_concurrency_limit=1)
        self.page.launch(prevent_thread_lock=True, inbrowser=False, quiet=True, **options)
        self.port, self.url = self.page.server_port, f"{self.page.local_url}gradio_api"

    def read(self, file):
        self.begun += 1
        with needing(file):
            content = Path(file).read_bytes()
            if (detector := self.gates.get(content)) is not None:
                assert detector.wait(PATIENCE)
            return Path(file).read_bytes().decode()

    def send(self, content, name="cry.wav"):
        return httpx.post(f"{self.url}/upload", files={"files": (name, content)}, timeout=PATIENCE)

    def ask(self, path):
        """Joins the queue; returns the address of the answer."""
        data = {"path": path, "meta": {"_type": "gradio.FileData"}}
        asked = httpx.post(f"{self.url}/call/read", json={"data": [data]}, timeout=PATIENCE)
        return f"{self.url}/call/read/{asked.json()['event_id']}"

    def begin(self, head, body):
        """The beginning of an upload, of which nothing more comes."""
        end = socket.create_connection(("127.0.0.1", self.port))
        kind = "Content-Type: multipart/form-data; boundary=cry"
        lines = ("POST /gradio_api/upload HTTP/1.1", "Host: localhost", kind, head, "", "")
        end.sendall("\r\n".join(lines).encode() + body)
        return end


@pytest.fixture
def small(folder, monkeypatch):
    """``small(most)``: the page, which forgets at once."""
    monkeypatch.setattr("analysis.uploads.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("analysis.uploads.delete_upload", lambda path: FORGET(path, 0.0))
    pages = []

    def start(most=10**9):
        pages.append(Small(most))
        return pages[-1]

    yield start
    for small in pages:
        small.page.close(verbose=False)


FORGET = uploads.delete_upload


def answer(address):
    told = httpx.get(address, timeout=PATIENCE).text
    return json.loads(told.rpartition("data: ")[2])


def test_a_file_stays_for_a_request_that_still_waits(small, folder):
    """A and B ask about one file, C about another one between them; A's answer deletes nothing."""
    page = small()
    page.gates = {b"A": threading.Event(), b"C": threading.Event()}
    shared, other, mark = (page.send(content).json()[0] for content in (b"A", b"C", b"mark"))
    first, between, last = (page.ask(path) for path in (shared, other, shared))
    page.gates[b"A"].set()
    assert answer(first) == ["A"]
    uploads.delete_upload(mark)  # when this one is gone, the other's time has come as well
    assert until(lambda: not Path(mark).exists())
    assert Path(shared).exists()
    page.gates[b"C"].set()
    assert answer(between) == ["C"]
    assert answer(last) == ["A"]
    assert until(lambda: not files(folder))
    assert until(lambda: not list(folder.iterdir()))  # nor the folders, which told of a visit


def test_a_request_that_went_away_keeps_nothing(small, folder):
    page = small()
    page.gates = {b"A": threading.Event()}
    shared = page.send(b"A").json()[0]
    first, second = page.ask(shared), page.ask(shared)
    event = second.rpartition("/")[2]
    httpx.post(f"{page.url}/cancel", json={"event_id": event, "session_hash": event, "fn_index": 0})
    page.gates[b"A"].set()
    assert answer(first) == ["A"]
    assert until(lambda: not files(folder))
    assert page.begun == 1


def test_same_bytes_at_the_same_time_are_answered_every_time(small, folder, tmp_path):
    """Thirty requests by six visitors, and each answer deletes what it was about at once."""
    page = small()
    path = tmp_path / "cry.wav"
    path.write_bytes(b"the same")

    def visit(_):
        client = Client(page.page.local_url, verbose=False)
        return [client.predict(handle_file(str(path)), api_name="/read") for _ in range(5)]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(visit, range(6)))
    assert answers == [["the same"] * 5] * 6
    assert until(lambda: not files(folder))


PART = b'--cry\r\nContent-Disposition: form-data; name="files"; filename="anna.wav"\r\n\r\n'
BEGUN = {
    "in the middle": ("Content-Length: 1000000", PART + b"x" * 5000),
    "after the name": ("Content-Length: 1000000", PART),
    "in the second file": ("Content-Length: 1000000", PART + b"x\r\n" + PART + b"y"),
    "of unknown length": ("Transfer-Encoding: chunked", b"1000\r\n" + PART + b"x" * 2000),
}


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("begun", BEGUN)
def test_an_upload_that_breaks_off_leaves_nothing(small, folder, begun, how, capfd):
    page = small()
    end = page.begin(*BEGUN[begun])
    assert until(lambda: files(folder))
    if how == "reset":
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
    assert until(lambda: not files(folder))
    assert page.send(b"whole").status_code == 200
    assert "Traceback" not in capfd.readouterr().err


def test_uploads_are_refused_in_words_until_there_is_room(small, folder):
    page = small(most=60_000)
    mine = page.send(b"x" * 20_000).json()[0]
    assert page.send(b"y" * 20_000).status_code == 200
    for size in (20_000, 20_000_000):  # which is sent whole, or the words would not arrive
        refused = page.send(b"z" * size)
        assert (refused.status_code, refused.text) == (503, FULL)
    assert Path(mine).exists()  # its request may be on the way
    answer(page.ask(mine))
    assert until(lambda: not Path(mine).exists())
    assert page.send(b"z" * 20_000).status_code == 200


def test_an_upload_that_runs_takes_its_room(small, folder):
    page = small(most=60_000)
    end = page.begin("Content-Length: 50000", PART)
    assert until(lambda: files(folder))
    assert page.send(b"x" * 20_000).text == FULL
    end.close()
    assert until(lambda: page.send(b"x" * 20_000).status_code == 200)


@pytest.mark.parametrize("place", ["component_server", "process_recording", "upload/other"])
def test_files_are_taken_at_one_place_only(small, folder, place):
    told = httpx.post(f"{small().url}/{place}", files={"files": ("cry.wav", b"x")})
    assert (told.status_code, told.text) == (415, ELSEWHERE)
    assert files(folder) == set()


def test_more_than_one_file_may_have_is_refused_in_words(small, folder, monkeypatch):
    monkeypatch.setattr("analysis.server.UPLOAD_BYTES", 100_000)
    told = small().send(b"x" * 100_000)
    assert (told.status_code, told.text) == (413, TOO_LARGE)
    assert files(folder) == set()


def test_answers_that_nobody_fetches_and_names_of_files_are_forgotten(small, folder, monkeypatch):
    monkeypatch.setattr("analysis.uploads.SWEEP_SECONDS", 0.02)
    page = small()
    path = page.send(b"A", "given-name.wav").json()[0]
    page.ask(path)
    assert until(lambda: page.begun and not files(folder))
    used, queue = page.page.app.state_holder.time_last_used, page.page._queue
    kept = (queue.pending_messages_per_session, queue.pending_event_ids_session)
    assert all(kept)
    for name in used:
        used[name] -= timedelta(hours=1)
    assert until(lambda: not any(kept))
    assert until(lambda: not any(path in names for names in page.page.temp_file_sets))


def old(monkeypatch, seconds=1.0):
    """Makes whatever was written before now too old; ctime cannot be set."""
    time.sleep(0.02)
    start = time.time()
    monkeypatch.setattr("analysis.uploads.KEPT_SECONDS", seconds)
    monkeypatch.setattr("analysis.uploads.time.time", lambda: start + seconds - 0.005)


def test_the_sweep_deletes_what_is_old_and_not_needed(folder, monkeypatch):
    asked, unasked = put(folder, "asked.wav"), put(folder, "unasked.wav")
    (folder / "tmpbroken").write_bytes(b"half")
    killed = put(folder.parent / f"{PREFIX}killed", "killed.wav")
    (killed.parent / "tmpbroken").write_bytes(b"half")
    strange = put(folder.parent / "somebody-else", "strange.wav")
    old(monkeypatch)
    put(folder, "young.wav")
    sweep({asked})
    assert files(folder) == {"asked.wav", "young.wav"}
    assert not unasked.parent.exists()
    assert not killed.exists()
    assert strange.exists()


def test_what_is_needed_is_young_to_another_process(folder, monkeypatch):
    asked = put(folder, "asked.wav")
    other = folder.parent / f"{PREFIX}other"
    other.mkdir()
    old(monkeypatch)
    sweep({asked})  # by this process
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(other))
    sweep(set())  # by the other one, a moment later
    assert asked.exists()


def test_nothing_is_swept_in_a_folder_that_others_share(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    path = put(tmp_path, "somebody-else.wav")
    old(monkeypatch)
    assert sweep(set()) == 0
    assert path.exists()


def test_the_sweep_follows_no_link(folder, monkeypatch):
    outside = put(folder.parent / "outside", "mine.wav")
    for name, target in (("file", outside), ("folder", outside.parent), ("gone", folder / "no")):
        (folder / name).symlink_to(target)
    (folder.parent / f"{PREFIX}link").symlink_to(outside.parent)
    (folder / "round").symlink_to(folder)
    old(monkeypatch)
    sweep(set(), most=0)
    assert outside.read_bytes() == b"sound"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("most", [0, 10_000, 25_000, 30_000, 10**6])
def test_the_oldest_go_until_the_rest_fits(folder, monkeypatch, most):
    sizes = {f"{i}.wav": size for i, size in enumerate((9000, 1, 7000, 4000, 3000))}
    for name, size in sizes.items():
        put(folder, name, b"x" * size)
        time.sleep(0.02)
    (folder / "tmprunning").write_bytes(b"x" * 500)  # still coming in: it counts, and stays
    monkeypatch.setattr("analysis.uploads.SETTLED_SECONDS", 0.0)
    needed = {folder / "of-1.wav" / "1.wav"}
    left = list(sizes)
    total = sum(sizes.values()) + 500 + 6 * uploads.ENTRY_BYTES
    for name in sizes:
        if total > most and name != "1.wav":
            total -= sizes[name] + uploads.ENTRY_BYTES
            left.remove(name)
    assert sweep(needed, most) == total
    assert files(folder) == {*left, "tmprunning"}


def test_a_file_that_may_not_be_deleted_stops_no_other(folder, monkeypatch):
    paths = [put(folder, f"{i}.wav") for i in range(4)]
    unlink = Path.unlink

    def refuse(path, missing_ok=False):
        if path == paths[1]:
            raise PermissionError(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    old(monkeypatch)
    assert sweep(set()) == 5 + uploads.ENTRY_BYTES
    assert files(folder) == {"1.wav"}
    uploads.delete_upload(str(paths[1]), 0.0)
    uploads.delete_due(set())


def test_several_sweeps_at_once_and_writers_between_them(folder, monkeypatch):
    for i in range(100):
        put(folder, f"{i}.wav")
    old(monkeypatch)
    young = []

    def write(i):
        young.extend(put(folder, f"young-{i}-{k}.wav") for k in range(20))

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(sweep, set()) for _ in range(4)]
        jobs += [pool.submit(write, i) for i in range(2)]
        for job in jobs:
            job.result()
    assert files(folder) == {path.name for path in young}


def test_a_page_has_a_folder_of_its_own_which_goes_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "new"))
    with upload_folder() as one, upload_folder() as two:
        assert one != two
        assert two.stat().st_mode & 0o077 == 0
        put(two, "cry.wav")
        (two / "tmpbroken").write_bytes(b"half")
        assert own_path("cry.wav").parent.parent == two
    assert list((tmp_path / "new").iterdir()) == []
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "new")
