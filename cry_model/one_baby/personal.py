"""Fit a model to one baby's labelled cries, and test whether it beats a constant answer.

It is a ridge regression on the embeddings of a frozen network. Cries within an hour are alike for
reasons other than their cause (the room, the telephone, how long it has lasted). So recordings less
than half an hour apart count as one cry, and whole days are held out.

The verdict is an e-process (Shafer and Vovk, "Game-Theoretic Foundations for Probability and
Finance", 2019; Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid
inference", Statistical Science 38, 2023), so it remains valid if one looks every night. Each day is
a bet: the likelihood of its labels under a fit to earlier days, over the mean of that over all
orders of the same labels within the day (Koning, "Post-hoc and anytime valid permutation and group
invariance testing", 2023). If sounds and labels of a day are unrelated, the wealth is a martingale.
By Ville's inequality, it ever reaches 40 with a probability of 2.5% at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, logsumexp, softmax

from cry_model.metrics import bootstrap, numbered
from cry_model.records import Estimate

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
State = Literal["too few", "not better", "better"]

DAY = 86_400.0  # s
APART = 1_800.0  # s from one recording to the next that separate two cries
FADE = 20.0
"""Number of own cries at which they and the general model have equal weight."""
GAIN = 4.0
"""Scale from regressed one-hot labels to logits; this and FADE were tuned on synthetic babies."""
BETS = (0.5, 1.0)
"""Bet sizes of the e-process, relative to the model; its wealth is the mean over both."""
LEVEL = 0.025
"""Probability of ever reporting "better" under the null hypothesis, for sound and context each; for
both together it is 5%."""
LEAST = 8
"""Minimum number of cries for an answer."""
NEEDED = 130
"""Cries for 80% power at one standard deviation, 80% of labels right; see docs/experiments.md."""
AT_ONCE = 12  # cries of a day whose labels are permuted together
PERMUTATIONS = 999


class PersonalError(ValueError):
    """No model can be fitted to these labelled cries; the message says what to change."""


@dataclass(frozen=True)
class Skill:
    """Performance of a head on held-out days; intervals are over the held-out blocks."""

    accuracy: Estimate
    balanced_accuracy: Estimate
    permutation_p: float  # of the balanced accuracy; labels permuted within days; for one look
    evidence: float  # maximum wealth of the e-process

    @property
    def anytime_p(self) -> float:
        """The anytime-valid p-value, which holds for any number of looks."""
        return min(1.0, 1 / self.evidence)


@dataclass(frozen=True)
class Report:
    """Test results of a personal model."""

    cries: int
    recordings: int
    days: int
    left_out: Literal["day", "cry"]  # what is held out at a time
    support: Mapping[str, int]
    constant_label: str  # the most frequent one
    constant_accuracy: float
    chance: float  # balanced accuracy of any constant answer
    skill: Skill  # of the model's own inputs, such as embeddings of sounds
    time_of_day: Skill  # of the hour alone, by the same code
    needed: int = NEEDED

    @property
    def state(self) -> State:
        """The verdict: "better" on enough evidence, if the accuracy exceeds the constant one."""
        ahead = self.skill.accuracy.value > self.constant_accuracy
        if self.cries >= LEAST and self.skill.evidence >= 1 / LEVEL and ahead:
            return "better"
        return "too few" if self.cries < self.needed else "not better"

    def __str__(self) -> str:
        right, constant = self.skill.accuracy.value, self.constant_accuracy
        return {
            "too few": f"too few to say ({self.cries} of about {self.needed} cries)",
            "not better": "not better than always naming the most frequent reason",
            "better": f"better than always naming the most frequent reason: {right:.0%} against "
            f"{constant:.0%}, p = {self.skill.anytime_p:.2g}",
        }[self.state]


@dataclass(frozen=True, eq=False)
class PersonalModel:
    """A ridge regression fitted to one baby's cries, with its training data."""

    labels: tuple[str, ...]  # the K reasons of cries, sorted
    rows: Array  # features of each cry, (cries, width)
    truth: Labels  # label index of each cry, (cries,)
    times: Array  # start of each cry, (cries,)
    general: Array  # log-probabilities of the general model, (cries, K); zeros without one
    recordings: int  # number of recordings that make up these cries
    _weights: Array = field(repr=False)  # (1 + width, K)

    @classmethod
    def fit(
        cls,
        embeddings: ArrayLike,
        labels: Sequence[str],
        times: ArrayLike,
        prior: Sequence[Mapping[str, float]] | None = None,
    ) -> PersonalModel:
        """Fit a ridge regression to cries; raise PersonalError if no model can be fitted to these.

        The guarantee of the report holds if labels are given within their day, and not changed
        after a look. ``embeddings``: (n, width), finite, such as
        :attr:`cry_model.Prediction.embedding`, or :func:`context_features`; ``labels``: n labels
        given in hindsight, of two kinds or more; ``times``: (n,) ascending, seconds of local time;
        multiples of 86,400 are midnight; ``prior``: the general model's probabilities for each
        recording; a label that it does not know gets an equal share.
        """
        if not len(labels):
            raise PersonalError("There are no labelled cries; please label some first.")
        if len(set(labels)) < 2:
            raise PersonalError("All cries have one label; please use two or more labels.")
        rows, seconds = np.asarray(embeddings, np.float64), np.asarray(times, np.float64)
        names = tuple(sorted(set(labels)))
        number = np.array([names.index(label) for label in labels])
        logs = np.array([_known(names, p) for p in prior]) if prior else np.zeros((len(rows), 1))
        cry = np.cumsum(np.diff(seconds, prepend=seconds[0]) >= APART)
        first = np.flatnonzero(np.diff(cry, prepend=-1))
        share = np.eye(cry[-1] + 1)[:, cry]
        share /= share.sum(1, keepdims=True)
        # The most frequent label of a cry; the latest breaks ties.
        count = share @ np.eye(len(names))[number]
        last = np.array([np.flatnonzero(cry == c)[-1] for c in range(len(first))])
        count[np.arange(len(first)), number[last]] += 0.5 / len(rows)
        kept, truth = np.unique(count.argmax(1), return_inverse=True)
        general = np.broadcast_to(share @ logs, count.shape)[:, kept]
        if len(kept) < 2:
            raise PersonalError(
                "Cries within half an hour count as one, and then all have one reason; please "
                "label more cries first."
            )
        cries = share @ rows
        weights = _ridge(standardised(cries)) @ np.eye(len(kept))[truth]
        left = tuple(names[k] for k in kept)
        return cls(left, cries, truth, seconds[first], general, len(rows), weights)

    def predict(
        self, embedding: ArrayLike, prior: Mapping[str, float] | None = None
    ) -> dict[str, float]:
        """Return label -> probability of one cry; raise PersonalError if the width is wrong.

        The model's own logits weigh n / (n + 20), the general model's 20 / (n + 20), and frequent
        labels are more probable.
        """
        row = np.asarray(embedding, dtype=np.float64)
        if row.shape != self.rows.shape[1:] or not np.isfinite(row).all():
            raise PersonalError(
                f"An embedding must have {self.rows.shape[1]} finite numbers; please use the model "
                "that embedded the labelled cries."
            )
        centre, scale = _scale(self.rows)
        score = np.append(1.0, (row - centre) / scale) @ self._weights
        general = 0.0 if prior is None else _known(self.labels, prior)
        counts = np.bincount(self.truth, minlength=len(self.labels))
        found = softmax(_logits(score, counts, general))
        return dict(zip(self.labels, found.tolist(), strict=True))

    def report(self, permutations: int = PERMUTATIONS) -> Report:
        """Test the model on held-out cries."""
        support = np.bincount(self.truth, minlength=len(self.labels))
        hour, nothing = time_features(self.times), np.zeros_like(self.general)
        return Report(
            cries=len(self.rows),
            recordings=self.recordings,
            days=len(np.unique(self.days)),
            left_out="day" if len(np.unique(self.days)) > 1 else "cry",
            support=dict(zip(self.labels, support.tolist(), strict=True)),
            constant_label=self.labels[int(support.argmax())],
            constant_accuracy=float(support.max() / support.sum()),
            chance=1 / len(support),
            skill=self._skill(self.rows, self.general, permutations),
            time_of_day=self._skill(hour, nothing, permutations),
        )

    @property
    def days(self) -> Labels:
        """The calendar day of each cry, (cries,)."""
        return np.floor(self.times / DAY).astype(np.int64)

    @property
    def blocks(self) -> Labels:
        """The held-out block of each cry, (cries,): its day, or itself if all are of one day."""
        days = numbered(self.days)
        return days if days.max() else np.arange(len(days))

    def answers(self) -> Array:
        """Return the cross-validated probabilities of each cry, its block held out, (cries, K)."""
        return left_out(self.rows, self.blocks, np.eye(len(self.labels))[self.truth], self.general)

    def wealth(self) -> Array:
        """Return the wealth of the e-process after each day, (days,)."""
        return _wealth(self.rows, self.general, self.truth, self.days, len(self.labels))

    def _skill(self, rows: Array, general: Array, permutations: int) -> Skill:
        kinds, blocks = len(self.labels), self.blocks
        draws = permuted_within(self.truth, self.days, permutations)
        both = np.vstack([self.truth, draws])
        every = left_out(rows, blocks, np.eye(kinds)[both], general)
        found, (value, *chance) = every[0], _recalls(every, both)
        as_good = (np.array(chance) >= value - 1e-12).sum()
        won = _wealth(rows, general, self.truth, self.days, kinds)
        return Skill(
            bootstrap("accuracy", self.truth, found, blocks),
            bootstrap("balanced_accuracy", self.truth, found, blocks),
            float((1 + as_good) / (1 + permutations)),
            float(won.max(initial=1.0)),
        )


