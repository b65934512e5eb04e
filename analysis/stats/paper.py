"""Define the paper's claims as data, and read its printed numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from cry_model.checkpoint import PAPER_REFERENCE

FULL = "improved-ecapa-tdnn"
NO_MCA, NO_RSE, NO_DIFFERENTIAL = (f"{FULL}-no-{part}" for part in ("mca", "rse", "diff-attention"))
MODULES = {NO_MCA: "MCA", NO_RSE: "RSE", NO_DIFFERENTIAL: "differential attention"}
"""Ablation -> the module it removes."""
LIKE_ACCURACY = ("balanced_accuracy", "accuracy")
"""Metrics by which claims are judged. The paper uses accuracy, on classes of similar size; where
one class dominates, balanced accuracy is its counterpart."""
WITHOUT = {system: f"without {module}" for system, module in MODULES.items()}


@dataclass(frozen=True)
class Claim:
    """State that every system of ``better`` beats ``worse``, according to a table."""

    name: str
    better: tuple[str, ...]
    worse: str
    where: str

    @property
    def systems(self) -> tuple[str, ...]:
        """Return all systems that the claim needs."""
        return (*self.better, self.worse)


CLAIMS: tuple[Claim, ...] = (
    Claim("improved beats ECAPA-TDNN", (FULL,), "ecapa-tdnn", "Table 2"),
    Claim("ECAPA-TDNN beats ResNet18", ("ecapa-tdnn",), "resnet18", "Table 2"),
    Claim("improved beats ResNet18", (FULL,), "resnet18", "Table 2"),
    Claim("MCA helps", (FULL,), NO_MCA, "Table 1"),
    Claim("RSE helps", (FULL,), NO_RSE, "Table 1"),
    Claim("differential attention helps", (FULL,), NO_DIFFERENTIAL, "Table 1"),
    Claim("MCA helps most", (NO_RSE, NO_DIFFERENTIAL), NO_MCA, "Table 1"),
)


@dataclass(frozen=True)
class Paper:
    """Store the printed numbers."""

    accuracy: dict[str, float]  # of each system, 0 to 1
    epochs: int  # of training
    parameters_mebi: dict[str, float]  # of the systems of Table 2, in units of 2^20
    flops_giga: dict[str, float]  # of the same, in units of 10^9, for inputs that it does not state
    labels: tuple[str, ...]  # the six classes

    def drop(self, system: str) -> float:
        """Return the accuracy lost without the module of an ablation, 0 to 1."""
        return self.accuracy[FULL] - self.accuracy[system]


@cache
def read_paper() -> Paper:
    """Read ``assets/paper_reference.json``."""
    reference: dict[str, Any] = json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))

    def stated(what: str) -> dict[str, float]:
        return {name: row[what] for name, row in reference["systems"].items() if what in row}

    return Paper(
        accuracy=stated("accuracy"),
        epochs=reference["training"]["epochs"],
        parameters_mebi=stated("parameters_mebi"),
        flops_giga=stated("flops_giga"),
        labels=tuple(reference["labels"]),
    )
