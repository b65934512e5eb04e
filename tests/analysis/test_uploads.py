"""Check that uploads and sessions stay while a request needs them, and are then deleted."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
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
from analysis.uploads import needing
from tests.conftest import ROOT
from tests.server import file_names, until, wait_for

PATIENCE = 60  # s, enough on a busy machine


class Small:
    """Serve a page with one function, with the real launch options and upload limit."""

    def __init__(self, most):
        self.gates = {}  # content of a file -> event that its answer waits for
        self.begun = 0  # number of answers
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
            if (gate := self.gates.get(Path(file).read_bytes())) is not None:
                assert gate.wait(PATIENCE)
            return Path(file).read_bytes().decode()

    def send(self, content, name="cry.wav", place="upload"):
        return httpx.post(f"{self.url}/{place}", files={"files": (name, content)}, timeout=PATIENCE)

    def ask(self, path):
        """Join the queue; return the URL of the answer."""
        data = {"path": path, "meta": {"_type": "gradio.FileData"}}
        asked = httpx.post(f"{self.url}/call/read", json={"data": [data]}, timeout=PATIENCE)
        return f"{self.url}/call/read/{asked.json()['event_id']}"


def begin(port, head, body):
    """Send the beginning of an upload and no more; return the open socket."""
    end = socket.create_connection(("127.0.0.1", port))
    kind = "Content-Type: multipart/form-data; boundary=cry"
    lines = ("POST /gradio_api/upload HTTP/1.1", "Host: localhost", kind, head, "", "")
    end.sendall("\r\n".join(lines).encode() + body)
    return end


@pytest.fixture
def small(folder, monkeypatch):
    """Return a function, ``small(most)``, that starts a page that deletes uploads at once."""
    forget = uploads.delete_upload
    monkeypatch.setattr("analysis.uploads.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("analysis.uploads.delete_upload", lambda path: forget(path, 0.0))
    with contextlib.ExitStack() as pages:

        def start(most=10**9):
            page = Small(most)
            pages.callback(page.page.close, verbose=False)
            return page

        yield start


def answer(address):
    return json.loads(httpx.get(address, timeout=PATIENCE).text.rpartition("data: ")[2])


def test_file_is_kept_for_a_queued_request(small, folder):
    """Queue two requests on one file and, between them, one on another; all get their file."""
    page = small()
    page.gates = {b"A": threading.Event(), b"C": threading.Event()}
    shared, other, mark = (page.send(content).json()[0] for content in (b"A", b"C", b"mark"))
    first, between, last = (page.ask(path) for path in (shared, other, shared))
    page.gates[b"A"].set()
    assert answer(first) == ["A"]
    uploads.delete_upload(mark)  # once this is deleted, the shared file was due as well
    assert until(lambda: not Path(mark).exists())
    assert Path(shared).exists()
    page.gates[b"C"].set()
    assert answer(between) == ["C"]
    assert answer(last) == ["A"]
    assert until(lambda: not file_names(folder))
    assert until(lambda: not list(folder.iterdir()))  # nor the folders, which would reveal a visit


def test_cancelled_request_keeps_no_file(small, folder):
    page = small()
    page.gates = {b"A": threading.Event()}
    shared = page.send(b"A").json()[0]
    first, second = page.ask(shared), page.ask(shared)
    event = second.rpartition("/")[2]
    httpx.post(f"{page.url}/cancel", json={"event_id": event, "session_hash": event, "fn_index": 0})
    page.gates[b"A"].set()
    assert answer(first) == ["A"]
    assert until(lambda: not file_names(folder))
    assert page.begun == 1


def test_concurrent_uploads_of_equal_files_are_all_answered(small, folder, tmp_path):
    """Send twelve requests by four visitors, where each answer deletes its own upload at once."""
    page = small()
    path = tmp_path / "cry.wav"
    path.write_bytes(b"the same")

    def visit(_):
        client = Client(page.page.local_url, verbose=False)
        return [client.predict(handle_file(str(path)), api_name="/read") for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(visit, range(4)))
    assert answers == [["the same"] * 3] * 4
    assert until(lambda: not file_names(folder))


PART = b'--cry\r\nContent-Disposition: form-data; name="files"; filename="anna.wav"\r\n\r\n'
BEGUN = {
    "in the middle": ("Content-Length: 1000000", PART + b"x" * 5000),
    "after the name": ("Content-Length: 1000000", PART),
    "in the second file": ("Content-Length: 1000000", PART + b"x\r\n" + PART + b"y"),
    "of unknown length": ("Transfer-Encoding: chunked", b"1000\r\n" + PART + b"x" * 2000),
}


@pytest.mark.parametrize(
    ("begun", "how"), [*((b, "closed") for b in BEGUN), ("in the middle", "reset")]
)
def test_aborted_upload_leaves_no_file(small, folder, begun, how, capfd):
    page = small()
    end = begin(page.port, *BEGUN[begun])
    assert until(lambda: file_names(folder))
    if how == "reset":
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
    assert until(lambda: not file_names(folder))
    assert page.send(b"whole").status_code == 200
    assert "Traceback" not in capfd.readouterr().err


def test_uploads_are_refused_with_a_message_until_there_is_room(small, folder):
    page = small(most=60_000)
    mine = page.send(b"x" * 20_000).json()[0]
    assert page.send(b"y" * 20_000).status_code == 200
    for size in (20_000, 20_000_000):  # read whole, or the client would miss the answer
        refused = page.send(b"z" * size)
        assert (refused.status_code, refused.text) == (503, FULL)
    assert Path(mine).exists()  # its request may be on the way
    answer(page.ask(mine))
    assert until(lambda: not Path(mine).exists())
    assert page.send(b"z" * 20_000).status_code == 200


def test_running_upload_reserves_its_space(small, folder):
    page = small(most=60_000)
    end = begin(page.port, "Content-Length: 50000", PART)
    assert until(lambda: file_names(folder))
    assert page.send(b"x" * 20_000).text == FULL
    end.close()
    assert until(lambda: page.send(b"x" * 20_000).status_code == 200)


def test_files_are_accepted_by_one_route_and_up_to_a_size(small, folder, monkeypatch):
    monkeypatch.setattr("analysis.server.UPLOAD_BYTES", 100_000)
    page = small()
    for place in ("component_server", "process_recording", "upload/other"):
        told = page.send(b"x", place=place)
        assert (told.status_code, told.text) == (415, ELSEWHERE)
    told = page.send(b"x" * 100_000)
    assert (told.status_code, told.text) == (413, TOO_LARGE)
    assert file_names(folder) == set()


def test_unfetched_answers_and_file_names_are_dropped(small, folder, monkeypatch):
    monkeypatch.setattr("analysis.uploads.SWEEP_SECONDS", 0.02)
    page = small()
    path = page.send(b"A", "given-name.wav").json()[0]
    page.ask(path)
    assert until(lambda: page.begun and not file_names(folder))
    used, queue = page.page.app.state_holder.time_last_used, page.page._queue
    kept = (queue.pending_messages_per_session, queue.pending_event_ids_session)
    assert all(kept)

    def gone_an_hour_later():  # the end of the request may still renew it
        for name in list(used):
            used[name] -= timedelta(hours=1)
        return not any(kept)

    assert until(gone_an_hour_later)
    assert until(lambda: not any(path in names for names in page.page.temp_file_sets))


# The real main() with a minimal page, and without the models, which take long to load.
SCRIPT = """
import signal

