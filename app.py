"""Entry point of the page, locally and as a Hugging Face Space."""

from __future__ import annotations

import os

from analysis.model_choice import choose
from analysis.page import build_page, launch_options


def main() -> None:
    """Builds the page on the checkpoint that CRY_MODEL names, or the bundled one; serves it."""
    choice = choose(os.environ.get("CRY_MODEL"))
    build_page(choice.classifier, choice.note).launch(**launch_options())


if __name__ == "__main__":
    main()
