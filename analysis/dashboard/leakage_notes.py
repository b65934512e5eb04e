"""How leakage was measured, and what its numbers do not say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.chance_level import DEALT
from analysis.dashboard.leakage_tables import protocols_of
from analysis.dealt_runs import FITTED
from analysis.leak import DRAWS, Leak
from analysis.measured_run import MeasuredRun
from analysis.split_words import kept_apart
from analysis.yardsticks import Yardstick
from cry_model.records import tested


def score_note(runs: Sequence[MeasuredRun], beside: Sequence[Yardstick]) -> str:
    """Of all systems under all protocols."""
    dataset = runs[0].dataset
    meant = "; ".join(f"`{p}`: {tested(dataset, p)}" for p in protocols_of(runs))
    lines = [
        f"What is tested: {meant}. Scored per recording, the mean of its pieces; 95 % intervals "
        f"over {kept_apart(dataset, 'baby')}.",
        *_corpus(runs[0]),
        *_beside({yardstick.name for yardstick in beside}, kept_apart(dataset, "baby")),
        _seeds(sorted({len(run.seeds) for run in runs})),
    ]
    return " ".join(lines)


def loss_note(leaks: Sequence[Leak], dataset: str) -> str:
    """Of what is lost between two of them."""
    one = leaks[0]
    return (
        f"Paired: each of the {one.recordings} recordings under both splits. The interval draws "
        f"the {one.groups} {kept_apart(dataset, 'baby')} anew {DRAWS} times, the same for both. "
        "The fits are others under each split; how another seed would move them is not in it. "
        f"{_seeds(sorted({len(leak.seeds) for leak in leaks}))}"
    )


def _corpus(run: MeasuredRun) -> Iterator[str]:
    """What a reader must know of the six-class corpus."""
    if run.dataset.startswith("challenge6"):
        yield (
            f"The {run.evaluation.recordings} recordings appear to be halves of longer ones. A "
            f"group ({run.evaluation.groups} of them) is those of one label and one length, and "
            "stays together under `recording`; `clip` may test a half whose other half was "
            "learnt. The corpus names no baby."
        )


def _beside(names: set[str], groups: str) -> Iterator[str]:
    if "sample_rate" in names:
        yield (
            "The sample rate goes with the label here: answering by it alone, without hearing "
            "anything, is already better than guessing."
        )
    if DEALT in names:
        yield (
            f"Labels dealt out anew: among {groups} with as many recordings, many times, so that "
            "they hardly go with the sound. What a linear classifier on the mean and deviation of "
            f"each band then scores above guessing (mean and middle 95 %) comes from hearing "
            f"recordings or {groups} again where the split lets it, and a little from those that "
            "got their own labels back."
        )
    if any(name.startswith(FITTED) for name in names):
        yield (
            "A system with labels dealt out anew was fitted to a dealing by the same recipe: the "
            "score of one with its interval, or the mean of several with the least and greatest."
        )


def _seeds(counts: Sequence[int]) -> str:
    if list(counts) == [1]:
        return "One seed a system."
    return f"All seeds of a system pooled ({' or '.join(map(str, counts))})."
