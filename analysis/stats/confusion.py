"""Count which label a run takes for which, per recording, over all of its seeds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.stats.runs import MeasuredRun
from cry_model.metrics import Array


@dataclass(frozen=True, eq=False)  # comparing arrays gives no bool
class Confusion:
    """Counts of a run's answers.

    Attributes:
        labels: of the rows and the columns.
        counts: (classes, classes), the true label along the first axis, the answer along the
            second.
        seeds: over how many fits of each fold they are summed.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    seeds: int

    @property
    def support(self) -> NDArray[np.int64]:
        """Answers to recordings of each true label, (classes,)."""
        return self.counts.sum(1)

    @property
    def shares(self) -> Array:
        """The counts over those of the true label, 0 to 1; NaN where it does not occur."""
        rows = self.support[:, None]
        return np.divide(self.counts, rows, out=np.full(self.counts.shape, np.nan), where=rows > 0)


def confusion_of(run: MeasuredRun, seeds: Collection[int] | None = None) -> Confusion:
    """Return the confusion matrix of a run.

    Args:
        run: any.
        seeds: only these; None for all that it has.

    Raises:
        ResultsError: if its predictions cannot be read.
    """
    table = run.with_errors
    if seeds is not None:
        table = table[table["seed"].isin(list(seeds))]
    classes, place = len(run.labels), {label: i for i, label in enumerate(run.labels)}
    true, answer = (table[name].map(place).to_numpy(dtype=np.int64) for name in ("label", "answer"))
    counts = np.bincount(true * classes + answer, minlength=classes**2).reshape(classes, classes)
    return Confusion(run.labels, counts, len(run.seeds if seeds is None else set(seeds)))


def similar_order(confusions: Sequence[Confusion]) -> list[int]:
    """Places of the labels, such that those that are taken for each other stand together.

    Average linkage on how rarely two labels are confused, in either direction and by all systems
    together, with the leaves in their optimal order (Bar-Joseph et al. 2001).

    Args:
        confusions: of one or several systems with the same labels.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage  # half a second, once
    from scipy.spatial.distance import squareform

    classes = len(confusions[0].labels)
    if classes < 3:
        return list(range(classes))
    share = np.mean([np.nan_to_num(confusion.shares) for confusion in confusions], axis=0)
    distance = 1 - (share + share.T) / 2
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return leaves_list(tree).tolist()
