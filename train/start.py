"""Weights to begin a fit with: those of a system that was fitted on something else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from cry_model.checkpoint import load_checkpoint
from cry_model.hub import find_checkpoint
from cry_model.registry import AnyConfig
from train.corpus import DataError, related
from train.weights import digest

CLASSIFIER = "classifier."  # its classes were others


@dataclass(frozen=True)
class Start:
    """A fitted system, without its classifier, as the beginning of another fit.

    Attributes:
        name: of the checkpoint.
        learnt_from: the corpus that it was fitted on, if its checkpoint says so.
        weights: name -> parameter or statistic.
    """

    name: str
    learnt_from: str | None
    weights: Mapping[str, Tensor]

    def facts(self) -> dict[str, str]:
        """For the record: which one it is, whatever its name."""
        return {"name": self.name, "digest": digest(self.weights)}

    def begin(self, model: nn.Module) -> None:
        """Puts the weights into a freshly built system.

        Raises:
            DataError: if they do not fit into it.
        """
        kept = {n: t for n, t in model.state_dict().items() if n.startswith(CLASSIFIER)}
        try:
            model.load_state_dict({**self.weights, **kept})
        except RuntimeError as error:
            raise DataError(
                f"The weights of {self.name} do not fit into this system; --start-from takes a "
                "checkpoint of the same system, front end and settings."
            ) from error


def load_start(name: str | os.PathLike, corpus: str, system: str, hears: AnyConfig) -> Start:
    """A checkpoint folder or Hub repository to begin with.

    Raises:
        CheckpointError: if there is no such checkpoint.
        DataError: if it is of another system or hears something else; or if it was fitted on
            recordings of the corpus, so that it knows what a fold would hold out.
    """
    model, config = load_checkpoint(find_checkpoint(name))
    if (config.system, config.front_end) != (system, hears):
        raise DataError(
            f"{name} is a {config.system}, or has another front end than the preset; --start-from "
            f"takes a {system} with the same."
        )
    learnt_from = config.training.get("dataset")
    if learnt_from is not None and related(learnt_from, corpus):
        raise DataError(
            f"{name} was fitted on {learnt_from}, so it knows what a fold of {corpus} would hold "
            "out; leave --start-from out."
        )
    weights = {n: t for n, t in model.state_dict().items() if not n.startswith(CLASSIFIER)}
    return Start(Path(name).name, learnt_from, weights)
