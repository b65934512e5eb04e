"""Provide a fake model for worker processes; importing it loads little else."""

import os
import signal
import time
from dataclasses import dataclass

from cry_model.sound.audio import AudioError


@dataclass(frozen=True)
class Nobody:
    """Fake a model: the name of a file decides whether it fails or kills the process."""

    seconds: float = 0.0

    def load(self):
        return self.answer

    def answer(self, file):
        time.sleep(self.seconds)
        if "kill" in file:
            os.kill(os.getpid(), signal.SIGKILL)
        if "bad" in file:
            raise AudioError(f"not a sound, says {os.getpid()}")
        raise LookupError(file)
