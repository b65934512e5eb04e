"""Which state of a results folder a report shows: digest, number of runs, versions of software."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from pathlib import Path

from analysis.runs import FoundRuns
from cry_model.records import dataset_title

READ = (".csv", ".json")
SOFTWARE = {"python": "Python", "torch": "PyTorch", "numpy": "NumPy"}
"""Keys of ``environment`` in ``run.json`` -> names."""


def state(found: FoundRuns, results: Path) -> str:
    """In three sentences."""
    counts = Counter(dataset_title(run.dataset) for run in found.runs)
    each = "; ".join(f"{title}: {count}" for title, count in counts.items())
    total = f"{len(found.runs)} measured {'run' if len(found.runs) == 1 else 'runs'}"
    return (
        f"{total} ({each}). {_software(found)} State of the results folder: SHA-256 "
        f"{digest(results)[:16]}."
    )


def digest(results: Path) -> str:
    """Of the names and contents of all tables and records, whatever their dates."""
    total = hashlib.sha256()
    for path in sorted(results.rglob("*"), key=lambda path: path.relative_to(results).as_posix()):
        if path.suffix in READ and path.is_file():
            total.update(path.relative_to(results).as_posix().encode())
            with contextlib.suppress(OSError):  # what may not be read stands among the problems
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _software(found: FoundRuns) -> str:
    used = []
    for key, name in SOFTWARE.items():
        every = [one for run in found.runs for one in run.environments]
        versions = {str(one[key]) for one in every if key in one}
        if versions:
            used.append(f"{name} {' and '.join(sorted(versions))}")
    return f"Fitted with {', '.join(used)}." if used else ""


def without_folder(sentence: str, results: Path) -> str:
    """A sentence about a file of the results folder without where that lies on this machine."""
    return sentence.replace(f"{results}{os.sep}", "").replace(str(results), "the results folder")
