"""The checkpoint that belongs to a run and is shipped with the product: how large its file is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.stats.runs import MeasuredRun
from cry_model.checkpoint import ASSETS, CONFIG, WEIGHTS, CheckpointConfig, CheckpointError
from cry_model.registry import MEBI


@dataclass(frozen=True)
class Shipped:
    """Weights on disk: the folder's name, the file's size, how a number is stored."""

    name: str
    mebibytes: float
    stored_as: str


def shipped_checkpoint(run: MeasuredRun, root: Path = ASSETS) -> Shipped | None:
    """None if there is no readable one, or it is of another system or other settings."""
    folder = root / f"{run.dataset}-{run.system}"
    try:
        config = CheckpointConfig.from_json((folder / CONFIG).read_text(encoding="utf-8"))
        size = (folder / WEIGHTS).stat().st_size
    except (CheckpointError, OSError, UnicodeError):
        return None
    if (config.system, dict(config.settings)) != (run.system, dict(run.settings)):
        return None
    return Shipped(folder.name, size / MEBI, str(config.training.get("stored_as", "float32")))
