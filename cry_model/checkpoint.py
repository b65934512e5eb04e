"""Save and load: ``model.safetensors`` beside ``config.json``, both strict."""

from __future__ import annotations

import contextlib
import math
import os
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from cry_model.audio import Recording
from cry_model.config import ADVICE, CONFIG, LONGEST, CheckpointConfig, CheckpointError
from cry_model.front_ends import make_front_end

WEIGHTS = "model.safetensors"
LARGEST, HEADER = 512 * 2**20, 2**20
"""Bytes of the weights' file and of its header: ten times what any of our systems has, and more."""
FLOATS = ("F16", "BF16", "F32", "F64")
ASSETS = Path(__file__).parents[1] / "assets" / "checkpoints"
"""The folder of the bundled checkpoints."""
DEFAULT = ASSETS / "six-class-improved-ecapa-tdnn"
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
    text = config.to_json().encode()  # before anything is written: it may be refused
    write_atomically(folder / WEIGHTS, save(weights))
    write_atomically(folder / CONFIG, text)


def load_checkpoint(folder: str | os.PathLike) -> tuple[nn.Module, CheckpointConfig]:
    """Load the model, in eval mode on the CPU, and its config.

    Nothing is allocated before the config is within its ranges and the weights' shapes are known to
    be those of its system. Draws no random numbers.

    Raises:
        CheckpointError: if a file is missing or damaged, or the weights are not exactly those of
            the system that the config names, or no finite numbers.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not os.path.isfile(folder / name):  # noqa: PTH113 - pathlib's raises where it may not look
            raise CheckpointError(
                f"There is no {name} in the checkpoint folder '{folder}'; {ADVICE}."
            )
    config = CheckpointConfig.from_json(_text(folder / CONFIG))
    try:
        make_front_end(config.front_end)
        with torch.device("meta"):
            model = config.build()
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint's system cannot be built: {_line(error)}; {ADVICE}."
        ) from error
    try:
        weights = _weights(folder / WEIGHTS, model.state_dict())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"The weights in '{folder}' cannot be read: {_line(error)}; {ADVICE}."
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"The weights in '{folder}' are not those of {config.system}: {error}; {ADVICE}."
        ) from error
    model.load_state_dict(weights, strict=True, assign=True)
    return model.eval(), config


def try_out(answer: Callable[[Recording], Iterable[float]]) -> None:
    """Let a loaded system answer a second of noise, so that nobody's recording is its first.

    Args:
        answer: gives probabilities.

    Raises:
        CheckpointError: if that fails, or they are no finite numbers.
    """
    rate = 16_000
    noise = 0.1 * torch.randn(rate, generator=torch.Generator().manual_seed(0))
    try:
        finite = all(map(math.isfinite, answer(Recording(noise, rate))))
    except Exception as error:  # whatever it is, it would be a trace for whoever came first
        raise CheckpointError(
            f"The checkpoint loads but cannot answer: {_line(error)}; {ADVICE}."
        ) from error
    if not finite:
        raise CheckpointError(f"The checkpoint loads but its answers are no numbers; {ADVICE}.")


def _line(error: Exception) -> str:
    """Put what a library says on one line, without its full stop."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4 * LONGEST + 1).decode("utf-8", errors="replace")
    except OSError as error:
        raise CheckpointError(f"'{path}' cannot be read: {error.strerror}; {ADVICE}.") from error


def _weights(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the tensors of a file, each as the type of the one in ``wanted``.

    Raises:
        ValueError: with the first thing that is wrong with them.
        OSError: if the file may not be read.
        SafetensorError: if the file is damaged.
    """
    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > HEADER or path.stat().st_size > LARGEST:
            raise SafetensorError("it is larger than any of our systems")
    with safe_open(path, "pt") as file:
        wrong = next(_differences(wanted, file), None)
        if wrong is not None:  # one is enough; torch would list every tensor
            raise ValueError(wrong)
        # Copied, for the file may change.
        found = {n: file.get_tensor(n).to(t.dtype, copy=True) for n, t in wanted.items()}
    for name, tensor in found.items():
        if not tensor.isfinite().all():
            raise ValueError(f"'{name}' holds infinite values, or none")
    return found


def _differences(wanted: Mapping[str, Tensor], file: safe_open) -> Iterator[str]:
    """Tell what is wrong with the names, shapes and types in a file's header."""
    theirs = set(file.keys())
    for name, tensor in wanted.items():
        if name not in theirs:
            yield f"'{name}' is missing"
            continue
        header, shape = file.get_slice(name), [*tensor.shape]
        if header.get_shape() != shape:
            yield f"'{name}' has the shape {header.get_shape()} and not {shape}"
        if header.get_dtype() not in (FLOATS if tensor.is_floating_point() else ("I64",)):
            yield f"'{name}' is stored as {header.get_dtype()}"
    for name in sorted(theirs - set(wanted)):
        yield f"{reprlib.repr(name)} does not belong there"
