"""Adapt a student to labels: a linear layer on its embedding, and a partner network.

The student's network and classifier stay frozen. Cuts are labelled; other cries get the student's
own predictions as soft labels. These keep its predictions stable where there are no labels, and
preserve the class that no cut has (semi-supervised; the distillation loss of learning without
forgetting, Li and Hoiem 2016).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from cry_model.checkpoint import CheckpointConfig
from cry_model.networks.feature_mlp import FeatureMLP
from cry_model.networks.improved_ecapa_tdnn import ReusedClassifier
from cry_model.sound.frontend import FrontEnd
from train.data.corpus import Clips, DataError
from train.scoring.results import Cell, existing_predictions

PARTNER = "ecapa-tdnn"
ADDITIONS = "classifier.adaptation.", "classifier.partner."
PENALTIES = (10.0, 30.0, 100.0, 300.0)
"""L2 penalties of the weights, on standardised embeddings; selected within training folds."""
INNER_FOLDS = 4
INTERCEPT_PENALTY = 1e-3


class Pieces(NamedTuple):
    """Student embeddings of the pieces of recordings."""

    embeddings: Tensor  # (pieces, width)
    targets: Tensor  # (pieces, classes); rows of zeros where there is no label
    weights: Tensor  # (pieces,); they sum to 1 within a recording
    recordings: Tensor  # (pieces,) index of each piece's recording
    groups: tuple[str, ...]  # one per recording

    def subset(self, numbers: Sequence[int] | NDArray[np.int64]) -> Pieces:
        """Return the pieces of these recordings, in ascending order."""
        kept = torch.as_tensor(numbers)
        rows = torch.isin(self.recordings, kept)
        renumbered = torch.searchsorted(kept, self.recordings[rows])
        groups = tuple(self.groups[i] for i in numbers)
        return Pieces(
            self.embeddings[rows], self.targets[rows], self.weights[rows], renumbered, groups
        )


@torch.no_grad()
def embed(student: nn.Module, front_end: FrontEnd, clips: Clips, labels: Sequence[str]) -> Pieces:
    """Embed every piece with a student in eval mode that has a :class:`ReusedClassifier`."""
    seen: list[Tensor] = []
    hook = student.classifier.features.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    counts, targets = [], torch.zeros(len(clips.items), len(labels))
    for i, item in enumerate(clips.items):
        waves = clips.pieces(front_end, i)
        student(front_end(waves))
        counts.append(len(waves))
        if item.label is not None:
            targets[i, labels.index(item.label)] = 1
    hook.remove()
    count, groups = torch.tensor(counts), tuple(item.group for item in clips.items)
    number = torch.arange(len(counts)).repeat_interleave(count)
    return Pieces(torch.cat(seen), targets[number], (1 / count)[number], number, groups)


@dataclass(frozen=True)
class Adaptation:
    """The layer ``embedding @ weight.T + bias``, with shapes (classes, width) and (classes,)."""

    weight: Tensor
    bias: Tensor
    penalty: float


def adapt(head: ReusedClassifier, labelled: Pieces, others: Pieces) -> Adaptation:
    """Fit the layer with the penalty of lowest log loss in an inner cross-validation by group."""
    _, first = np.unique(labelled.recordings, return_index=True)
    kind = labelled.targets[first].argmax(1).numpy()
    splitter = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=0)
    folds = list(splitter.split(kind, kind, labelled.groups))

    def loss(penalty: float) -> float:
        total = 0.0
        for learnt, tested in folds:
            layer = fit_layer(head, labelled.subset(learnt), others, penalty)
            found = answer(head, layer, labelled.subset(tested))
            total -= found[range(len(tested)), kind[tested]].log().sum().item()
        return total

    return fit_layer(head, labelled, others, min(PENALTIES, key=loss))


def fit_layer(
    head: ReusedClassifier, labelled: Pieces, others: Pieces, penalty: float
) -> Adaptation:
    """Fit the layer by L2-penalised logistic regression, with the classifier's output as offset."""
    embeddings = torch.cat([labelled.embeddings, others.embeddings])
    mean, scale = embeddings.mean(0), embeddings.std(0).clamp_min(1e-6)
    standard = (embeddings - mean) / scale
    with torch.no_grad():
        offset = head.log_probabilities(embeddings)
    soft = offset[len(labelled.embeddings) :].exp()
    targets = torch.cat([labelled.targets, soft])
    share = torch.cat([labelled.weights, others.weights])
    weight = torch.zeros(offset.shape[1], standard.shape[1], requires_grad=True)
    bias = torch.zeros(offset.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        logits = offset + standard @ weight.T + bias
        each = nn.functional.cross_entropy(logits, targets, reduction="none")
        loss = share @ each + penalty * weight.square().sum()
        loss = loss + INTERCEPT_PENALTY * bias.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    weight, bias = weight.detach(), bias.detach()
    unscaled = weight / scale
    return Adaptation(unscaled, bias - unscaled @ mean, penalty)


@torch.no_grad()
def answer(head: ReusedClassifier, layer: Adaptation, pieces: Pieces) -> Tensor:
    """Return the adapted mean probabilities of each recording, (recordings, classes)."""
    shift = pieces.embeddings @ layer.weight.T + layer.bias
    each = (head.log_probabilities(pieces.embeddings) + shift).softmax(-1)
    total = torch.zeros(len(pieces.groups), each.shape[1])
    return total.index_add(0, pieces.recordings, each * pieces.weights[:, None])


def student_with(student: nn.Module, teacher: FeatureMLP) -> nn.Module:
    """Replace a student's classifier by that of another teacher, in place, and return the student.

    The student predicts features standardised by its own teacher's mean and scale. Its linear layer
    is rescaled to those of the other teacher.
    """
    head: ReusedClassifier = student.classifier
    own = head.teacher
    with torch.no_grad():
        ratio = own.scale / teacher.scale
        head.features.weight.mul_(ratio[:, None])
        head.features.bias.copy_(
            (head.features.bias * own.scale + own.mean - teacher.mean) / teacher.scale
        )
    own.load_state_dict(teacher.state_dict())
    return student


def adapted(
    student: nn.Module, config: CheckpointConfig, layer: Adaptation
) -> tuple[nn.Module, CheckpointConfig]:
    """Return a copy of the student with the adaptation layer, and its config."""
    name, state = "classifier.adaptation", student.state_dict()
    state |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    return _rebuilt(config, {"adapted": True}, state)


def with_partner(
    student: nn.Module, config: CheckpointConfig, partner: nn.Module, theirs: CheckpointConfig
) -> tuple[nn.Module, CheckpointConfig]:
    """Return a copy of a student with a partner network trained on labels, and its config.

    Raise DataError if the partner is not an ECAPA-TDNN on the student's features, or has classes
    that the student lacks.
    """
    own = config.front_end
    alike = replace(theirs.front_end, centre=own.centre) == own
    if theirs.system != PARTNER or not alike or not {*theirs.labels} <= {*config.labels}:
        raise DataError(
            f"A partner must be an {PARTNER} on the student's features and labels; fit with "
            "'--preset wide --set kind=log-mel'."
        )
    known = [config.labels.index(label) for label in theirs.labels]
    settings = {**theirs.settings, "known": known, "centre": theirs.front_end.centre - own.centre}
    state = {f"classifier.partner.network.{k}": v for k, v in partner.state_dict().items()}
    return _rebuilt(config, {"partner": settings}, {**student.state_dict(), **state})


def saved_partners(
    cell: Cell, tested: Mapping[tuple[int, int], Collection[str]]
) -> dict[tuple[int, int], Path]:
    """Return seed and fold -> folder of a partner saved by ``fit --save-folds``.

    ``tested`` maps each seed and fold to its held-out recordings. Raise DataError if a fold is
    missing or has other held-out recordings.
    """
    table = existing_predictions(cell.results_folder)
    held_out = {} if table.empty else table.groupby(["seed", "fold"])["recording"].agg(set)
    saved = {(seed, fold): folder for seed, fold, folder in cell.saved}
    for place, recordings in tested.items():
        if place not in saved or held_out.get(place) != {*recordings}:
            raise DataError(
                f"{cell.folds_folder} does not hold the folds tested here; fit them with the same "
                "--seeds and --folds, and with --save-folds."
            )
    return saved


def without_additions(
    model: nn.Module, config: CheckpointConfig
) -> tuple[nn.Module, CheckpointConfig]:
    """Return the student without adaptation layer and partner, and its config."""
    state = {k: v for k, v in model.state_dict().items() if not k.startswith(ADDITIONS)}
    return _rebuilt(config, {"adapted": None, "partner": None}, state)


def _rebuilt(
    config: CheckpointConfig, changes: Mapping[str, Any], state: Mapping[str, Tensor]
) -> tuple[nn.Module, CheckpointConfig]:
    """Build a student with changed classifier settings (None: default), and load its weights."""
    reused = {**config.settings["reused_classifier"], **changes}
    reused = {name: value for name, value in reused.items() if value is not None}
    settings = {**config.settings, "reused_classifier": reused}
    config = replace(config, settings=settings, complexity=None)
    model = config.build()
    model.load_state_dict(state)
    return model.eval(), config
