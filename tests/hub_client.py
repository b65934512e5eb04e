"""Our commands in a process of their own whose Hub is the one of a test.

``huggingface_hub`` reads its address, its cache and the rest of its settings when it is imported,
and importing torch takes seconds: so one process serves all tests of a file, a line of JSON each.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Done:
    """What a command left: its status, and what it printed."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class HubClient:
    """Runs ``python -m train ...`` or a few lines of Python where the Hub is a synthetic one."""

    process: subprocess.Popen

    def train(self, *arguments: str | Path, token: str | None, **variables: str) -> Done:
        """One command, with the access token of its user."""
        return self._ask("train", [str(a) for a in arguments], token, variables)

    def python(self, code: str, *arguments: str, token: str | None = None, **variables: str):
        """The value of ``answer`` after ``code``, whose ``arguments`` are these; JSON."""
        done = self._ask("python", [code, *arguments], token, variables)
        assert done.status == 0, done.err
        return json.loads(done.out)

    def _ask(self, what: str, arguments: list[str], token: str | None, variables: dict) -> Done:
        environment = {"HF_TOKEN": token or "", **variables}
        request = {"what": what, "arguments": arguments, "environment": environment}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the client's process ended"
        return Done(**json.loads(line))


def environment(url: str, home: Path, **more: str) -> dict[str, str]:
    """Variables under which the real client knows only the Hub at ``url``."""
    names = ("HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "CRY_MODEL")
    kept = {k: v for k, v in os.environ.items() if k not in names}
    ours = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return {**kept, **ours, **quiet, **more}


@contextlib.contextmanager
def hub_client(url: str, home: Path, **more: str) -> Iterator[HubClient]:
    """Starts the process and ends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hub_client"],
        cwd=ROOT,
        env=environment(url, home, **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield HubClient(process)
        process.stdin.close()


def serve() -> None:
    """The other side: reads requests, answers each with what it printed."""
    from train.__main__ import main

    answers = sys.stdout
    for line in sys.stdin:
        request = json.loads(line)
        os.environ.update(request["environment"])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            if request["what"] == "train":
                status = main(request["arguments"])
            else:
                code, *arguments = request["arguments"]
                names: dict = {"arguments": arguments}
                exec(code, names)
                status = 0
                print(json.dumps(names["answer"]))
        answer = {"status": status, "out": out.getvalue(), "err": err.getvalue()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
