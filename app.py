"""Entry point of the page, locally and as a Hugging Face Space."""

from __future__ import annotations

from analysis.page import build_page, launch_options
from cry_model.classifier import CryClassifier


def main() -> None:
    """Builds the page on the bundled checkpoint and serves it."""
    build_page(CryClassifier.from_pretrained()).launch(**launch_options())


if __name__ == "__main__":
    main()
