"""Save and load checkpoints, ``model.safetensors`` and ``config.json``, with strict validation."""

from __future__ import annotations

import contextlib
import json
import math
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cry_model.declared import Name, Names, read, require, strict
from cry_model.records import Agreement, Calibration, Complexity, DetectorRecord, Evaluation
from cry_model.sound.audio import Recording
from cry_model.sound.front_end_config import AnyConfig

if TYPE_CHECKING:  # torch is imported where weights are read or written
    from torch import Tensor, nn

CONFIG = "config.json"
FORMAT = 1
LONGEST, DEEPEST = 256 * 1024, 20
"""Maximum characters and levels of a config: forty and four times those of the bundled ones."""


class CheckpointError(ValueError):
    """A checkpoint is missing, incomplete, or does not match its config."""


def unusable(reason: str) -> CheckpointError:
    """Return an error whose message says why a checkpoint is unusable, and what to do."""
    return CheckpointError(f"{reason}; fetch it again or choose another checkpoint.")


@strict
@dataclass(frozen=True)
class CheckpointConfig:
    """Everything in a checkpoint but the weights."""

    system: Name  # in the registry
    labels: Names  # in the order of the logits
    front_end: AnyConfig
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of :func:`~cry_model.build_model` besides classes and bands."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """How the weights were fitted, for people to read."""
    evaluation: Evaluation | None = None  # of models fitted like this one
    agreement: Agreement | None = None  # of a student fitted without labels, with its teacher
    detector: DetectorRecord | None = None
    calibration: Calibration | None = None  # None: probabilities unchanged, no prediction sets
    complexity: Complexity | None = field(default=None, compare=False)  # None in an old config
    format: int = FORMAT

    def build(self) -> nn.Module:
        """Build the system that the config describes, with freshly initialised weights."""
        from cry_model.networks.registry import build_model

        return build_model(self.system, len(self.labels), self.front_end.num_bands, **self.settings)

    def to_json(self) -> str:
        """Return the content of ``config.json``; raise ValueError on NaN or infinity, which
        :meth:`from_json` would reject."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> CheckpointConfig:
        """Parse the output of :meth:`to_json`; raise CheckpointError if a field is missing, unknown
        or invalid."""
        try:
            data = plain_object(text, LONGEST)
            if data.get("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}, the one this version reads")
            found = read(cls, data)
            for name in asdict(found.front_end):  # a default could mean another front end
                require(name in data["front_end"], f"front_end.{name} is missing")
            return found
        except (ValueError, RecursionError) as error:
            raise unusable(
                f"The checkpoint's {CONFIG} cannot be read: {one_line(error)}"
            ) from error


def plain_object(text: str | bytes, longest: int) -> dict[str, Any]:
    """Parse a JSON object of bounded size and depth, with unique names and finite numbers; raise
    ValueError or RecursionError if it is anything else."""
    require(len(text) <= longest, f"it is longer than {longest} characters")
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is cut off or damaged in line {error.lineno}") from error
    require(isinstance(data, dict), "it is not an object")
    require(_depth(data) <= DEEPEST, f"it is nested deeper than {DEEPEST} levels")
    json.dumps(data, ensure_ascii=False, allow_nan=False).encode()  # no lone surrogates, no NaN
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    require(len(dict(pairs)) == len(pairs), "a name occurs twice in one of its objects")
    return dict(pairs)


def _depth(data: Any) -> int:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return 1 + max(map(_depth, inner), default=0)


WEIGHTS = "model.safetensors"
LARGEST, HEADER = 512 * 2**20, 2**20
"""Maximum bytes of the weights' file and of its header: ten times those of our systems, or more."""
FLOATS = ("F16", "BF16", "F32", "F64")
_INSTALLED = Path(__file__).with_name("assets")  # where pyproject.toml installs it
_HERE = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "assets"
ASSETS = _HERE / "checkpoints"
"""The folder of the bundled checkpoints."""
PAPER_REFERENCE = _HERE / "paper_reference.json"
"""The paper's published numbers: sizes, tables, confusion matrices."""
BUNDLED: Mapping[str, str] = {
    "six-class": "six-class-improved-ecapa-tdnn",
    "six-class-features": "challenge6-features-16khz-feature-mlp",
    "donate-a-cry": "donateacry-improved-ecapa-tdnn",
}
"""Short name of each bundled classifier -> its folder; an installed package has only the first."""
INSTALLED = tuple(name for name in BUNDLED if (ASSETS / BUNDLED[name]).is_dir())
"""The bundled classifiers that are part of this installation."""
DEFAULT = ASSETS / BUNDLED["six-class"]
"""The bundled checkpoint that is the default."""
DEFAULT_DETECTOR = ASSETS / "detector-resnet18"
"""The bundled detector."""