def context_features(hours: ArrayLike) -> Array:
    """Compute features of hours since feed, sleep and diaper, (n, 3) -> (n, 6).

    NaN marks hours that a parent did not give: they get the mean logarithm, and a flag of 0.
    """
    given = np.asarray(hours, dtype=np.float64)
    known = np.isfinite(given)
    logs = np.log1p(np.where(known, given, 0.0))
    mean = logs.sum(0) / known.sum(0).clip(1)
    return np.hstack([np.where(known, logs, mean), known])


def time_features(times: Array) -> Array:
    """Encode the time of day on a circle, with two harmonics, (n,) s -> (n, 4)."""
    angle = 2 * np.pi * times[:, None] / DAY * (1, 2)
    return np.hstack([np.sin(angle), np.cos(angle)])


def _known(names: Sequence[str], prior: Mapping[str, float]) -> Array:
    """Return a general model's log-probabilities, (K,); unknown labels get an equal share."""
    equal = 1 / max(len(prior), 1)
    return np.log([max(prior.get(name, equal), 1e-6) for name in names])


def _scale(rows: Array) -> tuple[Array, Array]:
    deviation = rows.std(0)
    return rows.mean(0), np.where(deviation > 1e-9, deviation, 1.0)


def standardised(rows: Array) -> Array:
    """Standardise each column to mean 0 and deviation 1, after a column of ones; (n, 1 + width)."""
    centre, scale = _scale(rows)
    return np.hstack([np.ones((len(rows), 1)), (rows - centre) / scale])


