"""Readers of the corpora, by name. Each is a module with ``read(root) -> Corpus``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from train.corpus import Corpus
from train.datasets import donateacry

DATASETS: Mapping[str, Callable[[Path], Corpus]] = {donateacry.NAME: donateacry.read}
