"""Two runs row for row: the same recordings, tested in the same folds of the same seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from analysis.measured_run import MeasuredRun


class ComparisonError(ValueError):
    """The runs cannot be set against each other; one sentence says why."""


def paired(
    one: MeasuredRun, other: MeasuredRun, seeds: Sequence[int] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The recordings of both runs, row for row the same seed and recording.

    Returns:
        Two tables as :attr:`MeasuredRun.recordings`.

    Raises:
        ComparisonError: if the runs are not of the same dataset, protocol, seeds, recordings,
            labels and folds.
        ResultsError: if the predictions of one cannot be read.
    """
    _require_same_task(one, other)
    wanted = _seeds(one, other, seeds)
    first, second = ({row for row in run.tested if row[0] in wanted} for run in (one, other))
    if first != second:
        raise ComparisonError(
            f"{_pair(one, other)} were not tested on the same recordings in the same folds; fit "
            "both on the same data with the same --folds."
        )
    table, other_table = (
        run.recordings[run.recordings["seed"].isin(wanted)].reset_index(drop=True)
        for run in (one, other)
    )
    return table, other_table


def paired_across(lax: MeasuredRun, strict: MeasuredRun) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The recordings of one system under two protocols, row for row the same seed and recording.

    They may have been tested in other folds, in other pieces and by other fits: that is what the
    protocols differ by.

    Returns:
        Two tables as :attr:`MeasuredRun.recordings`, of the seeds that both have.

    Raises:
        ComparisonError: if they are not of the same dataset, seeds, recordings, groups and labels.
        ResultsError: if the predictions of one cannot be read.
    """
    pair = f"{lax.system} on {lax.dataset}, protocols {lax.protocol} and {strict.protocol},"
    if lax.dataset != strict.dataset or lax.labels != strict.labels:
        raise ComparisonError(f"{pair} has not the same labels; fit both again.")
    seeds = set(lax.seeds) & set(strict.seeds)
    table, other_table = (
        run.recordings[run.recordings["seed"].isin(seeds)].reset_index(drop=True)
        for run in (lax, strict)
    )
    keys = ["seed", "recording", "group", "label"]
    if not seeds or not table[keys].equals(other_table[keys]):
        raise ComparisonError(
            f"{pair} was not tested on the same recordings with the same seeds; fit both on the "
            "same data."
        )
    return table, other_table


def _require_same_task(one: MeasuredRun, other: MeasuredRun) -> None:
    if (one.dataset, one.protocol) != (other.dataset, other.protocol):
        raise ComparisonError(
            f"{one.system} was measured on {one.dataset}, protocol {one.protocol}, and "
            f"{other.system} on {other.dataset}, protocol {other.protocol}; take two runs of the "
            "same."
        )
    if one.labels != other.labels:
        raise ComparisonError(f"{_pair(one, other)} have not the same labels; fit both again.")


def _seeds(one: MeasuredRun, other: MeasuredRun, seeds: Sequence[int] | None) -> list[int]:
    if seeds is None and set(one.seeds) != set(other.seeds):
        raise ComparisonError(
            f"{_pair(one, other)} have not the same seeds ({_list(one.seeds)} and "
            f"{_list(other.seeds)}); name those to compare."
        )
    wanted = set(one.seeds if seeds is None else seeds)
    if not wanted or not wanted <= set(one.seeds) & set(other.seeds):
        raise ComparisonError(
            f"{_pair(one, other)} have not both seed {_list(wanted)}; fit what is missing."
        )
    return sorted(wanted)


def _pair(one: MeasuredRun, other: MeasuredRun) -> str:
    return f"{one.system} and {other.system} on {one.dataset}, protocol {one.protocol},"


def _list(seeds: Iterable[int]) -> str:
    return ", ".join(str(seed) for seed in sorted(seeds)) or "(none)"
