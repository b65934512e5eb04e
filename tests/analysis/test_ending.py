"""app.py from its start to its end, however it is asked to end: what is left of a visitor."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.server import ROOT, wait_for

# The real main() with a page of one field: only the models, which take long to load, are left out.
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
analysis.models.choose = lambda _: type("Choice", (), {"models": (), "note": ""})
app.main()
"""


@pytest.mark.parametrize(
    "asked", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_no_file_is_left_and_no_name_in_the_log(tmp_path, asked):
    """Of a whole upload, one that is under way, a page that is open, and a call that fails."""
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
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(
                b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: multipart/form-data; boundary=cry\r\nContent-Length: 9999\r\n\r\n"
                b'--cry\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nx'
            )
            with httpx.stream("GET", f"{api}/heartbeat/abc") as page:
                next(page.iter_raw())
                assert len([path for path in cache.rglob("*") if path.is_file()]) == 2
                if (limits := Path(f"/proc/{process.pid}/limits")).exists():
                    assert "core file size 0" in " ".join(limits.read_text().split())
                process.send_signal(asked)
                assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    told = log.read_text()
    assert "ValueError" in told  # of the call that failed
    assert "given-name" not in told
    assert "KeyboardInterrupt" not in told
