"""Our commands in a process of their own whose Hub is the one of a test.

``huggingface_hub`` reads its address, its cache and the rest of its settings when it is imported,
and importing torch takes seconds: so one process serves all tests of a file, a line of JSON each.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace

from tests.server import ROOT

TRAIN = "from train.__main__ import main\nanswer = main(arguments)"


@dataclass(frozen=True)
class HubClient:
    """Runs ``python -m train ...`` or a few lines of Python where the Hub is a synthetic one."""

    process: subprocess.Popen

    def train(self, *arguments, token):
        """What a command left: its ``status``, and what it printed, ``out`` and ``err``."""
        status, out, err = self._run(TRAIN, [str(one) for one in arguments], token)
        return SimpleNamespace(status=status, out=out, err=err)

    def python(self, code, *arguments, token=None):
        """The value of ``answer`` after ``code``, whose ``arguments`` are these; JSON."""
        return self._run(code, arguments, token)[0]

    def _run(self, *request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the client's process ended"
        return json.loads(line)


def environment(url, home, **more):
    """Variables under which the real client knows only the Hub at ``url``."""
    names = ("HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "CRY_MODEL")
    kept = {k: v for k, v in os.environ.items() if k not in names}
    ours = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return {**kept, **ours, **quiet, **more}


@contextlib.contextmanager
def hub_client(url, home):
    """Starts the process and ends it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "tests.hub_client"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(url, home), **pipes) as process:
        yield HubClient(process)
        process.stdin.close()


if __name__ == "__main__":
    answers = sys.stdout
    for line in sys.stdin:
        code, arguments, token = json.loads(line)
        os.environ["HF_TOKEN"] = token or ""
        out, err, names = io.StringIO(), io.StringIO(), {"arguments": arguments}
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            exec(code, names)
        print(json.dumps([names["answer"], out.getvalue(), err.getvalue()]), file=answers)
        answers.flush()
