"""Classify many recordings, in local processes or on a Ray cluster."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from typing import Any, TypeAlias

from cry_model.checkpoint import CheckpointError, one_line
from cry_model.many.table import ERROR, Row, TableError, answer_row
from cry_model.prediction import Prediction, choose
from cry_model.sound.audio import AudioError

UNEXPECTED = "This file could not be classified ({}); please report it and give another file."
DIED = "This file crashed the process reading it; please report it and give another file."
NO_START = "No process could be started; there may be too little memory. The same command resumes."
BLOCK = 16  # files per task on a cluster

Answering: TypeAlias = Callable[[str], tuple[str, Prediction]]
"""A file -> the name of the model that answers, and its prediction."""


@dataclass(frozen=True)
class Who:
    """The models that classify; the options are those of :meth:`CryClassifier.from_pretrained`."""

    names: tuple[str, ...]  # in the order of preference
    revision: str | None
    detector: bool
    backend: str

    def load(self) -> Answering:
        """Load the first model, and return a function that classifies a file; raise CheckpointError
        if it cannot be loaded. Others are loaded only when
        :func:`~cry_model.prediction.choose` needs them."""
        from cry_model.classifier import CryClassifier  # not needed to distribute files

        @functools.cache
        def model(name: str) -> CryClassifier:
            first = self.detector and name == self.names[0]
            return CryClassifier.from_pretrained(
                name, self.revision, detector=first, backend=self.backend
            )

        def answers(file: str) -> Iterator[tuple[str, Prediction]]:
            prediction = model(self.names[0]).predict(file)
            yield self.names[0], prediction
            for name in self.names[1:]:
                with contextlib.suppress(AudioError, CheckpointError):
                    yield name, model(name).predict(file, track=prediction.track)

        model(self.names[0])
        return lambda file: choose(answers(file))


def problem(error: Exception) -> str:
    """Return a sentence on why a file has no answer."""
    if isinstance(error, AudioError | OSError):
        return str(error)
    return UNEXPECTED.format(type(error).__name__)


def row_of(answering: Answering, file: str) -> Row:
    """Return a file's row: its answer, or the reason that it has none."""
    try:
        return answer_row(file, *answering(file))
    except Exception as error:  # continue with the other files
        return {"file": file, ERROR: problem(error)}


# On this machine


@contextlib.contextmanager
def one_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on the first Ctrl-C only: a second would leave processes behind."""

    def heard(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def cores() -> int:
    """Return the number of CPU cores available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_answering: Answering
"""Classifies a file, in a worker process of :func:`in_processes`."""


def _start(who: Who) -> None:
    """Load the models in a worker process, which exits when its parent has."""
    global _answering
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    threading.Thread(target=_follow, daemon=True).start()
    _answering = who.load()


def _follow() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _answer(file: str) -> Row:
    return row_of(_answering, file)


def in_processes(files: Sequence[str], who: Who, workers: int) -> Iterator[Row]:
    """Yield the row of each file as it completes; each process computes on one thread.

    If a file crashes its worker process, the pending files are retried one by one, so that only
    that file is skipped. Raise TableError if no process can be started.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers inherit it
    most = 1 if workers == 1 else 2 * workers
    left, context = deque(files), multiprocessing.get_context("spawn")
    while left:
        pending: dict[Future[Row], str] = {}
        try:
            with ProcessPoolExecutor(workers, context, _start, (who,)) as pool:
                _try_out(pool)
                while left or pending:
                    while left and len(pending) < most:
                        future = pool.submit(_answer, left[0])
                        pending[future] = left.popleft()
                    for future in wait(pending, return_when=FIRST_COMPLETED).done:
                        row = future.result()
                        del pending[future]
                        yield row
        except BrokenProcessPool:
            if most == 1:
                yield from ({"file": file, ERROR: DIED} for file in pending.values())
            else:
                yield from in_processes([*pending.values()], who, 1)


def _try_out(pool: ProcessPoolExecutor) -> None:
    try:
        pool.submit(int).result()
    except BrokenProcessPool as error:
        raise TableError(NO_START) from error


# On a cluster


def on_ray(files: Sequence[str], who: Who) -> Iterator[Row]:
    """Yield the row of each file as it completes; Ray Data retries the files of a lost node.

    The cluster is that of the variable RAY_ADDRESS, else a local one. Its nodes need this package,
    and must find the files under the same paths. Raise TableError if it fails.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    import ray
    import ray.data

    class Worker:
        """Classify in a process of the cluster; rows pass through Ray as JSON."""

        def __init__(self):
            self.answering = who.load()

        def __call__(self, item: dict[str, Any]) -> dict[str, str]:
            return {"row": json.dumps(row_of(self.answering, item["file"]))}

    try:
        ray.init(ignore_reinit_error=True)
        processes = max(1, int(ray.cluster_resources().get("CPU", 1)))
        asked = ray.data.from_items(
            [{"file": file} for file in files],
            override_num_blocks=math.ceil(len(files) / BLOCK),
        ).map(Worker, num_cpus=1, compute=ray.data.ActorPoolStrategy(size=processes))
        for item in asked.iter_rows():
            yield json.loads(item["row"])
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise TableError(f"Ray failed ({one_line(error)}). The same command resumes.") from error
