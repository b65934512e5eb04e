"""Keep what a fit needs to go on after a crash, in one file that is replaced whole."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cry_model.checkpoint import write_atomically
from train.data.corpus import DataError
from train.fit.devices import same_threads


@dataclass(frozen=True)
class TrainingState:
    """The last state of one fit, on disk.

    Attributes:
        path: the file; None keeps nothing.
        identity: what must be the same for a kept state to be gone on with.
        resume: False begins anew, and overwrites what is there.
        writes: whether this process is the one that writes.
        threads: that compute the fit; None where their number changes nothing.
    """

    path: Path | None = None
    identity: str = ""
    resume: bool = True
    writes: bool = True
    threads: int | None = None

    @property
    def waits(self) -> bool:
        """Whether there is a state to go on from."""
        return self.path is not None and self.resume and self.path.exists()

    def load(self) -> dict[str, Any] | None:
        """Return the state to go on from, on the CPU; None if there is none.

        Raises:
            DataError: if the file is damaged, or is the state of another fit; or if determinism
                was asked for and it was begun with another number of threads.
        """
        if not self.waits:
            return None
        try:
            record = torch.load(self.path, map_location="cpu", weights_only=True)
            identity, state = record["identity"], record["state"]
        except Exception as error:  # a damaged pickle can raise anything
            raise DataError(f"'{self.path}' is damaged; delete it or use --no-resume.") from error
        if identity != self.identity:
            raise DataError(
                f"'{self.path}' is the state of a fit with other settings or data; delete it or "
                "use --no-resume."
            )
        same_threads(record.get("threads"), self.threads, f"'{self.path}'")
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the kept state."""
        if self.path is None or not self.writes:
            return
        buffer = io.BytesIO()
        kept = {"identity": self.identity, "state": state, "threads": self.threads}
        torch.save(kept, buffer)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, buffer.getvalue())

    def delete(self) -> None:
        """Delete the state of a fit whose outcome is safe elsewhere."""
        if self.path is not None and self.writes:
            self.path.unlink(missing_ok=True)
