"""Run our commands in a subprocess that uses the simulated Hub.

``huggingface_hub`` reads its address, cache and other settings on import. Importing torch takes
seconds, so one process serves all tests of a file; a request is one line of JSON.
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
    """Run ``python -m train ...`` or a few lines of Python against the simulated Hub."""

    process: subprocess.Popen

    def train(self, *arguments, token):
        """Run a command; return its ``status`` and what it printed, ``out`` and ``err``."""
        status, out, err = self._run(TRAIN, [str(one) for one in arguments], token)
        return SimpleNamespace(status=status, out=out, err=err)

    def python(self, code, *arguments, token=None):
        """Run ``code`` with these ``arguments``; return its variable ``answer``, passed as JSON."""
        return self._run(code, arguments, token)[0]

    def _run(self, *request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the client's process ended"
        return json.loads(line)


def environment(url, home, **more):
    """Return environment variables that make the real client use only the Hub at ``url``."""
    names = ("HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "CRY_MODEL")
    kept = {k: v for k, v in os.environ.items() if k not in names}
    ours = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return {**kept, **ours, **quiet, **more}


@contextlib.contextmanager
def hub_client(url, home):
    """Start the process; end it on exit."""
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