def _ridge(design: Array) -> Array:
    """Return the matrix that maps labels to weights, (1 + width, n).

    The penalty is the width, the squared norm of a standardised row; the intercept has none.
    """
    width = design.shape[1]
    penalty = np.diag(np.r_[1e-9, np.full(width - 1, float(width - 1))])
    return np.linalg.solve(design.T @ design + penalty, design.T)


def _logits(score: Array, counts: Array, general: Array | float) -> Array:
    """Combine logits (..., K) of three sources: own cries, label frequencies, the general model."""
    n = counts.sum(-1, keepdims=True)
    frequent = np.log((counts + 1) / (n + counts.shape[-1]))
    return frequent + (n * GAIN * score + FADE * general) / (n + FADE)


def left_out(rows: Array, blocks: Labels, truths: Array, general: Array) -> Array:
    """Return cross-validated probabilities of cries, each block held out in turn.

    One ridge regression on rows (n, width), from which each block (n,) is removed in closed form.
    ``truths``: one-hot labels (..., n, K), such as permuted ones; ``general``: log-probabilities of
    the general model, (n, K).
    """
    design = standardised(rows)
    hat = design @ _ridge(design)
    together = blocks[:, None] == blocks
    for block in np.unique(blocks):
        own = blocks == block
        rest = np.where(own, 0.0, hat[own])
        hat[own] = np.linalg.solve(np.eye(own.sum()) - hat[np.ix_(own, own)], rest)
    counts = truths.sum(-2, keepdims=True) - together.astype(np.float64) @ truths
    return softmax(_logits(hat @ truths, counts, general), axis=-1)


