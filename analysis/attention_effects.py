"""``attention_effect.json`` beside the predictions: what the answers lose without each attention.

``python -m train effect`` writes it; :mod:`train.attention_effect` describes its fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.run_tables import ResultsError
from cry_model.records import Estimate
from cry_model.run_files import read_object

EFFECT = "attention_effect.json"


@dataclass(frozen=True)
class Neutralised:
    """One attention made neutral.

    Attributes:
        difference: balanced accuracy per recording, neutral less fitted: below 0 where the
            attention helps.
        changed: share of recordings whose answer is another, 0 to 1.
    """

    difference: Estimate
    changed: Estimate


@dataclass(frozen=True)
class AttentionEffect:
    """Of one run.

    Attributes:
        seeds: of the fits that were asked.
        neutralised: name of the attention -> what is lost without it.
        entropies: of the rows of A1 and of A2, 1 where uniform; None without the module.
        weights: lambda of every fit, in rising order; empty without the module.
    """

    seeds: tuple[int, ...]
    neutralised: Mapping[str, Neutralised]
    entropies: tuple[Estimate, Estimate] | None
    weights: tuple[float, ...]


def read_effect(folder: Path) -> AttentionEffect | None:
    """What was measured of a run's attention; None if it was not.

    Raises:
        ResultsError: if the file is malformed.
    """
    path = folder / EFFECT
    if not path.is_file():
        return None
    try:
        record = read_object(path)
        neutralised = {
            name: Neutralised(
                Estimate(**one["metrics"]["balanced_accuracy"]["difference"]),
                Estimate(**one["changed"]),
            )
            for name, one in record["neutralised"].items()
        }
        seeds, maps = tuple(map(int, record["seeds"])), record["differential"]
        if maps is None:
            return AttentionEffect(seeds, neutralised, None, ())
        entropies = (Estimate(**maps["entropy_1"]), Estimate(**maps["entropy_2"]))
        weights = tuple(sorted(maps["weight"].values()))
        return AttentionEffect(seeds, neutralised, entropies, weights)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(
            f"{path} is not as train effect writes it ({error!r}); measure it again."
        ) from error
