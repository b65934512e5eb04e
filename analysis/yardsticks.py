"""What ``run.json`` has beside a run: simpler ways to answer, measured on the same folds."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.measured_run import MeasuredRun
from analysis.run_tables import ResultsError
from analysis.runs import read_record
from cry_model.records import Estimate
from cry_model.run_files import RUN

TITLES = {
    "sample_rate": "the sample rate alone",
    "rbf_svm": "RBF SVM on the same features",
}


@dataclass(frozen=True)
class Yardstick:
    """Another way to answer on one dataset under one protocol.

    Attributes:
        name: for files.
        title: for people.
        dataset, protocol: of the runs that it stands beside.
        estimate: of one metric.
    """

    name: str
    title: str
    dataset: str
    protocol: str
    estimate: Estimate


def yardsticks(run: MeasuredRun, metric: str) -> tuple[Yardstick, ...]:
    """Those that were measured by this metric; often none.

    Raises:
        ResultsError: if ``run.json`` cannot be read or has them in another form.
    """
    record = read_record(run.folder).get("beside") or {}
    try:
        return tuple(
            Yardstick(
                name,
                TITLES.get(name, name),
                run.dataset,
                run.protocol,
                Estimate(**{end: float(value) for end, value in measured[metric].items()}),
            )
            for name, measured in record.items()
            if metric in measured
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{run.folder / RUN} is not as train fit writes it ({error!r}); fit the run again."
        ) from error