def local_folder(name: str | os.PathLike, revision: str | None = None) -> Path | None:
    """Return the folder of a bundled checkpoint, or the one of this name; None if there is none.
    Raise CheckpointError if there is one and a revision is given."""
    found = ASSETS / BUNDLED[str(name)] if str(name) in BUNDLED else Path(name)
    if not os.path.isdir(found):  # noqa: PTH112 - pathlib's raises if a name is too long
        return None
    if revision is not None:
        raise CheckpointError(
            f"'{name}' is a local folder, without revisions; leave the revision out."
        )
    return found


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file atomically, so that a crash or a power cut leaves the old or the new one;
    raise OSError if the disk is full or not writable, keeping the old file."""
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(content)
        move_into_place(temporary, path)
    except BaseException:  # including Ctrl-C
        with contextlib.suppress(OSError):  # a partial file only takes up space
            temporary.unlink()
        raise


def move_into_place(whole: Path, path: Path) -> None:
    """Rename a complete file in the same folder to ``path``, once its content is on the disk."""
    _sync(whole)
    whole.replace(path)
    with contextlib.suppress(OSError):  # not every system can open a folder; the file is complete
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_checkpoint(
    folder: str | os.PathLike, model: nn.Module, config: CheckpointConfig, half: bool = False
) -> None:
    """Write weights and config; ``half`` stores float16, but loaded models compute in float32."""
    from safetensors.torch import save

    from cry_model.networks.registry import measure

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    if half:
        weights = {n: t.half() if t.is_floating_point() else t for n, t in weights.items()}
    if config.complexity is None:
        config = replace(config, complexity=measure(model, config.front_end.num_bands))
    text = config.to_json().encode()  # before anything is written: it may be invalid
    write_atomically(folder / WEIGHTS, save(weights))
    write_atomically(folder / CONFIG, text)


def read_config(folder: str | os.PathLike) -> CheckpointConfig:
    """Read the config of a checkpoint; raise CheckpointError if it cannot be read."""
    path = Path(folder) / CONFIG
    try:
        with path.open("rb") as file:
            text = file.read(4 * LONGEST + 1).decode("utf-8", errors="replace")
    except OSError as error:
        raise unusable(f"'{path}' cannot be read: {error.strerror}") from error
    return CheckpointConfig.from_json(text)


def load_checkpoint(folder: str | os.PathLike) -> tuple[nn.Module, CheckpointConfig]:
    """Load the model, in eval mode on the CPU, and its config.

    Nothing is allocated before the config is validated and the weights' shapes match its system.
    Draws no random numbers. Raise CheckpointError if a file is missing or damaged, or the weights
    do not match the system exactly or are not finite.
    """
    import torch
    from safetensors import SafetensorError

    from cry_model.networks.registry import make_front_end

    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not os.path.isfile(folder / name):  # noqa: PTH113 - pathlib's raises without permission
            raise unusable(f"There is no {name} in the folder '{folder}'")
    config = read_config(folder)
    try:
        make_front_end(config.front_end)
        with torch.device("meta"):
            model = config.build()
    except (RuntimeError, TypeError, ValueError) as error:
        raise unusable(f"The checkpoint's system cannot be built: {one_line(error)}") from error
    try:
        weights = _weights(folder / WEIGHTS, model.state_dict())
    except (SafetensorError, OSError) as error:
        raise unusable(f"The weights in '{folder}' cannot be read: {one_line(error)}") from error
    except ValueError as error:
        raise unusable(
            f"The weights in '{folder}' are not those of {config.system}: {error}"
        ) from error
    model.load_state_dict(weights, strict=True, assign=True)
    return model.eval(), config


SALT, HASHES = "fingerprints.salt", "fingerprints.hashes"
"""Tensors in the file of the weights: fingerprints of the training recordings, if known."""


def try_out(answer: Callable[[Recording], Iterable[float]]) -> None:
    """Run a loaded system on a second of noise, so that it fails here and not on a recording; raise
    CheckpointError if it fails, or its outputs are not finite."""
    rate = 16_000
    noise = 0.1 * np.random.default_rng(0).standard_normal(rate, np.float32)
    try:
        finite = all(map(math.isfinite, answer(Recording(noise, rate))))
    except Exception as error:  # else the first user would get a traceback
        raise unusable(f"The checkpoint loads but cannot answer: {one_line(error)}") from error
    if not finite:
        raise unusable("The checkpoint loads but its outputs are not finite")


def one_line(error: Exception) -> str:
    """Put a library's message on one line, without its full stop."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def _weights(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the tensors of a file, with the dtypes of those in ``wanted``; raise ValueError with the
    first mismatch or if one is not finite; OSError, SafetensorError if the file is unreadable or
    damaged."""
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > HEADER or path.stat().st_size > LARGEST:
            raise SafetensorError("damaged, or larger than any of our systems")
    with safe_open(path, "pt") as file:
        theirs = set(file.keys())
        for name, tensor in wanted.items():
            require(name in theirs, f"'{name}' is missing")
            header, kinds = file.get_slice(name), FLOATS if tensor.is_floating_point() else ("I64",)
            shape, kind = header.get_shape(), header.get_dtype()
            require(shape == [*tensor.shape], f"'{name}' has shape {shape}, not {[*tensor.shape]}")
            require(kind in kinds, f"'{name}' is stored as {kind}")
        for name in sorted(theirs - {*wanted, SALT, HASHES}):
            raise ValueError(f"{reprlib.repr(name)} is unexpected")
        # Copied, as the file may change.
        found = {n: file.get_tensor(n).to(t.dtype, copy=True) for n, t in wanted.items()}
    for name, tensor in found.items():
        require(bool(tensor.isfinite().all()), f"'{name}' has infinite or NaN values")
    return found


def to_json(record: Any, indent: int | None = 2) -> str:
    """Return a record as JSON, on one line without ``indent``; NaN and infinity become null."""
    return json.dumps(_known(record), indent=indent, allow_nan=False)


def _known(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _known(entry) for name, entry in value.items()}
    return [_known(entry) for entry in value] if isinstance(value, list | tuple) else value
