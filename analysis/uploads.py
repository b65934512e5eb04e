"""Store uploads in a folder of this process, and delete them when they are no longer needed."""

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

VARIABLE = "GRADIO_TEMP_DIR"  # tells Gradio its folder
PREFIX = "infant-cry-page-"
DELETE_SECONDS = 5.0  # after the answer; the browser may still fetch the file to play it
KEPT_SECONDS = 15 * 60.0  # uploads unused for this long are deleted
SETTLED_SECONDS = 60.0  # a younger file may belong to a request on its way
MOST_BYTES = 2_000_000_000
ENTRY_BYTES = 4096  # size of a file besides its content


class _OwnPath(route_utils.GradioUploadFile):
    """Store each upload at a unique path; Gradio would store equal files at the same one."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.sha.update(secrets.token_bytes(16))


route_utils.GradioUploadFile = _OwnPath

_running: Counter[Path] = Counter()  # file -> number of functions that use it now
_due: dict[Path, float] = {}  # file -> monotonic time of its deletion
_lock = threading.Lock()


@contextlib.contextmanager
def upload_folder() -> Iterator[Path]:
    """Give Gradio a new folder that only this user can read; delete it on exit.

    It is created in ``GRADIO_TEMP_DIR``, or else in the system's temporary folder.
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
    """Keep an upload while the block runs, and schedule its deletion afterwards."""
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
    """Return whether a path that a visitor sent belongs to an upload."""
    return isinstance(path, str) and _upload(path) is not None


def delete_upload(path: str | None, after: float = DELETE_SECONDS) -> None:
    """Schedule an upload for deletion by :func:`delete_due` in ``after`` seconds."""
    file = _upload(path)
    if file is not None and file.exists():
        _due[file] = time.monotonic() + after


def delete_due(needed: Collection[Path]) -> None:
    """Delete scheduled uploads whose time has come, unless they are ``needed``."""
    for file, when in list(_due.items()):
        if time.monotonic() >= when and file not in needed:
            _due.pop(file, None)
            _delete(file)


def needed_files(blocks: Any) -> set[Path]:
    """Return the uploads of every waiting or running request of ``blocks``.

    Call it in the event loop, where the queue itself runs: there, no request is ever between
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
    """Delete expired uploads, then the oldest ones until the rest fits into ``most`` bytes.

    Only folders of :func:`upload_folder` are searched, including those of killed processes.
    ``needed`` files stay, touched to look recent to other processes, too. Return the bytes left.
    """
    own = _folder()
    if not own.name.startswith(PREFIX):
        return 0  # Gradio's default folder, which others share
    for file in (own, *needed):
        with contextlib.suppress(OSError):
            os.utime(file)
    now, left, total = time.time(), [], 0
    for file, status in _entries(own.parent):
        age = abs(now - status.st_ctime)  # in the future if the clock was set back
        old = age >= KEPT_SECONDS and file not in needed
        if stat.S_ISDIR(status.st_mode):
            if old:
                with contextlib.suppress(OSError):  # not empty
                    file.rmdir()
        elif not (old and _delete(file)):
            size = status.st_size + ENTRY_BYTES
            total += size
            received = not file.parent.name.startswith(PREFIX)  # whether the upload is complete
            if received and age >= SETTLED_SECONDS and file not in needed:
                left.append((status.st_ctime, size, file))
    for _, size, file in sorted(left):
        if total <= most:
            break
        total -= size * _delete(file)
    return total


def _entries(above: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield all entries in the folders of all processes, then these folders, deepest first.

    Links are not followed; they are entries like any other.
    """
    for folder in above.glob(f"{PREFIX}*"):
        if not folder.is_symlink():
            for place, folders, files in os.walk(folder, topdown=False):
                for name in files + folders:
                    path = Path(place, name)
                    with contextlib.suppress(OSError):  # deleted in the meantime
                        yield path, path.lstat()
            with contextlib.suppress(OSError):
                yield folder, folder.lstat()


def _delete(file: Path) -> bool:
    """Delete a file, and its folder if that is empty now; return False if it is not permitted."""
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
    """Return an upload's real path; None outside the upload folder, where nothing is deleted."""
    try:
        file = Path(path or "").resolve()
    except (OSError, RuntimeError, ValueError):  # not a path
        return None
    folder = _folder()
    return file if folder in file.parents else None


def _paths(data: Any) -> Iterator[str]:
    """Yield every ``path`` of a file anywhere in the data of a request."""
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
    """Drop every session that was unused for an hour; return their names.

    Gradio keeps the last inputs and outputs of each session, API calls included, until thousands
    of newer ones replace it. On a quiet server, answers and figures would stay for days.
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
    """Drop answers that ``sessions`` never fetched, and the names of deleted files."""
    queue = blocks._queue
    for name in sessions:
        queue.pending_messages_per_session.pop(name, None)
        queue.pending_event_ids_session.pop(name, None)
    for paths in blocks.temp_file_sets:
        paths.difference_update([path for path in paths if not Path(path).exists()])


@contextlib.asynccontextmanager
async def retention(app: Any) -> AsyncIterator[None]:
    """Delete expired uploads and sessions while the (Gradio) server ``app`` runs."""

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
        except Exception as error:  # the loop must go on; file names must not be logged
            print(f"Deleting failed: {type(error).__name__}.", file=sys.stderr)
        await asyncio.sleep(seconds)
