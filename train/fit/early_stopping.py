"""Watch a fit on recordings that are held back, keep its best weights, and end it in time."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from cry_model.frontend import FrontEnd
from cry_model.metrics import balanced_accuracy
from train.data.clips import Clips
from train.data.splits import PROTOCOLS, split
from train.fit.experiment import Experiment
from train.fit.predict import piece_probabilities


@dataclass(frozen=True)
class Score:
    """Of the held-back recordings: mean recall, and cross-entropy with every class counting alike.

    The fit is steered by the second, which moves with every epoch where the first stands still.
    """

    balanced_accuracy: float
    loss: float


def score(model: nn.Module, front_end: FrontEnd, clips: Clips) -> Score:
    """Score labelled clips per recording, by a model in eval mode."""
    pieces = piece_probabilities(model, front_end, clips)
    probabilities = np.stack([rows.mean(0) for rows in pieces])
    labels = clips.labels.numpy()
    own = probabilities[np.arange(len(labels)), labels].clip(1e-7)
    loss = np.mean([-np.log(own[labels == label]).mean() for label in np.unique(labels)])
    weights = np.ones(len(labels))
    return Score(balanced_accuracy(labels, probabilities, weights), float(loss))


class EarlyStopping:
    """The score after each epoch, the best weights so far, and when to stop."""

    def __init__(self, clips: Clips | None, patience: int) -> None:
        self.clips, self.patience = clips, patience
        self.best: dict[str, Any] | None = None
        self.best_loss, self.waited = math.inf, 0

    def score(self, model: nn.Module, front_end: FrontEnd) -> Score | None:
        """Score ``model``, in eval mode; None if nothing was held back."""
        return None if self.clips is None else score(model, front_end, self.clips)

    def update(self, found: Score | None, model: nn.Module) -> None:
        """Keep the weights if their score is the best so far."""
        if found is None:
            return
        if found.loss < self.best_loss:
            self.best_loss, self.waited = found.loss, 0
            if self.patience:
                self.best = copy.deepcopy(model.state_dict())
        else:
            self.waited += 1

    @property
    def stop(self) -> bool:
        """Whether the fit should end here."""
        return 0 < self.patience <= self.waited

    def state(self) -> dict[str, Any]:
        """Return what to go on with later."""
        return {"best": self.best, "best_loss": self.best_loss, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.best, self.best_loss = state["best"], state["best_loss"]
        self.waited = state["waited"]


def hold_back(experiment: Experiment, clips: Clips, seed: int) -> tuple[Clips, Clips | None]:
    """Return what to learn from and what to watch, split off as the protocol splits."""
    items = [replace(item, fold=None) for item in clips.items]
    labelled = [i for i, item in enumerate(items) if item.label is not None]
    if not experiment.preset.validation or not labelled:
        return clips, None
    count = round(1 / experiment.preset.validation)
    fold_of = split([items[i] for i in labelled], experiment.protocol, count, seed)
    watched = [i for i, fold in zip(labelled, fold_of, strict=True) if fold == 0]
    key = PROTOCOLS[experiment.protocol]
    taken = {key(items[i]) for i in watched}
    learnt = [i for i, item in enumerate(items) if key(item) not in taken]
    return clips.subset(learnt), clips.subset(watched)
