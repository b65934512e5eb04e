"""Save and load: ``model.safetensors`` beside ``config.json``, both strict."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from cry_model.config import CONFIG, CheckpointConfig, CheckpointError
from cry_model.front_ends import make_front_end

WEIGHTS = "model.safetensors"
ASSETS = Path(__file__).parents[1] / "assets" / "checkpoints"
"""The folder of the bundled checkpoints."""
DEFAULT = ASSETS / "cries-improved-ecapa-tdnn"
"""The bundled checkpoint that is used when none is named."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file whole, so that a crash or a power cut leaves the old one or the new one.

    Raises:
        OSError: if the disk is full or may not be written; the old file is still there.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(content)
        move_into_place(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):  # what is half written only takes room
            temporary.unlink()
        raise


def move_into_place(whole: Path, path: Path) -> None:
    """Give a whole file in the same folder the name ``path``, once its content is on the disk.

    Raises:
        OSError: if it cannot be written; what had that name is still there.
    """
    _sync(whole)
    whole.replace(path)
    with contextlib.suppress(OSError):  # not every system opens a folder; the file is whole
        _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_checkpoint(
    folder: str | os.PathLike, model: nn.Module, config: CheckpointConfig, half: bool = False
) -> None:
    """Writes the weights and the config into ``folder``, which is made if need be.

    Args:
        folder: where to.
        model: a system.
        config: what it is and what was measured.
        half: stores the weights as float16; a loaded model computes in float32 all the same.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    if half:
        weights = {n: t.half() if t.is_floating_point() else t for n, t in weights.items()}
    write_atomically(folder / WEIGHTS, save(weights))
    write_atomically(folder / CONFIG, config.to_json().encode())


def load_checkpoint(folder: str | os.PathLike) -> tuple[nn.Module, CheckpointConfig]:
    """The model, in eval mode on the CPU, and its config.

    Raises:
        CheckpointError: if a file is missing or damaged, or the weights are not exactly those of
            the system that the config names.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"There is no {name} in the checkpoint folder '{folder}'.")
    config = CheckpointConfig.from_json((folder / CONFIG).read_text("utf-8", errors="replace"))
    try:
        make_front_end(config.front_end)
        model = config.build()
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"The checkpoint's system cannot be built: {error}") from error
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"The weights in '{folder}' cannot be read: {error}.") from error
    wrong = _first_difference(model.state_dict(), weights)
    if wrong is not None:
        raise CheckpointError(
            f"The weights in '{folder}' are not those of {config.system}: {wrong}."
        )
    model.load_state_dict(weights, strict=True)
    return model.eval(), config


def _first_difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str | None:
    """One thing that is wrong with ``theirs``; torch would list every tensor."""
    for name, tensor in ours.items():
        if name not in theirs:
            return f"'{name}' is missing"
        if theirs[name].shape != tensor.shape:
            return f"'{name}' has the shape {[*theirs[name].shape]} and not {[*tensor.shape]}"
    for name in theirs:
        if name not in ours:
            return f"'{name}' does not belong there"
    return None
