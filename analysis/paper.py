"""What the paper claims of its systems, as data, and the numbers that it prints for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cry_model.complexity import PAPER_REFERENCE

FULL = "improved-ecapa-tdnn"
NO_MCA, NO_RSE, NO_DIFFERENTIAL = (f"{FULL}-no-{part}" for part in ("mca", "rse", "diff-attention"))


@dataclass(frozen=True)
class Claim:
    """Every system of ``better`` is better than ``worse``; ``where`` the paper says so."""

    name: str
    better: tuple[str, ...]
    worse: str
    sentence: str
    where: str

    @property
    def systems(self) -> tuple[str, ...]:
        """All that have to be measured."""
        return (*self.better, self.worse)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "improved beats ECAPA-TDNN",
        (FULL,),
        "ecapa-tdnn",
        "The improved ECAPA-TDNN is better than the ECAPA-TDNN",
        "Table 2",
    ),
    Claim(
        "ECAPA-TDNN beats ResNet18",
        ("ecapa-tdnn",),
        "resnet18",
        "The ECAPA-TDNN is better than the ResNet18",
        "Table 2",
    ),
    Claim(
        "improved beats ResNet18",
        (FULL,),
        "resnet18",
        "The improved ECAPA-TDNN is better than the ResNet18",
        "Table 2",
    ),
    Claim("MCA helps", (FULL,), NO_MCA, "Without MCA the improved ECAPA-TDNN is worse", "Table 1"),
    Claim("RSE helps", (FULL,), NO_RSE, "Without RSE the improved ECAPA-TDNN is worse", "Table 1"),
    Claim(
        "differential attention helps",
        (FULL,),
        NO_DIFFERENTIAL,
        "Without differential attention the improved ECAPA-TDNN is worse",
        "Table 1",
    ),
    Claim(
        "MCA helps most",
        (NO_RSE, NO_DIFFERENTIAL),
        NO_MCA,
        "Leaving MCA out costs more than leaving out either of the other two",
        "Table 1",
    ),
)


@dataclass(frozen=True)
class PrintedConfusion:
    """How often the improved system confuses two labels, 0 to 1; which way round is not said."""

    labels: tuple[str, str]
    value: float
    note: str
    where: str


@dataclass(frozen=True)
class Paper:
    """Printed numbers, and where they stand.

    Attributes:
        accuracy: of each system, 0 to 1.
        epochs, epochs_where: of training.
        labels: the six classes.
        protocol: how training and test were divided, in words.
        confusions: what is printed of the improved system's confusion matrix.
    """

    accuracy: dict[str, float]
    epochs: int
    epochs_where: str
    labels: tuple[str, ...]
    protocol: str
    confusions: tuple[PrintedConfusion, ...]


def read_paper() -> Paper:
    """Out of ``assets/paper_reference.json``."""
    reference: dict[str, Any] = json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))
    accuracy = {name: stated["accuracy"] for name, stated in reference["systems"].items()}
    training = reference["training"]
    confusions = tuple(
        PrintedConfusion(tuple(stated["labels"]), stated["value"], stated["note"], stated["where"])
        for stated in reference["confusion"]
    )
    return Paper(
        accuracy,
        training["epochs"],
        training["where"],
        tuple(reference["labels"]),
        reference["protocol"],
        confusions,
    )
