"""Serve the page as visitors get it: app.py in its own process, on a free port."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_SECONDS = 120
EXAMPLES = {path.read_bytes() for path in (ROOT / "assets" / "examples").glob("*.wav")}


@dataclass(frozen=True)
class Server:
    """Store the page's URL, Gradio's cache folder, the process's log file and its ID."""

    url: str
    cache: Path
    log: Path
    pid: int

    def kept(self, seconds=10):
        """Wait up to ``seconds`` for visitors' recordings to be deleted; return those left."""
        until(lambda: not self.recordings(), seconds)
        return self.recordings()

    def recordings(self):
        """Return the files in Gradio's cache that are not our own examples."""
        found = []
        for folder, _, names in os.walk(self.cache):  # tolerates folders being deleted
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(FileNotFoundError):  # deleted in the meantime
                    if path.read_bytes() not in EXAMPLES:
                        found.append(path)
        return found


@contextlib.contextmanager
def serve(folder, root=ROOT, **variables):
    """Run the app.py of ``root`` without access to the Hub; stop it on exit."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, cache, log = f"http://127.0.0.1:{port}", folder / "cache", folder / "log.txt"
    gradio = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(cache)}
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **gradio, **variables}
    with log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=root, env=environment, stdout=written, stderr=written
        )
        try:
            wait_for(url, process, log)
            yield Server(url, cache, log, process.pid)
        finally:
            process.terminate()
            process.wait(60)  # it first finishes running requests


def wait_for(url, process, log):
    """Wait for the page to respond; raise if the process ends or the time is up."""
    for _ in range(10 * START_SECONDS):
        if process.poll() is not None:
            raise RuntimeError(f"app.py ended before the page was there:\n{log.read_text()}")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.1)
    raise TimeoutError("the page did not come up")


def until(condition, seconds=START_SECONDS):
    """Wait up to ``seconds`` for ``condition()`` to be true; return its last value."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def file_names(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}
