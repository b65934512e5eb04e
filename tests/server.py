"""The page as a visitor meets it: app.py in a process of its own, on a free port."""

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
    """Where the page is, where Gradio keeps its files, what the process printed, and its number."""

    url: str
    cache: Path
    log: Path
    pid: int

    def kept(self, seconds=10):
        """What is still there of visitors' recordings ``seconds`` after the answer."""
        until(lambda: not self.recordings(), seconds)
        return self.recordings()

    def recordings(self):
        """Files in Gradio's cache that are not our own examples."""
        found = []
        for folder, _, names in os.walk(self.cache):  # which minds no folder that goes away
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(FileNotFoundError):  # deleted while we look: not kept
                    if path.read_bytes() not in EXAMPLES:
                        found.append(path)
        return found


@contextlib.contextmanager
def serve(folder, root=ROOT, **variables):
    """Starts the app.py of ``root`` with no way out to the network and stops it at the end."""
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
            process.wait(60)  # answers that still run are waited for


def wait_for(url, process, log):
    """Until the page answers, or the process ended."""
    for _ in range(10 * START_SECONDS):
        if process.poll() is not None:
            raise RuntimeError(f"app.py ended before the page was there:\n{log.read_text()}")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.1)
    raise TimeoutError("the page did not come up")


def until(condition, seconds=START_SECONDS):
    """Wait until ``condition()`` is true; what it last gave, where it never is."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def file_names(folder):
    return {path.name for path in folder.rglob("*") if path.is_file()}