def _recalls(found: Array, truths: Labels) -> Array:
    """Return the balanced accuracy of each draw, (draws, n, K) and (draws, n) -> (draws,)."""
    right = found.argmax(-1) == truths
    kinds = [k for k in range(found.shape[-1]) if (truths[:1] == k).any()]
    return np.mean([(right & (truths == k)).sum(1) / (truths == k).sum(1) for k in kinds], axis=0)


def permuted_within(truth: Labels, days: Labels, draws: int) -> Labels:
    """Permute labels (n,) among the cries of each day; (draws, n)."""
    rng = np.random.default_rng(0)
    found = np.tile(truth, (draws, 1))
    for day in np.unique(days):
        own = np.flatnonzero(days == day)
        found[:, own] = rng.permuted(found[:, own], axis=1)
    return found


def _wealth(rows: Array, general: Array, truth: Labels, days: Labels, kinds: int) -> Array:
    """Return the wealth after each day, (days,), with bets from earlier days alone."""
    won, total = np.zeros(len(BETS)), []
    for day in np.unique(days):
        past, today = int((days < day).sum()), np.flatnonzero(days == day)
        if past and len(np.unique(truth[today])) > 1:
            design = standardised(rows[: past + len(today)])
            score = design[past:] @ (_ridge(design[:past]) @ np.eye(kinds)[truth[:past]])
            own, old = past * GAIN / (past + FADE), FADE / (past + FADE)
            logits = own * score + old * general[today]
            for start in range(0, len(today), AT_ONCE):
                part = slice(start, start + AT_ONCE)
                won += log_bet(np.multiply.outer(BETS, logits[part]), truth[today[part]])
        total.append(np.exp(logsumexp(won) - np.log(len(won))))
    return np.array(total)


def log_bet(logits: Array, truth: Labels) -> Array:
    """Return the log e-value: the likelihood of these labels over its mean over all their orders.

    The sum over orders is a coefficient of a product of polynomials, computed cry by cry. Logits
    are (bets, n, K), labels (n,); a constant added to all logits of a cry makes no difference.
    """
    present, place, counts = np.unique(truth, return_inverse=True, return_counts=True)
    logits = logits[..., present] - logits[..., present].max(-1, keepdims=True)
    odds = np.exp(logits.clip(-50))
    sums = np.zeros((len(odds), *(counts + 1)))
    sums[(slice(None), *[0] * len(counts))] = 1.0
    for cry in range(len(truth)):
        before, sums = sums, np.zeros_like(sums)
        for kind in range(len(counts)):
            target, source = [slice(None)] * sums.ndim, [slice(None)] * sums.ndim
            target[1 + kind], source[1 + kind] = slice(1, None), slice(None, -1)
            factor = odds[:, cry, kind].reshape(-1, *[1] * len(counts))
            sums[tuple(target)] += factor * before[tuple(source)]
    orders = gammaln(len(truth) + 1) - gammaln(counts + 1).sum()
    every = np.log(sums[(slice(None), *counts)]) - orders
    return np.log(odds[:, np.arange(len(truth)), place]).sum(1) - every
