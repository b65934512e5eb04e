"""Tasks in processes of their own, none of which can take the others down."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
PATIENCE = 3.0  # seconds for processes that are asked to end, before they are made to


@dataclass(frozen=True)
class Work(Generic[Task, Result]):
    """What is to be done, and who is told about it.

    Attributes:
        start: called once in each process; what it gives does one task. Both are pickled.
        key: tasks with the same key are not done at once.
        begun: called before a task, in the parent.
        lost: the result of a task whose process ended with this status.
        ended: called with each result, in the parent.
    """

    start: Callable[[], Callable[[Task], Result]]
    key: Callable[[Task], Hashable]
    begun: Callable[[Task], None]
    lost: Callable[[Task, int], Result]
    ended: Callable[[Result], None]


@dataclass(frozen=True)
class Worker:
    """A process and the line to it."""

    process: BaseProcess
    link: Connection


def run_all(
    tasks: Sequence[Task], jobs: int, threads: int, work: Work[Task, Result]
) -> list[Result]:
    """Does the tasks in ``jobs`` processes, in their order as far as their keys let them.

    Args:
        tasks: picklable.
        jobs: processes at most.
        threads: that each of them may compute with.
        work: how, and whom to tell.

    Returns:
        The results in the order in which they came.
    """
    waiting, found = list(tasks), []
    idle: list[Worker] = []
    busy: dict[Worker, Task] = {}
    try:
        while waiting or busy:
            while len(busy) < jobs:
                task = next_of(waiting, busy.values(), work.key)
                if task is None:
                    break
                worker = idle.pop() if idle else hire(work.start, threads)
                waiting.remove(task)
                busy[worker] = task
                work.begun(task)
                with contextlib.suppress(BrokenPipeError):  # it died; reading will say so
                    worker.link.send(task)
            ready = connection.wait([worker.link for worker in busy])
            for worker in [worker for worker in busy if worker.link in ready]:
                task = busy.pop(worker)
                try:
                    found.append(worker.link.recv())
                    idle.append(worker)
                except (EOFError, OSError):
                    worker.process.join()
                    found.append(work.lost(task, worker.process.exitcode or 0))
                work.ended(found[-1])
    finally:
        dismiss([*idle, *busy])
    return found


def next_of(
    waiting: Iterable[Task], running: Iterable[Task], key: Callable[[Task], Hashable]
) -> Task | None:
    """The first task that nothing that runs stands in the way of."""
    taken = {key(task) for task in running}
    return next((task for task in waiting if key(task) not in taken), None)


def hire(start: Callable[[], Callable[[Any], Any]], threads: int) -> Worker:
    """A new process that waits for tasks."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, start), daemon=True)
    with inherited(threads):
        process.start()
    theirs.close()  # so that its end is the end of the line
    return Worker(process, ours)


def dismiss(workers: Sequence[Worker]) -> None:
    """Ends processes, whatever they are at."""
    for worker in workers:
        worker.process.terminate()
    until = time.monotonic() + PATIENCE
    for worker in workers:
        worker.process.join(max(0.0, until - time.monotonic()))
        worker.process.kill()  # does nothing if it is gone
        worker.process.join()
        worker.link.close()


@contextlib.contextmanager
def inherited(threads: int) -> Iterator[None]:
    """What a process that starts now takes over: its threads, and that Ctrl-C is not its matter."""
    before = os.environ.get("OMP_NUM_THREADS")
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def serve(link: Connection, start: Callable[[], Callable[[Any], Any]]) -> None:
    """The life of a process: tasks in, results out, until the line is closed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # tidies up, unlike the default
    threading.Thread(target=leave_with_parent, daemon=True).start()
    work = start()
    with contextlib.suppress(EOFError):
        while True:
            link.send(work(link.recv()))


def leave_with_parent() -> None:
    """Ends this process when the parent is gone, even if that was killed."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
