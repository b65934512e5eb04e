"""What a gate's threshold is, and what it was measured to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cry_model.declared import Name, Share
from cry_model.evaluation import Estimate, percent


@dataclass(frozen=True)
class GateRecord:
    """A threshold, and rates on recordings of sources that were not learnt from.

    Attributes:
        threshold: probability from which on it is a cry.
        accepted: share of the cries of ESC-10 that reach it.
        false_accepts: share of the other sounds of ESC-10 that reach it.
        area: AUC on ESC-10, whose own folds hold both out.
        unheard: kind of sound -> share of it that reaches the threshold of a gate which was fitted
            without that kind.
    """

    threshold: Share
    accepted: Estimate
    false_accepts: Estimate
    area: Estimate
    unheard: Mapping[Name, Share] = field(default_factory=dict)

    def trust(self) -> str:
        """The rates in a sentence."""
        return (
            f"Of sounds that it had not heard, it took {percent(self.accepted.value)} of the cries "
            f"for cries, and {percent(self.false_accepts.value)} of the others."
        )
