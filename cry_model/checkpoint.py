"""Save, load and download: ``model.safetensors`` beside ``config.json``, both strict."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from cry_model.evaluation import Estimate, Evaluation
from cry_model.features import FrontEnd, FrontEndConfig
from cry_model.registry import build_model

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = 1
DEFAULT = Path(__file__).parents[1] / "assets" / "checkpoints" / "donateacry-improved-ecapa-tdnn"
"""The bundled checkpoint that is used when none is named."""

Record = TypeVar("Record")


class CheckpointError(ValueError):
    """A checkpoint that is missing, incomplete, or not what its config says."""


@dataclass(frozen=True)
class CheckpointConfig:
    """Everything but the weights.

    Attributes:
        system: name in the registry.
        settings: what :func:`~cry_model.registry.build_model` got besides classes and bands.
        labels: class names, in the order of the logits.
        front_end: what the model wants of a recording.
        training: how the weights were fitted, for people to read.
        evaluation: what was measured on held-out recordings with fits like this one.
        format: version of this layout.
    """

    system: str
    labels: tuple[str, ...]
    front_end: FrontEndConfig
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    format: int = FORMAT

    def build(self) -> nn.Module:
        """The system that the config describes, with fresh weights."""
        return build_model(self.system, len(self.labels), self.front_end.num_bands, **self.settings)

    def to_json(self) -> str:
        """As written to ``config.json``."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> CheckpointConfig:
        """Reads what :meth:`to_json` wrote.

        Raises:
            CheckpointError: if a field is missing, unknown or of a later format.
        """
        try:
            data = json.loads(text)
            if data.get("format") != FORMAT:
                raise CheckpointError(
                    f"This checkpoint has format {data.get('format')}; this version reads {FORMAT}."
                )
            return _record(
                cls,
                {
                    **data,
                    "labels": tuple(data["labels"]),
                    "front_end": _record(FrontEndConfig, data["front_end"]),
                    "evaluation": read_evaluation(data.get("evaluation")),
                },
            )
        except CheckpointError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"The checkpoint's {CONFIG} cannot be read: {error}.") from error


def _record(cls: type[Record], data: Mapping[str, Any]) -> Record:
    unknown = set(data) - {f.name for f in fields(cls)}
    if unknown:
        raise TypeError(f"unknown fields {sorted(unknown)}")
    return cls(**data)


def read_evaluation(data: Mapping[str, Any] | None) -> Evaluation | None:
    """The record out of JSON, of a config or of a ``run.json``; None stays None."""
    if data is None:
        return None
    metrics = {name: _record(Estimate, value) for name, value in data["metrics"].items()}
    if "balanced_accuracy" not in metrics:
        raise KeyError("balanced_accuracy")
    return _record(Evaluation, {**data, "seeds": tuple(data["seeds"]), "metrics": metrics})


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file whole, so that a crash leaves the old one or the new one.

    Raises:
        OSError: if the disk is full or may not be written; the old file is still there.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # what is half written only takes room
            temporary.unlink()
        raise


def save_checkpoint(folder: str | os.PathLike, model: nn.Module, config: CheckpointConfig) -> None:
    """Writes the weights and the config into ``folder``, which is made if need be."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
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
        FrontEnd(config.front_end)
        model = config.build()
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"The checkpoint's system cannot be built: {error}") from error
    try:
        model.load_state_dict(load_file(folder / WEIGHTS), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"The weights in '{folder}' are not those of {config.system}: {error}"
        ) from error
    return model.eval(), config


def find_checkpoint(name: str | os.PathLike, revision: str | None = None) -> Path:
    """A local folder as it is, or a Hub repository's files, downloaded and cached.

    Args:
        name: a folder, or a repository id such as "user/model".
        revision: branch, tag or commit of the repository.

    Raises:
        CheckpointError: if there is neither such a folder nor such a repository, or the Hub
            cannot be reached.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        paths = [hf_hub_download(str(name), file, revision=revision) for file in (CONFIG, WEIGHTS)]
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"'{name}' is neither a folder nor a model that can be fetched from the Hub: {error}"
        ) from error
    return Path(paths[0]).parent
