"""What a visitor leaves on the server, and when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import filecmp
import threading
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

from gradio.state_holder import StateHolder
from gradio.utils import get_upload_folder

from analysis.examples import EXAMPLES

FORGET_SECONDS = 5
HOUR = 3600  # s
SWEEP_SECONDS = 60


def forget(path: str | None, after: float = FORGET_SECONDS) -> None:
    """Deletes a visitor's recording from the server in a moment; our own examples stay.

    Gradio names an upload by its content, so two visitors with the same file share it. It goes a
    few seconds after the answer, and only if nobody has sent it again in the meantime.
    """
    if path is None or not Path(path).exists():
        return
    file = Path(path).resolve()
    if not file.is_relative_to(Path(get_upload_folder()).resolve()):
        return  # not an upload: never delete what is somebody's own
    example = EXAMPLES / file.name
    if example.exists() and filecmp.cmp(file, example, shallow=False):
        return
    timer = threading.Timer(after, _unlink_unless_newer, (file, file.stat().st_ctime_ns))
    timer.daemon = True
    timer.start()


def _unlink_unless_newer(file: Path, ctime_ns: int) -> None:
    with contextlib.suppress(OSError):  # gone already
        if file.stat().st_ctime_ns == ctime_ns:
            file.unlink()


def forget_sessions(sessions: StateHolder, unused: float = HOUR) -> None:
    """Drops every session that was not used for ``unused`` seconds.

    Gradio keeps the last inputs and outputs of each session, API calls included, until thousands
    of newer ones push it out: answers and figures would stay for days on a quiet server.
    """
    now = datetime.now()
    for name, used in list(sessions.time_last_used.items()):
        if (now - used).total_seconds() >= unused:
            with sessions.lock:
                sessions.session_data.pop(name, None)
                sessions.time_last_used.pop(name, None)


@contextlib.asynccontextmanager
async def forgetting_sessions(app: Any) -> AsyncIterator[None]:
    """While the server ``app`` (Gradio's) runs: :func:`forget_sessions` once a minute."""

    async def sweep() -> None:
        while True:
            forget_sessions(app.state_holder)
            await asyncio.sleep(SWEEP_SECONDS)

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
