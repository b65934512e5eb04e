"""Recordings as rows of 26 features: the challenge's published table, or computed from audio.

``challenge6-features`` holds all 918 labelled recordings of the six-class challenge corpus,
``challenge6-features-16khz`` the 720 of them whose length is a whole number of samples at 16 kHz,
from which it is inferred that they were recorded at that rate. The rate goes with the label, so
what is learnt from both rates is partly the rate: a model for other people's recordings is fitted
on the second.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pandas.api.types import is_numeric_dtype

from cry_model.acoustic_features import FEATURES, AcousticConfig, AcousticFrontEnd
from train.data.clips import Clips, Prepared
from train.data.corpus import Corpus, DataError, Item
from train.data.datasets import challenge6
from train.data.grouping import equal_lengths, join

ALL, ONE_RATE = "challenge6-features", "challenge6-features-16khz"
TABLES: tuple[str, ...] = (ALL, ONE_RATE)
RATES = (16_000, 44_100)  # Hz, of the corpus's recordings


def read_table(root: Path, name: str) -> Prepared:
    """Read one of :data:`TABLES`, its halves of one recording grouped by equal length.

    ``root/challenge6/train_features.csv`` has the features, ``durations.csv`` beside it the lengths
    in seconds to the sample. Raise DataError if one is missing, or is not as it was published.
    """
    folder = root / challenge6.NAME
    features = _read(folder / "train_features.csv", ("filename", *FEATURES, "label"))
    lengths = _read(folder / "durations.csv", ("filename", "duration"))
    table = features.merge(lengths, on="filename", validate="one_to_one")
    known = table["label"].isin(challenge6.LABELS)
    if len(table) != len(features) or not known.all():
        raise DataError(f"The two tables in {folder} do not name the same recordings and labels.")
    items = tuple(
        Item(folder / file, label, Path(file).stem, Path(file).stem, Path(file).stem)
        for file, label in zip(table["filename"], table["label"], strict=True)
    )
    seconds = tuple(table["duration"].tolist())
    items = join(items, equal_lengths(items, seconds, challenge6.SAME_LENGTH))
    rows = torch.tensor(table[list(FEATURES)].to_numpy(), dtype=torch.float32).contiguous()
    corpus = Corpus(name, challenge6.LABELS, items, challenge6.LICENCE)
    labels, rates = torch.tensor(corpus.indices()), tuple(map(rate_of, seconds))
    clips = Clips(items, labels, seconds, rates, tuple(rows), {})
    if name == ONE_RATE:
        clips = clips.subset([i for i, rate in enumerate(rates) if rate == RATES[0]])
    return Prepared(replace(corpus, items=clips.items), clips)


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(
            f"There is no {path}. Put the challenge's train_features.csv and the recordings' "
            "lengths as durations.csv there, or name another folder with --data-root."
        )
    try:
        table = pd.read_csv(path)
    except ValueError as error:  # also what pandas' parser and the codec raise
        raise DataError(f"{path} is no table: {error}".splitlines()[0]) from error
    if missing := [name for name in columns if name not in table]:
        raise DataError(f"{path} has no column {', '.join(missing)}.")
    if table[list(columns)].isna().any(axis=None) or table["filename"].duplicated().any():
        raise DataError(f"{path} has an empty cell or names a recording twice.")
    values = table[[name for name in columns if name not in ("filename", "label")]]
    if not all(map(is_numeric_dtype, values.dtypes)) or not np.isfinite(values).all(axis=None):
        raise DataError(f"{path} has a cell that is no finite number.")
    return table


def rate_of(seconds: float) -> int:
    """Return the sample rate, Hz, at which this length is a whole number of samples; raise
    DataError if there is none among :data:`RATES`."""
    for rate in RATES:
        if abs(seconds * rate - round(seconds * rate)) < 1e-3:
            return rate
    raise DataError(f"A length of {seconds} s is no whole number of samples at any of {RATES} Hz.")


def tabulate(data: Prepared, config: AcousticConfig) -> Prepared:
    """Return recordings prepared for an acoustic front end as rows: each the mean over its pieces
    and their frames."""
    front_end = AcousticFrontEnd(config)
    clips = data.clips
    with torch.inference_mode():
        rows = [
            front_end(clips.pieces(front_end, i).waveforms).mean((0, 2))
            for i in range(len(clips.items))
        ]
    return replace(data, clips=replace(clips, waveforms=tuple(row.clone() for row in rows)))
