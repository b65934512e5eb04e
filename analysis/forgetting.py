"""What a visitor leaves on the server, and when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from gradio.state_holder import StateHolder

from analysis.uploads import delete_forgotten, needed_files, sweep

HOUR = 3600  # s
SWEEP_SECONDS = 60
LOOK_SECONDS = 1


def forget_sessions(sessions: StateHolder, unused: float = HOUR) -> list[str]:
    """Drops every session that was not used for ``unused`` seconds; returns their names.

    Gradio keeps the last inputs and outputs of each session, API calls included, until thousands
    of newer ones push it out: answers and figures would stay for days on a quiet server.
    """
    now = datetime.now()
    dropped = [
        name
        for name, used in list(sessions.time_last_used.items())
        if (now - used).total_seconds() >= unused
    ]
    for name in dropped:
        with sessions.lock:
            sessions.session_data.pop(name, None)
            sessions.time_last_used.pop(name, None)
    return dropped


def forget_messages(blocks: Any, sessions: list[str]) -> None:
    """Drops the answers that ``sessions`` never fetched, and the names of files that are gone."""
    queue = blocks._queue
    for name in sessions:
        queue.pending_messages_per_session.pop(name, None)
        queue.pending_event_ids_session.pop(name, None)
    for paths in blocks.temp_file_sets:
        paths.difference_update([path for path in paths if not Path(path).exists()])


@contextlib.asynccontextmanager
async def forgetting(app: Any) -> AsyncIterator[None]:
    """While the server ``app`` (Gradio's) runs: forgets uploads and sessions when it is time."""

    async def uploads() -> None:
        delete_forgotten(needed_files(app.get_blocks()))

    async def rest() -> None:
        forget_messages(app.get_blocks(), forget_sessions(app.state_holder))
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
            print(f"Forgetting failed: {type(error).__name__}.", file=sys.stderr)
        await asyncio.sleep(seconds)
