"""What passes between page and visitor: whole uploads for which there is room; no copies."""

from __future__ import annotations

import asyncio
from typing import Any

from gradio.route_utils import API_PREFIX
from starlette.datastructures import Headers, MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analysis.uploads import ENTRY_BYTES, MOST_BYTES, needed_files, sweep

UPLOAD_BYTES = 200 * 2**20 + 2**16
"""One file of 200 MB and its form; also what an upload is taken for that tells no size."""
FULL = "The page holds as many recordings as it can; please try again in a few minutes."
TOO_LARGE = "An upload may have 200 MB; please send a shorter recording."
ELSEWHERE = "Files are taken by the upload address only; please send them there."


class UploadLimit:
    """Stands before the page: refuses uploads while there is no room, and drops broken ones.

    Gradio deletes what it has of an upload if that is malformed, but not if the visitor goes
    away; so this is told to it as the former. Elsewhere it spools what is sent in forms to files
    outside of its folder, so they are not let through.

    Args:
        app: Gradio's.
        most: bytes that may lie there.
    """

    def __init__(self, app: ASGIApp, most: int = MOST_BYTES):
        self.app, self.most = app, most
        self.coming = 0  # bytes of the uploads that run
        self.taken = 0  # these, what came since the last sweep, and what that one left
        self.lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        if not headers.get("content-type", "").lower().startswith("multipart/"):
            await self.app(scope, receive, send)
            return
        told = headers.get("content-length", "")
        size = int(told) if told.isdecimal() else UPLOAD_BYTES
        refusal = None
        if not scope["path"].rstrip("/").endswith("/upload"):
            refusal = PlainTextResponse(ELSEWHERE, 415)
        elif size > UPLOAD_BYTES:
            refusal = PlainTextResponse(TOO_LARGE, 413)
        elif not await self._has_room(size, scope["app"].get_blocks()):
            refusal = PlainTextResponse(FULL, 503)
        if refusal is not None:
            await _drain(receive)
            await refusal(scope, receive, send)
            return
        try:
            await self.app(scope, _whole(receive, size), send)
        finally:
            self.coming -= size + ENTRY_BYTES

    async def _has_room(self, size: int, blocks: Any) -> bool:
        """Reserves ``size`` bytes; sweeps first if they do not fit."""
        size += ENTRY_BYTES
        async with self.lock:
            if self.taken + size > self.most:
                room = self.most - self.coming - size
                left = await asyncio.to_thread(sweep, needed_files(blocks), room)
                self.taken = left + self.coming
            if self.taken + size > self.most:
                return False
            self.taken += size
            self.coming += size
            return True


def _whole(receive: Receive, size: int) -> Receive:
    """A body of at most ``size`` bytes; one that breaks off, or is longer, is no form."""
    got, over = 0, False

    async def checked() -> Message:
        nonlocal got, over
        message = await receive()
        if message["type"] == "http.request":
            got, over = got + len(message.get("body", b"")), not message.get("more_body", False)
            if got > size:
                raise MultiPartException("The upload is larger than its maximum allowed size.")
        elif not over:
            raise MultiPartException("The upload broke off.")
        return message

    return checked


async def _drain(receive: Receive) -> None:
    """Reads what nobody wants: who is cut off while sending never sees the answer."""
    got, more = 0, True
    while more and got <= UPLOAD_BYTES:
        message = await receive()
        got += len(message.get("body", b""))
        more = message.get("more_body", False)


class NoCopies:
    """Asks the browser to keep no copy of what it fetches for a visitor, sound included.

    Args:
        app: Gradio's.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["cache-control"] = "no-store"
            await send(message)

        own = scope["type"] == "http" and f"{API_PREFIX}/" in scope["path"]
        await self.app(scope, receive, marked if own else send)
