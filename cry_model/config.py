"""What a checkpoint says about itself: ``config.json``, read strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from cry_model.agreement import Agreement
from cry_model.calibration import Calibration
from cry_model.declared import Name, Names, read, require
from cry_model.evaluation import Evaluation
from cry_model.front_ends import AnyConfig, config_class
from cry_model.gate_record import GateRecord
from cry_model.registry import build_model

CONFIG = "config.json"
FORMAT = 1
ADVICE = "fetch it again or choose another checkpoint"
LONGEST, DEEPEST = 256 * 1024, 20
"""Characters and levels of a config: forty times what the bundled ones have, and four times."""


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
        agreement: for a system that learnt from a teacher alone: how far it answers alike.
        gate: for a system that tells cries from other sounds: its threshold and what it is worth.
        calibration: how sure its answers are, and which labels each names; None leaves the
            probabilities as they are and names no set.
        format: version of this layout.
    """

    system: Name
    labels: Names
    front_end: AnyConfig
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    agreement: Agreement | None = None
    gate: GateRecord | None = None
    calibration: Calibration | None = None
    format: int = FORMAT

    def build(self) -> nn.Module:
        """The system that the config describes, with fresh weights."""
        return build_model(self.system, len(self.labels), self.front_end.num_bands, **self.settings)

    def to_json(self) -> str:
        """As written to ``config.json``.

        Raises:
            ValueError: if a number is none, which :meth:`from_json` would refuse.
        """
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> CheckpointConfig:
        """Reads what :meth:`to_json` wrote.

        Raises:
            CheckpointError: if a field is missing, unknown or not what it must be, or the layout is
                a later one.
        """
        try:
            data = _plain(text)
            if data.get("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}, the one that this version reads")
            front_end = read_front_end(data.get("front_end"))
            return read(cls, {**data, "front_end": front_end})
        except (ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"The checkpoint's {CONFIG} cannot be read: {reason}; {ADVICE}."
            ) from error


def _plain(text: str) -> Mapping[str, Any]:
    """Read an object of bounded size and depth, with each name once and finite numbers."""
    require(len(text) <= LONGEST, f"it is longer than {LONGEST} characters")
    data = json.loads(text, object_pairs_hook=_once)
    require(isinstance(data, dict), "it is no object")
    require(_depth(data) <= DEEPEST, f"it is nested deeper than {DEEPEST} levels")
    json.dumps(data, ensure_ascii=False, allow_nan=False).encode()  # whole characters, no NaN
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    require(len(dict(pairs)) == len(pairs), "a name occurs twice in one of its objects")
    return dict(pairs)


def _depth(data: Any) -> int:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def read_front_end(data: Any) -> AnyConfig:
    """Read the configuration out of JSON, of a config or of a ``run.json``.

    Raises:
        ValueError: if it is none, or its numbers do not fit together.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    return read(config_class(kind), data, "front_end")


def read_evaluation(data: Any) -> Evaluation | None:
    """Read the record out of JSON, of a config or of a ``run.json``; None stays None.

    Raises:
        ValueError: if it is none.
    """
    return None if data is None else read(Evaluation, data, "evaluation")


def read_agreement(data: Any) -> Agreement | None:
    """As :func:`read_evaluation`, for the record of a pupil."""
    return None if data is None else read(Agreement, data, "agreement")


def read_calibration(data: Any) -> Calibration | None:
    """As :func:`read_evaluation`, for temperature and threshold."""
    return None if data is None else read(Calibration, data, "calibration")
