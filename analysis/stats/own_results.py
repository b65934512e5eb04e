"""Read anyone's table of predictions as a run, and set it beside runs on the same recordings.

A row is a clip: with the probability of each label (``clip, label, p_<label>...``), or with its
label and the predicted one (``y_true, y_pred``). Nothing of the file is believed: it may be of
another kind, cut, huge, or made to do harm.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.stats.comparison import ComparisonError, pair
from analysis.stats.runs import OWN, FoundRuns, MeasuredRun, ResultsError, join_runs
from cry_model.records import DATASETS, dataset_title
from cry_model.registry import list_models
from cry_model.results import ordered, probability_columns, recording_means, score

TRUE = ("label", "y_true", "true")
"""What the column of true labels may be called."""
PREDICTED = ("y_pred", "pred", "prediction")
"""What the column of predicted labels may be called, where there are no probabilities."""
WORDS, WHOLE = ("clip", "recording", "group"), ("fold", "seed")
LARGEST = 2**28  # bytes
LONGEST_HEAD, LONGEST_NAME = 2**20, 500  # bytes of the first line; characters of a name
MOST_LABELS, MOST_PARTS = 1000, 100  # labels; folds, and seeds
MOST_VALUES = 20_000_000  # probabilities: 160 MB
ROUNDING = 0.01  # of a sum of probabilities: some write two digits
FORMS = "Give the columns clip, label and p_<label> for each label, or y_true and y_pred."
SAVE = "Save it as CSV in UTF-8."
KINDS = {b"%PDF": "a PDF", b"PK\x03\x04": "an Excel or ZIP file", b"\x1f\x8b": "a GZIP file"}
UTF16 = (b"\xff\xfe", b"\xfe\xff")


class _Layout(NamedTuple):
    """How the file is written: separator, decimal mark, names of the columns, number of lines, and
    whether its names need no :func:`clean`."""

    separator: str
    decimal: str
    names: tuple[str, ...]
    lines: int
    plain: bool


class _Columns(NamedTuple):
    """Places of the columns of text and of numbers: name of ours -> place in the file."""

    words: dict[str, int]
    numbers: dict[str, int]
    labels: tuple[str, ...]


def read_own_results(path: Path, name: str) -> MeasuredRun:
    """Read a table of predictions that somebody made with a model of their own.

    Args:
        path: of a CSV file, separated by commas, semicolons or tabs, in UTF-8. Form 1: columns
            ``clip, label, p_<label>...``; form 2: ``y_true, y_pred``, whose run is not ``scored``.
            Optional in both: ``clip``, ``recording`` (else each clip is one), ``group`` (else each
            recording is one), ``fold`` and ``seed`` (else 0). Other columns are ignored.
        name: what the model is called; also the dataset, until :func:`place` finds its recordings.

    Raises:
        ResultsError: if it is no such table; one sentence says what is wrong, and where.
    """
    try:
        layout = _layout(path)
        columns = _columns(layout)
        table = _read(path, layout, columns)
    except OSError as error:
        raise ResultsError(f"The file cannot be read ({error.strerror or error}).") from error
    table, labels = _predictions(table, columns.labels)
    called = re.sub(r"[^\w.-]+", "-", clean(name)).strip("-.")[:40] or "your-model"
    system = f"{called}-own" if called in list_models() else called
    dataset = f"{called}-own" if called in DATASETS else called
    return _measured(table, labels, dataset, OWN, system, bool(columns.labels))


def place(run: MeasuredRun, found: FoundRuns) -> FoundRuns:
    """Set a run of :func:`read_own_results` beside those on the same recordings.

    It joins the strictest split whose runs were tested on exactly its recordings, with the same
    labels and, if it has several folds, in the same ones; a file with one fold takes theirs. Groups
    are those of that split. Where none fits it is a dataset of its own; if it has recordings of
    one of ours all the same, a sentence of ``problems`` says why.
    """
    names, why = set(run.predictions["recording"]), ""
    for dataset, protocol in reversed(found.cells):
        for other in found.of(dataset, protocol).values():
            try:
                known = set(other.predictions["recording"])
            except ResultsError:
                continue
            if names == known and sorted(run.labels) == sorted(other.labels):
                try:
                    moved = _moved(run, other)
                    pair(moved, other, draws=1)
                    return join_runs(found, FoundRuns((moved,), ()))
                except ComparisonError:
                    why = "their labels or folds are others"
            elif names & known and not why:
                why = f"{len(names & known)} of its {len(names)} are among their {len(known)}"
                if names == known:
                    why = "the classes are others"
            if why and not why.startswith("The file"):
                why = (
                    f"The file names recordings of {dataset_title(dataset)} but is shown on its "
                    f"own: {why}."
                )
            break  # the others of a cell were tested on the same
    taken = {own.dataset for own in found.runs}
    own = replace(run, dataset=f"{run.dataset}-own") if run.dataset in taken else run
    return join_runs(found, FoundRuns((own,), (), (why,) if why else ()))


def _moved(run: MeasuredRun, other: MeasuredRun) -> MeasuredRun:
    """Return the run in the cell of another one, with its groups, and its folds if it has none.

    Raises:
        ComparisonError: if folds are missing and the other has a recording in several.
    """
    table = run.predictions
    if not set(run.seeds) & set(other.seeds):  # numbers that mean nothing elsewhere
        numbers = dict(zip(run.seeds, range(len(run.seeds)), strict=True))
        table = table.assign(seed=table["seed"].map(numbers))
    theirs = other.predictions
    groups = theirs.drop_duplicates("recording").set_index("recording")["group"]
    table = table.assign(group=table["recording"].map(groups))
    if run.folds == 1 < other.folds:
        folds = theirs.drop_duplicates(["seed", "recording", "fold"])
        if folds.duplicated(["seed", "recording"]).any():
            raise ComparisonError("A recording is in several folds; say which with a column fold.")
        # A seed that they have not has the folds of their first.
        of_seed = {seed: own.set_index("recording")["fold"] for seed, own in folds.groupby("seed")}
        first = of_seed[other.seeds[0]]
        parts = [
            own.assign(fold=own["recording"].map(of_seed.get(seed, first)))
            for seed, own in table.groupby("seed")
        ]
        table = pd.concat(parts, ignore_index=True)
    return _measured(
        ordered(table, other.labels),
        other.labels,
        other.dataset,
        other.protocol,
        run.system,
        run.scored,
    )


def clean(name: str) -> str:
    """Return a name as one line, composed (NFC), with brackets that no page takes for HTML."""
    line = " ".join(name.split())
    if not line.isascii():
        line = unicodedata.normalize("NFC", line)
    return line.replace("<", "‹").replace(">", "›")


def _layout(path: Path) -> _Layout:
    if path.stat().st_size > LARGEST:
        raise ResultsError(f"The file has more than {LARGEST // 2**20} MB; give a part of it.")
    ends, plain = {b"\n": 0, b"\r": 0}, True
    with path.open("rb") as file:
        head = file.read(LONGEST_HEAD)
        for start, kind in KINDS.items():
            if head.startswith(start):
                raise ResultsError(f"The file is {kind}, not a table in text. {SAVE}")
        if head.startswith(UTF16):
            raise ResultsError(f"The file is in UTF-16. {SAVE}")
        if not head.strip():
            raise ResultsError(f"The file is empty. {FORMS}")
        chunk = head
        while chunk:
            if b"\0" in chunk:
                raise ResultsError(f"The file is not a table in text. {SAVE}")
            ends = {end: n + chunk.count(end) for end, n in ends.items()}
            plain = plain and chunk.isascii() and not any(sign in chunk for sign in (b'"', b"<"))
            chunk = file.read(2**24)
    try:
        lines = head.decode("utf-8-sig", "strict" if len(head) < LONGEST_HEAD else "ignore")
    except UnicodeDecodeError as error:
        raise ResultsError(f"The file is not in UTF-8. {SAVE}") from error
    first, _, rest = lines.lstrip("\r\n").replace("\r", "\n").partition("\n")
    if not rest.strip():
        raise ResultsError(f"The file has no rows below a line of column names. {FORMS}")
    found = {s: _fields(first, s) for s in ",;\t"}
    separator = max(found, key=lambda s: len(found[s]))
    fields = _fields(rest.lstrip("\n").partition("\n")[0], separator)
    comma = separator != "," and any(re.fullmatch(r"\d+,\d+", field) for field in fields)
    names = tuple(clean(name) for name in found[separator])
    return _Layout(separator, "," if comma else ".", names, max(ends.values()), plain)


def _fields(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []


def _columns(layout: _Layout) -> _Columns:
    """Find the columns that are needed; raise ResultsError if they are not there once each."""
    names = layout.names
    probable = {name: at for at, name in enumerate(names) if name.startswith("p_")}
    true = next((name for name in TRUE if name in names), None)
    predicted = next((name for name in PREDICTED if name in names), None)
    if true is None or not (probable or predicted):
        lacking = "true labels" if true is None else "probabilities or predicted labels"
        raise ResultsError(f"The file has no column of {lacking}. {FORMS}")
    words = {name: names.index(name) for name in WORDS if name in names}
    words["label"] = names.index(true)
    if not probable and predicted is not None:
        words["predicted"] = names.index(predicted)
    numbers = {name: names.index(name) for name in WHOLE if name in names} | probable
    for at in (*words.values(), *numbers.values()):
        if names.count(names[at]) > 1:
            raise ResultsError(f"The file has the column {_quoted(names[at])} twice; remove one.")
    labels = tuple(name.removeprefix("p_") for name in probable)
    if probable and len(labels) < 2:
        raise ResultsError(
            f"The file has one p_ column, {_quoted('p_' + labels[0])}; give one for each label."
        )
    if "" in labels:
        raise ResultsError("The file has a column p_ without a label; name it p_<label>.")
    _require_few(labels, layout.lines)
    return _Columns(words, numbers, labels)


def _require_few(labels: Sequence[str], rows: int) -> None:
    if len(labels) > MOST_LABELS:
        raise ResultsError(
            f"The file has {len(labels):,} labels; at most {MOST_LABELS:,} can be shown."
        )
    if rows * len(labels) > MOST_VALUES:
        raise ResultsError(
            f"The file has {rows:,} rows of {len(labels):,} labels; at most {MOST_VALUES:,} "
            f"probabilities can be shown: give {MOST_VALUES // len(labels):,} rows."
        )


def _quoted(text: str) -> str:
    text = clean(text)
    return f"“{text[:40]}…”" if len(text) > 40 else f"“{text}”"


def _read(path: Path, layout: _Layout, columns: _Columns) -> pd.DataFrame:
    """Return these columns under our names, texts and finite numbers, without gaps."""
    places = columns.words | columns.numbers
    names = sorted(places, key=lambda name: places[name])
    options = {
        "sep": layout.separator,
        "decimal": layout.decimal,
        "encoding": "utf-8-sig",
        "header": 0,
        "names": range(len(layout.names)),
        "usecols": [places[name] for name in names],
        "index_col": False,
        "keep_default_na": False,
        "skipinitialspace": True,
    }
    kinds = {places[name]: np.float64 for name in columns.numbers}
    words = dict.fromkeys(columns.words.values(), str)
    try:
        try:
            table = pd.read_csv(path, dtype=words | kinds, **options)
        except ValueError as error:
            if isinstance(error, (UnicodeDecodeError, pd.errors.ParserError)):
                raise
            with pd.read_csv(path, dtype=object, chunksize=5000, **options) as parts:
                for part in parts:  # a row is to be named
                    _require_numbers(part, layout, kinds)
            raise
    except ResultsError:
        raise
    except UnicodeDecodeError as error:
        raise ResultsError(f"The file is not in UTF-8. {SAVE}") from error
    except (OverflowError, ValueError) as error:
        reason = re.sub(r".*(C error: )", "", " ".join(str(error).split()))
        raise ResultsError(f"The file is not a whole table ({_quoted(reason)}). {SAVE}") from error
    table.columns = pd.Index(names)
    if table.empty:
        raise ResultsError(f"The file has no rows below its column names. {FORMS}")
    for name in columns.words:
        _refuse(table[name].isna() | (table[name] == ""), f"no {name}")
        _refuse(
            table[name].str.len() > LONGEST_NAME,
            f"a {name} of more than {LONGEST_NAME} characters",
        )
        if not layout.plain:
            table[name] = table[name].map(clean)
    return table


def _require_numbers(part: pd.DataFrame, layout: _Layout, columns: Sequence[int]) -> None:
    for at in columns:
        texts = part[at].fillna("").astype(str).str.replace(layout.decimal, ".", regex=False)
        wrong = pd.to_numeric(texts, errors="coerce").isna().to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            found = _quoted(str(part[at].iloc[row])) if texts.iloc[row] else "nothing"
            raise ResultsError(
                f"Row {part.index[row] + 2:,} has {found} in the column "
                f"{_quoted(layout.names[at])}; it must be a number."
            )


def _refuse(wrong: NDArray[np.bool_] | pd.Series, what: str | Callable[[int], str]) -> None:
    """Raise ResultsError with the first such row, counted as in a spreadsheet."""
    wrong = np.asarray(wrong, dtype=bool)
    if wrong.any():
        row = int(wrong.argmax())
        text = what if isinstance(what, str) else what(row)
        raise ResultsError(f"Row {row + 2:,} has {text}.")


def _predictions(
    table: pd.DataFrame, labels: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the checked table with all columns of a ``predictions.csv``, and the labels."""
    if labels:
        values = table[probability_columns(labels)].to_numpy()
        _require_probabilities(values, labels)
        own = set(labels)
        unknown = [label for label in table["label"].unique() if label not in own]
        if unknown:
            column = _quoted(f"p_{unknown[0]}")
            wrong = table["label"] == unknown[0]
            _refuse(wrong, f"the label {_quoted(unknown[0])}, and there is no column {column}")
    else:
        labels, values = _one_hot(table)
    if table["label"].nunique() < 2:
        only = _quoted(table["label"].iloc[0])
        raise ResultsError(f"Every row has the label {only}; two labels at least are needed.")
    facts = {name: _whole(table, name) for name in WHOLE}
    clip = table.get("clip")
    recording = table.get("recording", clip)
    if recording is None:
        clip = recording = "row " + pd.Series(np.arange(2, len(table) + 2)).astype(str)
    group = table.get("group", recording)
    if clip is None:
        number = recording.groupby([facts["seed"], recording], sort=False).cumcount()
        clip = recording + "#" + number.astype(str)
    words = {"clip": clip, "recording": recording, "group": group, "label": table["label"]}
    facts_table = pd.DataFrame({**words, **facts})
    twice = facts_table.duplicated(["seed", "clip"])
    _refuse(twice, lambda row: f"the clip {_quoted(clip[row])} for the second time")
    codes, _ = pd.factorize(recording)
    for name in ("label", "group"):
        own_codes, names = pd.factorize(facts_table[name])
        first = np.empty(len(codes), dtype=np.int64)
        first[codes[::-1]] = own_codes[::-1]
        other = first[codes]
        _refuse(
            other != own_codes,
            lambda row, name=name, names=names, other=other: (
                f"a recording, {_quoted(recording[row])}, with another {name} "
                f"({_quoted(facts_table[name][row])}) than before ({_quoted(names[other[row]])})"
            ),
        )
    numbers = pd.DataFrame(values, columns=probability_columns(labels))
    return ordered(pd.concat([facts_table, numbers], axis=1), labels), labels


