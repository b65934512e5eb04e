"""Read what was measured of the personal model: how often it errs, and how soon it knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.stats.runs import ResultsError

STUDY = Path("personal", "study.json")
SHOWN = 0.8
"""Share of right labels that the figure shows."""


@dataclass(frozen=True)
class Power:
    """How often simulated parents were told "better"."""

    effect: float  # standard deviations between reasons
    labels_correct: float  # share of labels that are right
    better: Mapping[int, float]  # cries -> share of parents
    needed: int | None  # cries until 80% were told so; None for more than 200


@dataclass(frozen=True)
class PersonalStudy:
    """What was measured: ``told`` of ``parents`` with nothing to find, in so many nights."""

    parents: int
    told: int
    nights: int
    power: tuple[Power, ...]

    @property
    def clear(self) -> Power:
        """Return the largest effect with the best labels."""
        return max(self.power, key=lambda one: (one.effect, one.labels_correct))

    def chart(self) -> str:
        """Return the share of parents told "better" by cries, as a chart of Mermaid."""
        shown = [one for one in self.power if one.labels_correct == SHOWN]
        marks = sorted(shown[0].better)
        lines = [f"  line [{', '.join(f'{one.better[n]:.3f}' for n in marks)}]" for one in shown]
        head = ["xychart-beta", f'  x-axis "cries" [{", ".join(map(str, marks))}]']
        return "\n".join([*head, '  y-axis "told better" 0 --> 1', *lines])

    def rows(self) -> list[dict[str, str]]:
        """Return a row for each effect: cries that were needed, by the share of right labels."""
        effects = sorted({one.effect for one in self.power})
        return [
            {"deviations apart": f"{effect:g}"}
            | {
                f"{one.labels_correct:.0%} of labels right": str(one.needed or "more than 200")
                for one in self.power
                if one.effect == effect
            }
            for effect in effects
        ]


def read_personal(results: Path) -> PersonalStudy | None:
    """Return the study of a results folder, None if it has none; raise ResultsError if the file is
    malformed."""
    path = results / STUDY
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        alarms = document["false_alarms"][0]
        power = tuple(
            Power(
                float(one["effect"]),
                float(one["labels_correct"]),
                {int(cries): float(rate["share"]) for cries, rate in one["better"].items()},
                one["cries_for_80_percent"],
            )
            for one in document["power"]
        )
        better = alarms["better"]
        return PersonalStudy(int(better["of"]), int(better["count"]), int(alarms["nights"]), power)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise ResultsError(f"{path} is no study of the personal model; write it anew.") from None
