"""Provide a fake model for worker processes; importing it loads little else."""

import os
import signal

from cry_model.sound.audio import AudioError


class Nobody:
    """Fake a model: the name of a file decides whether it fails or kills the process."""

    def load(self):
        return self.answer

    def answer(self, file):
        if "kill" in file:
            os.kill(os.getpid(), signal.SIGKILL)
        if "bad" in file:
            raise AudioError("not a sound")
        raise LookupError(file)
