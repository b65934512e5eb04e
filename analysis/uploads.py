"""Keep uploads in a folder of this process's own, and delete them when nobody needs them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import stat
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from gradio import route_utils
from gradio.state_holder import StateHolder
from gradio.utils import get_upload_folder

VARIABLE = "GRADIO_TEMP_DIR"  # where Gradio is told of its folder
PREFIX = "infant-cry-page-"
DELETE_SECONDS = 5.0  # after the answer: the browser may still fetch what it plays
KEPT_SECONDS = 15 * 60.0  # what nobody needed for so long is not asked for any more
SETTLED_SECONDS = 60.0  # the request for what is younger may be on its way
MOST_BYTES = 2_000_000_000
ENTRY_BYTES = 4096  # what a file takes besides its content


class _OwnPath(route_utils.GradioUploadFile):
    """Store an upload at a path of its own; Gradio's name for equal files would be the same."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.sha.update(secrets.token_bytes(16))


route_utils.GradioUploadFile = _OwnPath

_running: Counter[Path] = Counter()  # a file -> how many functions use it now
_due: dict[Path, float] = {}  # a file -> when it goes, by the monotonic clock
_lock = threading.Lock()


@contextlib.contextmanager
def upload_folder() -> Iterator[Path]:
    """Give Gradio a new folder that only this user can read, and deletes it at the end.

    It lies in ``GRADIO_TEMP_DIR``, or where the system keeps temporary files.
    """
    above = Path(os.environ.get(VARIABLE) or tempfile.gettempdir()).resolve()
    above.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=PREFIX, dir=above, ignore_cleanup_errors=True
    ) as folder:
        os.environ[VARIABLE] = folder
        yield Path(folder)


@contextlib.contextmanager
def needing(path: str | None) -> Iterator[None]:
    """Keep an upload as long as the block runs, and have it deleted afterwards."""
    if (file := _upload(path)) is None:
        yield
        return
    with _lock:
        _running[file] += 1
    try:
        yield
    finally:
        with _lock:
            _running[file] -= 1
            if not _running[file]:
                del _running[file]
        delete_upload(path)


def is_upload(path: object) -> bool:
    """Return whether a visitor's word for a file is that of an upload."""
    return isinstance(path, str) and _upload(path) is not None


def delete_upload(path: str | None, after: float = DELETE_SECONDS) -> None:
    """Have :func:`delete_due` delete an upload in ``after`` seconds."""
    file = _upload(path)
    if file is not None and file.exists():
        _due[file] = time.monotonic() + after


def delete_due(needed: Collection[Path]) -> None:
    """Delete each upload of :func:`delete_upload` when it is time and it is not ``needed``."""
    for file, when in list(_due.items()):
        if time.monotonic() >= when and file not in needed:
            _due.pop(file, None)
            _delete(file)


def needed_files(blocks: Any) -> set[Path]:
    """Return the uploads of every request of ``blocks`` that waits or runs.

    To be called where the queue itself runs, in the event loop: there no request is ever between
    waiting and running.
    """
    queue = blocks._queue
    jobs = [waiting.queue for waiting in queue.event_queue_per_concurrency_id.values()]
    jobs += [job for job in queue.active_jobs if job is not None]
    data = [event.data.data for job in jobs for event in job if event.data is not None]
    asked = {file for path in _paths(data) if (file := _upload(path)) is not None}
    with _lock:
        return asked | _running.keys()


