"""Which checkpoint answers: the one that the variable CRY_MODEL names, or the bundled one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from cry_model.classifier import CryClassifier
from cry_model.config import CheckpointError

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """The model that answers, and a sentence on where it comes from; none for the bundled one."""

    classifier: CryClassifier
    note: str = ""


def choose(name: str | None) -> Choice:
    """Loads what ``name`` says; if that fails, the bundled checkpoint, whose note admits it.

    Args:
        name: a folder, "user/name" or "user/name@revision"; None or "" for the bundled one.
    """
    if not name:
        return Choice(CryClassifier.from_pretrained())
    repository, _, revision = (name, "", "") if Path(name).is_dir() else name.partition("@")
    try:
        classifier = CryClassifier.from_pretrained(repository, revision or None)
    except CheckpointError as error:
        LOG.warning("CRY_MODEL: %s", error)
        note = f"The model {name} could not be loaded; the bundled one answers."
        return Choice(CryClassifier.from_pretrained(), note)
    return Choice(classifier, f"The model {name} answers.")
