"""Which models the page offers: the bundled ones, and first the one that CRY_MODEL names."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace

from analysis.models import Model, load_bundled
from cry_model.checkpoint import CheckpointError
from cry_model.classifier import CryClassifier

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """The models, the default first, and a sentence on CRY_MODEL; none where it is not set."""

    models: tuple[Model, ...]
    note: str = ""


def choose(name: str | None) -> Choice:
    """Loads the bundled models and what ``name`` says; if that fails, the note admits it.

    Args:
        name: a folder, "user/name" or "user/name@revision"; None or "" for the bundled ones only.

    Raises:
        CheckpointError: if none of the bundled ones can be loaded.
    """
    bundled = load_bundled()
    if not name:
        return Choice(bundled)
    is_folder = os.path.isdir(name)  # noqa: PTH112 - pathlib's raises where a name is too long
    repository, _, revision = (name, "", "") if is_folder else name.partition("@")
    try:
        classifier = CryClassifier.from_pretrained(repository, revision or None, gate=False)
    except CheckpointError as error:
        LOG.warning("CRY_MODEL: %s", error)
        return Choice(bundled, f"The model {name} could not be loaded; the bundled models answer.")
    return Choice(put_first(name, classifier, bundled), f"The model {name} answers first.")


def put_first(
    name: str, classifier: CryClassifier, bundled: tuple[Model, ...]
) -> tuple[Model, ...]:
    """``classifier`` before the others; a copy of a bundled one, such as its publication on the
    Hub, takes that one's place and keeps its title."""
    alike = [model for model in bundled if model.classifier.config == classifier.config]
    first = replace(alike[0], classifier=classifier) if alike else Model(name, name, classifier)
    return (first, *(model for model in bundled if model.name != first.name))
