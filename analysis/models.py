"""Load the models that the page offers: the bundled ones and the one named by CRY_MODEL."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cry_model.checkpoint import ASSETS, BUNDLED, DEFAULT_DETECTOR, CheckpointError
from cry_model.classifier import CryClassifier
from cry_model.detector import CryDetector

LOG = logging.getLogger(__name__)


class UnknownModelError(ValueError):
    """Report that the page has no model of this name; the message lists the known names."""


SIX = "Six classes of the paper"
TITLES = {
    "six-class": (SIX, "improved ECAPA-TDNN"),
    "six-class-features": (SIX, "feature MLP"),
    "donate-a-cry": ("Reasons of Donate-a-Cry", "improved ECAPA-TDNN"),
}
"""Name in :data:`cry_model.checkpoint.BUNDLED` -> its family, whose models share their labels, and
its architecture in words."""


@dataclass(frozen=True)
class Model:
    """Store a model of the page: API name, architecture in words, checkpoint without a cry detector
    (the page has one for all models), and family; the family is empty if it is not bundled."""

    name: str
    title: str
    classifier: CryClassifier
    family: str = ""

    @property
    def label(self) -> str:
        """Return the model's name in the page's selector."""
        return f"{self.family}: {self.title}" if self.family else self.title

    @property
    def subject(self) -> str:
        """Return the model as the subject of a sentence."""
        return f"The {self.title}" if self.family else self.title


def load_bundled(folder: Path = ASSETS) -> tuple[Model, ...]:
    """Load every checkpoint of :data:`TITLES` that exists.

    Raises:
        CheckpointError: if none can be loaded. A damaged one among others is only logged.
    """
    models = []
    for name, (family, title) in TITLES.items():
        own = folder / BUNDLED[name]
        if not own.is_dir():
            continue
        try:
            classifier = CryClassifier.from_pretrained(own, detector=False)
        except CheckpointError as error:
            LOG.warning("A bundled checkpoint is left out: %s", error)
            continue
        models.append(Model(name, title, classifier, family))
    if not models:
        raise CheckpointError(f"There is no checkpoint that can be loaded in '{folder}'.")
    return tuple(models)


def load_detector(folder: Path = DEFAULT_DETECTOR) -> CryDetector | None:
    """Load the bundled cry detector; return None if it is missing, or damaged (which is logged)."""
    if not folder.is_dir():
        return None
    try:
        return CryDetector.from_pretrained(folder)
    except CheckpointError as error:
        LOG.warning("The bundled detector is left out: %s", error)
        return None


def find(models: Sequence[Model], name: str | None) -> Model:
    """Return the model of this name, by default the first; raise UnknownModelError if unknown."""
    if not name:
        return models[0]
    for model in models:
        if model.name == name:
            return model
    known = ", ".join(model.name for model in models)
    raise UnknownModelError(f"There is no model '{name}' here; choose one of {known}.")


EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
EXAMPLE_NAMES = {
    "synthetic_rhythmic.wav": "example.rhythmic",
    "synthetic_whimper.wav": "example.whimper",
    "synthetic_door_chime.wav": "example.door_chime",
}
"""File name -> key of its title in the page's texts."""


def load_models(name: str | None) -> tuple[tuple[Model, ...], str]:
    """Load the bundled models and the model ``name``; if the latter fails, the note says so.

    Args:
        name: a folder, "user/name" or "user/name@revision"; None or "" for the bundled ones only.

    Returns:
        the models, the default first, and a sentence about ``name``; empty if none is given.

    Raises:
        CheckpointError: if no bundled model can be loaded.
    """
    bundled = load_bundled()
    if not name:
        return bundled, ""
    is_folder = os.path.isdir(name)  # noqa: PTH112 - pathlib raises if a name is too long
    repository, _, revision = (name, "", "") if is_folder else name.partition("@")
    try:
        classifier = CryClassifier.from_pretrained(repository, revision or None, detector=False)
    except CheckpointError as error:
        LOG.warning("CRY_MODEL: %s", error)
        return bundled, f"The model {name} could not be loaded; the bundled models answer."
    # A copy of a bundled model, such as its published version, replaces it and keeps its title.
    alike = [model for model in bundled if model.classifier.config == classifier.config]
    first = replace(alike[0], classifier=classifier) if alike else Model(name, name, classifier)
    others = (model for model in bundled if model.name != first.name)
    return (first, *others), f"The model {name} answers first."