def sweep(needed: Collection[Path], most: int = MOST_BYTES) -> int:
    """Delete what is old, then the oldest until the rest fits; also what killed processes left.

    It looks into folders of :func:`upload_folder` only. What is ``needed`` stays and is touched,
    and so young to other processes, too. Returns how many bytes stay, of ``most`` that may.
    """
    own = _folder()
    if not own.name.startswith(PREFIX):
        return 0  # Gradio's usual folder, which others share
    for file in (own, *needed):
        with contextlib.suppress(OSError):
            os.utime(file)
    now, left, total = time.time(), [], 0
    for file, status in _entries(own.parent):
        age = abs(now - status.st_ctime)  # ahead of now if the clock was set back
        old = age >= KEPT_SECONDS and file not in needed
        if stat.S_ISDIR(status.st_mode):
            if old:
                with contextlib.suppress(OSError):  # not empty
                    file.rmdir()
        elif not (old and _delete(file)):
            size = status.st_size + ENTRY_BYTES
            total += size
            received = not file.parent.name.startswith(PREFIX)  # not while it is coming in
            if received and age >= SETTLED_SECONDS and file not in needed:
                left.append((status.st_ctime, size, file))
    for _, size, file in sorted(left):
        if total <= most:
            break
        total -= size * _delete(file)
    return total


def _entries(above: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield whatever lies in the folders of all processes, these included, the deepest first.

    No link is followed; it is an entry like any other.
    """
    for folder in above.glob(f"{PREFIX}*"):
        if not folder.is_symlink():
            for place, folders, files in os.walk(folder, topdown=False):
                for name in files + folders:
                    path = Path(place, name)
                    with contextlib.suppress(OSError):  # gone in the meantime
                        yield path, path.lstat()
            with contextlib.suppress(OSError):
                yield folder, folder.lstat()


def _delete(file: Path) -> bool:
    """Delete a file, and its folder if that is empty now; False if it is not allowed."""
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return False
    if not file.parent.name.startswith(PREFIX):
        with contextlib.suppress(OSError):
            file.parent.rmdir()
    return True


def _folder() -> Path:
    return Path(get_upload_folder()).resolve()


def _upload(path: str | None) -> Path | None:
    """Return where an upload really lies; None outside of the folder: never ours to delete."""
    try:
        file = Path(path or "").resolve()
    except (OSError, RuntimeError, ValueError):  # no path at all
        return None
    folder = _folder()
    return file if folder in file.parents else None


def _paths(data: Any) -> Iterator[str]:
    """Yield each ``path`` of a file anywhere in what a request sent."""
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if isinstance(path := value.get("path"), str):
                yield path
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value


HOUR = 3600  # s
SWEEP_SECONDS = 60
LOOK_SECONDS = 1


def delete_sessions(sessions: StateHolder) -> list[str]:
    """Drop every session that was not used for an hour; return their names.

    Gradio keeps the last inputs and outputs of each session, API calls included, until thousands
    of newer ones push it out: answers and figures would stay for days on a quiet server.
    """
    now = datetime.now()
    dropped = [
        name
        for name, used in list(sessions.time_last_used.items())
        if (now - used).total_seconds() >= HOUR
    ]
    for name in dropped:
        with sessions.lock:
            sessions.session_data.pop(name, None)
            sessions.time_last_used.pop(name, None)
    return dropped


def delete_messages(blocks: Any, sessions: list[str]) -> None:
    """Drop the answers that ``sessions`` never fetched, and the names of files that are gone."""
    queue = blocks._queue
    for name in sessions:
        queue.pending_messages_per_session.pop(name, None)
        queue.pending_event_ids_session.pop(name, None)
    for paths in blocks.temp_file_sets:
        paths.difference_update([path for path in paths if not Path(path).exists()])


@contextlib.asynccontextmanager
async def retention(app: Any) -> AsyncIterator[None]:
    """Delete uploads and sessions when it is time, while the server ``app`` (Gradio's) runs."""

    async def uploads() -> None:
        delete_due(needed_files(app.get_blocks()))

    async def rest() -> None:
        delete_messages(app.get_blocks(), delete_sessions(app.state_holder))
        await asyncio.to_thread(sweep, needed_files(app.get_blocks()))

    tasks = [
        asyncio.create_task(_again_and_again(uploads, LOOK_SECONDS)),
        asyncio.create_task(_again_and_again(rest, SWEEP_SECONDS)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def _again_and_again(job: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        try:
            await job()
        except Exception as error:  # the next time must come; no name of a file goes to the log
            print(f"Deleting failed: {type(error).__name__}.", file=sys.stderr)
        await asyncio.sleep(seconds)
