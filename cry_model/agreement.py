"""How far a pupil answers as its teacher does: measured by ``train``, stored in its config.

What is known about a system that was distilled on recordings nobody has labelled: not how often it
is right, only how often it agrees with a teacher, whose own record goes with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from cry_model.declared import Count, Name, Seed
from cry_model.evaluation import Estimate, Evaluation, group_name, percent, words


@dataclass(frozen=True)
class Agreement:
    """Of pupil and teacher on recordings of babies that the pupil had never heard.

    Attributes:
        teacher: name of its checkpoint.
        dataset: of the recordings.
        recordings, groups: how many, and how many babies or sources they come from.
        folds, seeds: of the cross-validation.
        agreement: share of recordings with the same most probable label.
        constant_label, constant: the teacher's most frequent label, and the agreement of always
            answering it.
        gain: ``agreement - constant``.
        divergence: Kullback-Leibler divergence of the pupil's probabilities from the teacher's,
            nats, mean over recordings.
        constant_divergence: that of always answering the teacher's mean probabilities.
        teacher_evaluation: how often the teacher itself is right; None if nobody measured.
    """

    teacher: Name
    dataset: Name
    recordings: Count
    groups: Count
    folds: Count
    seeds: tuple[Seed, ...]
    agreement: Estimate
    constant_label: Name
    constant: Estimate
    gain: Estimate
    divergence: Estimate
    constant_divergence: Estimate
    teacher_evaluation: Evaluation | None = None

    @property
    def verdict(self) -> str:
        """In so many words, what it says about an answer."""
        return "This network imitates another model; nobody has checked its answers against labels."

    def trust(self) -> tuple[str, ...]:
        """What the numbers mean for an answer, sentence by sentence, in words for anyone."""
        low, high = 100 * self.agreement.low, percent(self.agreement.high)
        sentences = [
            f"For a {group_name(self.dataset)} it had never heard, it gave the same answer as its "
            f"teacher ({self.teacher}) for {percent(self.agreement.value)} of "
            f"{self.recordings} cries (95 % interval {low:.0f} to {high}); always answering "
            f"{words(self.constant_label)} would agree on {percent(self.constant.value)}."
        ]
        if self.teacher_evaluation is not None:
            sentences += ["Its teacher in turn:", *self.teacher_evaluation.trust()]
        return tuple(sentences)