def _require_probabilities(values: NDArray[np.float64], labels: Sequence[str]) -> None:
    for wrong, what in (
        (~np.isfinite(values), "no finite number"),
        (values < 0, "a negative number"),
    ):
        if wrong.any():
            row = int(wrong.any(1).argmax())
            at = int(wrong[row].argmax())
            raise ResultsError(
                f"Row {row + 2:,} has {what} ({values[row, at]:g}) in the column "
                f"{_quoted('p_' + labels[at])}; give probabilities from 0 to 1 (softmax of logits)."
            )
    sums = values.sum(1)
    _refuse(
        np.abs(sums - 1) > ROUNDING,
        lambda row: (
            f"probabilities that add up to {sums[row]:.4g}, not 1; give shares (a per cent is "
            "0.01), not logits"
        ),
    )


def _one_hot(table: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the labels, and each predicted one as the probability 1."""
    true, predicted = set(table["label"].unique()), set(table["predicted"].unique())
    if not true & predicted:
        pairs = _quoted(min(predicted)), _quoted(min(true))
        raise ResultsError(
            f"No predicted label is among the true ones ({pairs[0]} against {pairs[1]}); write "
            "both alike."
        )
    labels = sorted(true | predicted, key=lambda n: (float(n) if n.isdecimal() else inf, n))
    _require_few(labels, len(table))
    place_of = {label: number for number, label in enumerate(labels)}
    values = np.zeros((len(table), len(labels)))
    values[np.arange(len(table)), table["predicted"].map(place_of).to_numpy(np.int64)] = 1
    return tuple(labels), values


def _whole(table: pd.DataFrame, name: str) -> NDArray[np.int64]:
    """Return folds or seeds, (n,): zeros where the file has none."""
    if name not in table:
        return np.zeros(len(table), dtype=np.int64)
    values = table[name].to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        wrong = ~((values >= 0) & (values < 2**31) & (values % 1 == 0))
    _refuse(wrong, lambda row: f"the {name} {values[row]:g}; it must be a whole number from 0 on")
    if (number := len(np.unique(values))) > MOST_PARTS:
        raise ResultsError(
            f"The file has {number:,} {name}s; at most {MOST_PARTS} can be shown. Leave the column "
            f"{name} out if it is something else."
        )
    return values.astype(np.int64)


def _measured(
    table: pd.DataFrame,
    labels: tuple[str, ...],
    dataset: str,
    protocol: str,
    system: str,
    scored: bool,
) -> MeasuredRun:
    folds, seeds = table["fold"].nunique(), tuple(map(int, sorted(table["seed"].unique())))
    facts = {"dataset": dataset, "protocol": protocol, "folds": folds}
    return MeasuredRun(
        folder=Path(),
        **facts,
        system=system,
        labels=labels,
        seeds=seeds,
        parameters=nan,
        multiply_adds=nan,
        wall_seconds=nan,
        settings={},
        preset={},
        environments=(),
        evaluation=score(recording_means(table, labels), labels, **facts),
        scored=scored,
        table=table,
    )
