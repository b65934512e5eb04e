"""What a checkpoint says about itself: ``config.json``, read strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from torch import nn

from cry_model.agreement import Agreement
from cry_model.calibration import AGAINST, Calibration
from cry_model.evaluation import Estimate, Evaluation
from cry_model.front_ends import AnyConfig, config_class
from cry_model.gate_record import RATES, GateRecord
from cry_model.registry import build_model

CONFIG = "config.json"
FORMAT = 1

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
        agreement: for a system that learnt from a teacher alone: how far it answers alike.
        gate: for a system that tells cries from other sounds: its threshold and what it is worth.
        calibration: how sure its answers are, and which labels each names; None leaves the
            probabilities as they are and names no set.
        format: version of this layout.
    """

    system: str
    labels: tuple[str, ...]
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
                    "labels": _labels(data["labels"]),
                    "settings": _object(data.get("settings", {})),
                    "training": _object(data.get("training", {})),
                    "front_end": read_front_end(data["front_end"]),
                    "evaluation": read_evaluation(data.get("evaluation")),
                    "agreement": read_agreement(data.get("agreement")),
                    "gate": read_gate(data.get("gate")),
                    "calibration": read_calibration(data.get("calibration")),
                },
            )
        except CheckpointError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"The checkpoint's {CONFIG} cannot be read: {error}.") from error


def _labels(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("the labels are no list of words")
    if not names or len(set(names)) < len(names):
        raise ValueError("there are no labels, or one of them occurs twice")
    return tuple(names)


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TypeError(f"there is {data!r} where an object should be")
    return data


def read_front_end(data: Any) -> AnyConfig:
    """The configuration out of JSON, of a config or of a ``run.json``.

    Raises:
        TypeError: if it is none.
        ValueError: if its numbers do not fit together.
    """
    return _record(config_class(_object(data).get("kind")), data)


def _record(cls: type[Record], data: Mapping[str, Any]) -> Record:
    unknown = set(data) - {f.name for f in fields(cls)}
    if unknown:
        raise TypeError(f"unknown fields {sorted(unknown)}")
    return cls(**data)


SHARES = ("chance", "majority_accuracy")


def read_evaluation(data: Mapping[str, Any] | None) -> Evaluation | None:
    """The record out of JSON, of a config or of a ``run.json``; None stays None."""
    if data is None:
        return None
    metrics = {name: _record(Estimate, value) for name, value in data["metrics"].items()}
    if "balanced_accuracy" not in metrics:
        raise KeyError("balanced_accuracy")
    if set(data["recall"]) != set(data["support"]):
        raise ValueError("recall and support are not of the same labels")
    _require_numbers(*metrics.values())
    for value in (*data["recall"].values(), *(data[name] for name in SHARES)):
        _require_number(value)
    return _record(Evaluation, {**data, "seeds": tuple(data["seeds"]), "metrics": metrics})


ESTIMATES = ("agreement", "constant", "gain", "divergence", "constant_divergence")


def read_agreement(data: Mapping[str, Any] | None) -> Agreement | None:
    """As :func:`read_evaluation`, for the record of a pupil."""
    if data is None:
        return None
    estimates = {name: _record(Estimate, data[name]) for name in ESTIMATES}
    _require_numbers(*estimates.values())
    teacher = read_evaluation(data.get("teacher_evaluation"))
    seeds = tuple(data["seeds"])
    return _record(Agreement, {**data, **estimates, "seeds": seeds, "teacher_evaluation": teacher})


def read_gate(data: Mapping[str, Any] | None) -> GateRecord | None:
    """As :func:`read_evaluation`, for the record of a gate."""
    if data is None:
        return None
    rates = {name: _record(Estimate, data[name]) for name in RATES}
    _require_numbers(*rates.values())
    _require_number(data["threshold"])
    return _record(GateRecord, {**data, **rates})


MEASURED = ("coverage", "size", "error_before", "error_after")
PROPORTIONS = ("promised", "threshold", "empty", "single", "full", "constant_coverage")


def read_calibration(data: Mapping[str, Any] | None) -> Calibration | None:
    """As :func:`read_evaluation`, for temperature and threshold."""
    if data is None:
        return None
    estimates = {name: _record(Estimate, data[name]) for name in MEASURED}
    _require_numbers(*estimates.values())
    for value in (*(data[name] for name in PROPORTIONS), *data["by_label"].values()):
        if not 0 <= value <= 1:
            raise ValueError(f"{value!r} does not lie between 0 and 1")
    teacher = data["teacher_temperature"]
    for value in (data["temperature"], *(() if teacher is None else (teacher,))):
        if not 0 < value < math.inf:
            raise ValueError(f"{value!r} is no temperature")
    if data["against"] not in AGAINST:
        raise ValueError(f"nothing is calibrated against {data['against']!r}")
    always, seeds = _labels(data["constant_set"]), tuple(data["seeds"])
    return _record(Calibration, {**data, **estimates, "constant_set": always, "seeds": seeds})


def _require_numbers(*estimates: Estimate) -> None:
    for estimate in estimates:
        for value in asdict(estimate).values():
            _require_number(value)


def _require_number(value: Any) -> None:
    if not isinstance(value, float | int):
        raise TypeError(f"{value!r} is no number")
