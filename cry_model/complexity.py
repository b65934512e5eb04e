"""Size and cost of a system, counted by torch, beside what the paper states."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cry_model.registry import PAPER_BANDS, build_model, get_system, list_models

FRAMES = 250  # 5 s at the paper's hop of 20 ms
MEBI = 2**20  # the paper's "Param (MB)": its ResNet18 has 11.18 M parameters, printed as 10.66
PAPER_REFERENCE = Path(__file__).parents[1] / "assets" / "paper_reference.json"


@dataclass(frozen=True)
class Complexity:
    """Parameters, and multiply-adds for one input."""

    parameters: int
    multiply_adds: int


def measure(model: nn.Module, num_bands: int = PAPER_BANDS, frames: int = FRAMES) -> Complexity:
    """Counts the parameters of ``model`` and its multiply-adds for (1, num_bands, frames).

    torch's counter takes convolutions and matrix products, two operations a multiply-add.
    """
    was_training = model.training
    features = torch.zeros(1, num_bands, frames, device=next(model.parameters()).device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.eval()(features)
    model.train(was_training)
    return Complexity(sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2)


def table() -> str:
    """Every system with six classes and 13 MFCC, the paper's figures beside ours, as text."""
    paper = json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))["systems"]
    rows = [("system", "parameters / 2^20", "paper", "multiply-adds, 5 s", "paper")]
    for name in list_models():
        cost = measure(build_model(name), get_system(name).num_bands)
        stated = paper.get(name, {})
        rows.append(
            (
                name,
                f"{cost.parameters / MEBI:.2f}",
                _stated(stated.get("parameters_mebi")),
                f"{cost.multiply_adds / 1e9:.2f} G",
                _stated(stated.get("flops_giga"), " G"),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    return "\n".join(lines) + "\n\n" + NOTE


NOTE = """Inputs of 13 MFCC x 250 frames (5 s), six classes; feature-mlp has 26 features, whose
own cost is not counted. The paper does not state the inputs behind its figures."""


def _stated(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.2f}{unit}"
