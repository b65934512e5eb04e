"""Watches a fit on recordings that were held back from its training part, and keeps the best."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from cry_model.frontend import FrontEnd
from cry_model.metrics import balanced_accuracy
from train.clips import Clips
from train.predicting import piece_probabilities


@dataclass(frozen=True)
class Score:
    """Of the held-back recordings: mean recall, and cross-entropy with every class counting alike.

    The fit is steered by the second, which moves with every epoch where the first stands still.
    """

    balanced_accuracy: float
    loss: float


def score(model: nn.Module, front_end: FrontEnd, clips: Clips) -> Score:
    """Scores labelled clips per recording, by a model in eval mode."""
    pieces = piece_probabilities(model, front_end, clips)
    probabilities = np.stack([rows.mean(0) for rows in pieces])
    labels = clips.labels.numpy()
    own = probabilities[np.arange(len(labels)), labels].clip(1e-7)
    loss = np.mean([-np.log(own[labels == label]).mean() for label in np.unique(labels)])
    weights = np.ones(len(labels))
    return Score(balanced_accuracy(labels, probabilities, weights), float(loss))


class Watch:
    """The score after each epoch, the best weights so far, and when to stop."""

    def __init__(self, clips: Clips | None, patience: int) -> None:
        self.clips, self.patience = clips, patience
        self.best: dict[str, Any] | None = None
        self.best_loss, self.waited = math.inf, 0

    def look(self, model: nn.Module, front_end: FrontEnd) -> Score | None:
        """Scores ``model``, in eval mode; None if there is nothing to look at."""
        return None if self.clips is None else score(model, front_end, self.clips)

    def note(self, found: Score | None, model: nn.Module) -> None:
        """Remembers the weights if their score is the best so far."""
        if found is None:
            return
        if found.loss < self.best_loss:
            self.best_loss, self.waited = found.loss, 0
            if self.patience:
                self.best = copy.deepcopy(model.state_dict())
        else:
            self.waited += 1

    @property
    def enough(self) -> bool:
        """Whether the fit should end here."""
        return 0 < self.patience <= self.waited

    def state(self) -> dict[str, Any]:
        """To go on with later."""
        return {"best": self.best, "best_loss": self.best_loss, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from :meth:`state`."""
        self.best, self.best_loss = state["best"], state["best_loss"]
        self.waited = state["waited"]
