"""Predict clips, cut into pieces as the classifier cuts them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cry_model.fingerprint import Fingerprints
from cry_model.results import probability_columns
from cry_model.sound.audio import Recording
from cry_model.sound.frontend import FrontEnd
from train.data.corpus import Clips, TableFrontEnd

BATCH = 64  # pieces
TrainingFrontEnd = FrontEnd | TableFrontEnd


class TrainingError(RuntimeError):
    """Training cannot continue; the message says why."""


@torch.inference_mode()
def of_each_piece(
    compute: Callable[[Tensor], Tensor],
    front_end: TrainingFrontEnd,
    clips: Clips,
    device: torch.device,
) -> list[NDArray[np.float64]]:
    """Apply ``compute`` to features (batch, bands, frames); return (pieces, values) per clip.

    Only pieces of equal length share a batch, so nothing is padded, as for a piece on its own.
    """
    by_length = defaultdict(list)
    for i in range(len(clips.items)):
        for number, wave in enumerate(clips.pieces(front_end, i)):
            by_length[len(wave)].append((i, number, wave))
    found: list[dict[int, NDArray[np.float64]]] = [{} for _ in clips.items]
    for pieces in by_length.values():
        for begin in range(0, len(pieces), BATCH):
            batch = pieces[begin : begin + BATCH]
            waves = torch.stack([wave for _, _, wave in batch]).to(device)
            rows = compute(front_end(waves)).cpu().double().numpy()
            for (i, number, _), row in zip(batch, rows, strict=True):
                found[i][number] = row
    return [np.stack([rows[n] for n in sorted(rows)]) for rows in found]


def piece_probabilities(
    model: nn.Module, front_end: TrainingFrontEnd, clips: Clips
) -> list[NDArray[np.float64]]:
    """Return probabilities (pieces, classes) per clip; raise TrainingError if any is not finite."""
    device = next(model.parameters()).device
    found = of_each_piece(lambda x: model(x).float().softmax(-1), front_end, clips, device)
    if not all(np.isfinite(rows).all() for rows in found):
        raise TrainingError("The model outputs are not finite; try a lower learning rate.")
    return found


def predict(
    model: nn.Module, front_end: TrainingFrontEnd, clips: Clips, labels: tuple[str, ...]
) -> pd.DataFrame:
    """Return a table with the class probabilities of every piece of every clip."""
    rows, columns = [], probability_columns(labels)
    probabilities = piece_probabilities(model, front_end, clips)
    for item, pieces in zip(clips.items, probabilities, strict=True):
        facts = {"recording": item.recording, "group": item.group, "label": item.label}
        # A unit of the clip protocol may be slightly too long for one piece; then it has two.
        for number, row in enumerate(pieces):
            answer = dict(zip(columns, row, strict=True))
            rows.append({"clip": f"{item.unit}#{number}", **facts, **answer})
    return pd.DataFrame(rows)


def fingerprints_of(corpora: Sequence[Clips], rate: int) -> Fingerprints:
    """Compute the fingerprints of prepared clips at ``rate`` Hz."""
    waves = (wave for clips in corpora for wave in clips.waveforms)
    return Fingerprints.of(Recording(wave, rate) for wave in waves)


def digest(weights: Mapping[str, Tensor]) -> str:
    """Return a 16-character hash of the names and values of tensors."""
    found = hashlib.sha256()
    for name, tensor in weights.items():
        found.update(name.encode())
        found.update(tensor.cpu().contiguous().numpy())
    return found.hexdigest()[:16]
