"""The end of app.py, however it is asked to end: nothing of a visitor is left on the disk."""

import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from tests.server import ROOT, wait_for

# The real main() with a page of one field: only the models, which take long to load, are left out.
SCRIPT = """
import gradio as gr
import app

def build_page(*_):
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Audio()
    return page.queue()

app.build_page, app.load_gate = build_page, lambda: None
app.choose = lambda _: type("Choice", (), {"models": (), "note": ""})
app.main()
"""


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_ending_leaves_no_file_even_with_visitors_there(tmp_path, asked):
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
        whole = {"files": ("cry.wav", b"sound")}
        assert httpx.post(f"{url}/gradio_api/upload", files=whole).status_code == 200
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(
                b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: multipart/form-data; boundary=cry\r\nContent-Length: 9999\r\n\r\n"
                b'--cry\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nx'
            )
            with httpx.stream("GET", f"{url}/gradio_api/heartbeat/abc") as page:
                next(page.iter_raw())
                assert len([path for path in cache.rglob("*") if path.is_file()]) == 2
                process.send_signal(asked)
                assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    assert "Traceback" not in log.read_text()
