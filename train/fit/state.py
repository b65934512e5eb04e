"""Hold the state that a training step changes, and save it so that a fit can resume."""

from __future__ import annotations

import copy
import io
import math
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from cry_model.checkpoint import write_atomically
from train.data.corpus import DataError
from train.fit.devices import same_threads
from train.fit.presets import Preset

MAX_NORM = 5.0  # for gradient clipping


class Ema:
    """Exponential moving average of a model's parameters and BatchNorm statistics.

    Like torch's AveragedModel, but without reading a counter from the device at each step. The
    decay rises from about 0.2 to the preset's value, as in TensorFlow's ExponentialMovingAverage.
    So early weights do not dominate the average of a short fit.
    """

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.source, self.decay = source, decay
        self.model, self.steps = copy.deepcopy(source), 0

    @torch.no_grad()
    def update(self) -> None:
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.steps else 1.0
        torch._foreach_lerp_(numbers(self.model), numbers(self.source), share)
        self.steps += 1


def schedule(preset: Preset, step: int, steps: int) -> float:
    """Return the learning-rate factor: constant, or linear warm-up, then cosine decay to 0."""
    if preset.schedule == "constant":
        return 1.0
    warm = max(1, round(0.25 * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, steps - warm))


class Weights:
    """Everything that a step changes: the unwrapped model, AdamW and the moving average."""

    def __init__(self, model: nn.Module, preset: Preset, device: torch.device) -> None:
        self.model = model
        self.optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=preset.learning_rate,
            weight_decay=preset.weight_decay,
            fused=device.type == "cuda",
        )
        self.ema = Ema(model, preset.ema_decay) if preset.ema_decay else None

    @property
    def outcome(self) -> nn.Module:
        return self.model if self.ema is None else self.ema.model

    def step(
        self,
        loss: Tensor,
        rate: float,
        student: nn.Module,
        optimiser: torch.optim.Optimizer,
        accelerator: Accelerator,
    ) -> None:
        """Take one optimiser step; ``student`` and ``optimiser`` may be wrapped by Accelerate."""
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(student.parameters(), MAX_NORM)
        optimiser.step()
        if self.ema is not None:
            self.ema.update()

    def finite(self) -> bool:
        sums = torch.stack([tensor.sum(dtype=torch.float64) for tensor in numbers(self.model)])
        return bool(sums.isfinite().all())

    def state(self) -> dict[str, Any]:
        """Return a state dict to resume from."""
        return {
            "steps": 0 if self.ema is None else self.ema.steps,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": None if self.ema is None else self.ema.model.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.ema is not None:
            self.ema.steps = state["steps"]
            self.ema.model.load_state_dict(state["averaged"])


def numbers(model: nn.Module) -> list[Tensor]:
    """Return parameters and BatchNorm statistics, without the integer batch counters."""
    return [t for t in chain(model.parameters(), model.buffers()) if t.is_floating_point()]


@dataclass(frozen=True)
class TrainingState:
    """The latest state of one fit, on disk."""

    path: Path | None = None  # the file; None saves nothing
    identity: str = ""  # must equal that of a saved state for a fit to resume from it
    resume: bool = True  # False starts afresh and overwrites a saved state
    writes: bool = True  # whether this process writes the file
    threads: int | None = None  # number of CPU threads; None where it has no effect

    def load(self) -> dict[str, Any] | None:
        """Return the saved state, on the CPU, or None if there is none.

        Raise DataError if the file is damaged or belongs to another fit, or if determinism was
        requested and the number of threads has changed."""
        if self.path is None or not self.resume or not self.path.exists():
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

    def forget_other(self) -> None:
        """Delete the saved state if :meth:`load` rejects it."""
        try:
            self.load()
        except DataError:
            self.delete()

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state."""
        if self.path is None or not self.writes:
            return
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, "state": state, "threads": self.threads}, buffer)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, buffer.getvalue())

    def delete(self) -> None:
        if self.path is not None and self.writes:
            self.path.unlink(missing_ok=True)
