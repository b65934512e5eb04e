"""Entry point of the page, locally and as a Hugging Face Space."""

from __future__ import annotations

import os

from analysis.model_choice import choose
from analysis.models import load_gate
from analysis.page import build_page, launch_options
from analysis.runs import RESULTS, find_runs


def main() -> None:
    """Builds the page on the bundled models and the one that CRY_MODEL names; serves it."""
    choice = choose(os.environ.get("CRY_MODEL"))
    found = find_runs(RESULTS, strict=False)
    build_page(choice.models, choice.note, load_gate(), found).launch(**launch_options())


if __name__ == "__main__":
    main()
