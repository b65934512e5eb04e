"""What one clip costs, as :mod:`analysis.benchmark` measured it: written there, read here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analysis.run_tables import ResultsError
from analysis.runs import RESULTS
from cry_model.run_files import read_object

BENCHMARK = RESULTS / "benchmark.json"


@dataclass(frozen=True)
class Cost:
    """One system at one number of threads; times in milliseconds, memory in MB.

    Attributes:
        load: from the checkpoint's files to a classifier.
        decode: a 44.1 kHz 16-bit wav to samples.
        features: resampling, band, level, trim, cut, log-mel.
        forward: features to logits and attention maps.
        total: file to answer, measured as one, not the sum of the parts.
        figures: answer to the figures' JSON.
        real_time_factor: total over the length of the clip.
        peak_memory: greatest resident size of the process, the drawing libraries included; NaN
            where the system does not tell (Windows).
    """

    system: str
    threads: int
    load: float
    decode: float
    features: float
    forward: float
    total: float
    figures: float
    real_time_factor: float
    peak_memory: float

    @property
    def clips_per_second(self) -> float:
        """Answered one after the other."""
        return 1000 / self.total


@dataclass(frozen=True)
class Costs:
    """Those of all systems on one machine.

    Attributes:
        clip: what was classified, in words.
        machine: kind of processor.
        torch: version.
        measured: a cost for each system and number of threads.
    """

    clip: str
    machine: str
    torch: str
    measured: tuple[Cost, ...]

    @property
    def threads(self) -> tuple[int, ...]:
        """The numbers of threads that were tried, from one to all."""
        return tuple(sorted({cost.threads for cost in self.measured}))

    def of(self, system: str, threads: int) -> Cost | None:
        """None if it was not measured."""
        found = (cost for cost in self.measured if (cost.system, cost.threads) == (system, threads))
        return next(found, None)


def read_costs(path: Path = BENCHMARK) -> Costs:
    """Out of what ``python -m analysis benchmark`` wrote.

    Raises:
        ResultsError: if the file is missing or malformed.
    """
    if not path.exists():
        raise ResultsError(
            f"There is no {path.name}; run python -m analysis benchmark --out "
            f"assets/results/{path.name}."
        )
    try:
        record = read_object(path)
        measured = tuple(Cost(**cost) for cost in record["costs"])
        if not measured or not all(cost.total > 0 for cost in measured):
            raise ValueError("no times")
        return Costs(record["clip"], record["machine"], record["torch"], measured)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path.name} is not as python -m analysis benchmark writes it ({error!r}); run it "
            "again."
        ) from error