import gradio as gr
import analysis.models
import analysis.page
import app

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it

def build_page(*_):
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Button().click(lambda sound, text: text, [gr.Audio(), gr.Textbox()], api_name="read")
    return page.queue()

analysis.page.build_page, analysis.page.warm_up = build_page, lambda *_: None
analysis.models.load_detector = lambda: None
analysis.models.load_models = lambda _: ((), "")
app.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_shutdown_leaves_no_file_and_no_file_name_in_the_log(tmp_path, asked):
    """Stop the server with one complete and one partial upload, an open page and a failed call."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, cache, log = f"http://127.0.0.1:{port}", tmp_path / "cache", tmp_path / "log.txt"
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(cache)}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, stdout=file, stderr=file
        )
    try:
        wait_for(url, process, log)
        api, whole = f"{url}/gradio_api", {"files": ("given-name.wav", b"sound")}
        (path,) = httpx.post(f"{api}/upload", files=whole).json()
        called = httpx.post(f"{api}/call/read", json={"data": [{"path": path}]})  # too few inputs
        assert "error" in httpx.get(f"{api}/call/read/{called.json()['event_id']}").text
        half = begin(port, *BEGUN["in the middle"])
        with half, httpx.stream("GET", f"{api}/heartbeat/abc") as page:
            next(page.iter_raw())
            assert until(lambda: len(file_names(cache)) == 2)
            if (limits := Path(f"/proc/{process.pid}/limits")).exists():
                assert "core file size 0" in " ".join(limits.read_text().split())
            process.send_signal(asked)
            assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert file_names(cache) == set()
    told = log.read_text()
    assert "ValueError" in told  # from the failed call
    assert "given-name" not in told
    assert "KeyboardInterrupt" not in told
