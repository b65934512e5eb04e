"""Guard the server: allow listed routes only, limit uploads, and forbid browser caching."""

from __future__ import annotations

import asyncio
import sys
import traceback
from pathlib import Path
from typing import Any

import plotly
from gradio.route_utils import API_PREFIX
from starlette.datastructures import Headers, MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analysis.uploads import ENTRY_BYTES, MOST_BYTES, needed_files, sweep

UPLOAD_BYTES = 200 * 2**20 + 2**16
"""Limit of an upload: a file of 200 MiB and its form. Assumed for uploads that state no size."""
FULL = "The server has no room for more files; please try again in a few minutes."
TOO_LARGE = "Uploads can have 200 MB at most; please send a smaller file."
ELSEWHERE = "Files are accepted only at the upload address; please send them there."


class UploadLimit:
    """Refuse uploads while there is no room, and end incomplete ones; an ASGI middleware.

    Gradio deletes a malformed upload, but not one that the visitor aborts. The middleware reports
    the latter as malformed, too. On other routes Gradio would spool form data to files outside its
    folder, so forms are refused there. At most ``most`` bytes may be stored.
    """

    def __init__(self, app: ASGIApp, most: int = MOST_BYTES):
        self.app, self.most = app, most
        self.coming = 0  # bytes of running uploads
        self.taken = 0  # bytes left by the last sweep, plus uploads since then or running
        self.lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI request."""
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
        """Reserve ``size`` bytes, sweeping first if they do not fit; return whether they fit."""
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
    """Pass on a body; raise MultiPartException if it is cut off or longer than ``size`` bytes."""
    got, over = 0, False

    async def checked() -> Message:
        nonlocal got, over
        message = await receive()
        if message["type"] == "http.request":
            got, over = got + len(message.get("body", b"")), not message.get("more_body", False)
            if got > size:
                raise MultiPartException("The upload is larger than its maximum allowed size.")
        elif not over:
            raise MultiPartException("The upload was cut off.")
        return message

    return checked


async def _drain(receive: Receive) -> None:
    """Read and discard the body: a client that is cut off while sending never sees the answer."""
    got, more = 0, True
    while more and got <= UPLOAD_BYTES:
        message = await receive()
        got += len(message.get("body", b""))
        more = message.get("more_body", False)


def _plotly(_: Request) -> FileResponse:
    path = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return FileResponse(path, headers={"cache-control": "public, max-age=86400"})


PLOTLY = Route("/plotly.min.js", _plotly)
"""Serves the Plotly.js version that belongs to the Python figures, rather than Gradio's."""
OPEN_ROUTES = {
    "page": (
        "GET /",
        "HEAD /",
        "GET /assets/{path:path}",
        "GET /static/{path:path}",
        "GET /theme.css",
        "GET /favicon.ico",
        "GET /manifest.json",
        "GET /pwa_icon",
        "GET /pwa_icon/{size}",
        "GET /plotly.min.js",
    ),
    "start": ("GET /gradio_api/startup-events",),
    "upload": ("POST /gradio_api/upload", "GET /gradio_api/upload_progress"),
    "player": ("GET /gradio_api/file={path_or_url:path}",),
    "answers": ("POST /gradio_api/queue/join", "GET /gradio_api/queue/data"),
    "unqueued": ("POST /gradio_api/run/{api_name}",),
    "cancel": ("POST /gradio_api/cancel", "POST /gradio_api/reset"),
    "session": ("GET /gradio_api/heartbeat/{session_hash}",),
    "reconnect": ("GET /gradio_api/app_id",),
    "live": ("POST /gradio_api/component_server/",),
    "clients": ("GET /config", "GET /gradio_api/info"),
    "curl": ("POST /gradio_api/call/{api_name}", "GET /gradio_api/call/{api_name}/{event_id}"),
}
"""Purpose -> methods and paths, as Gradio writes them."""
_OPEN = [
    (method, compile_path(path)[0])
    for routes in OPEN_ROUTES.values()
    for method, path in map(str.split, routes)
]


class OnlyOpenRoutes:
    """Answer 404 to every request outside ``OPEN_ROUTES``; an ASGI middleware.

    It also forbids the browser to store API responses, audio included.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests for open routes, and the server's startup and shutdown events."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["cache-control"] = "no-store"
            await send(message)

        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif is_open(scope):
            own = f"{API_PREFIX}/" in scope["path"]
            await self.app(scope, receive, marked if own else send)
        else:
            await PlainTextResponse("Not Found", 404)(scope, receive, send)


def is_open(scope: Scope) -> bool:
    """Return whether a request is for an open route; none accepts a URL or a websocket.

    Gradio would fetch the URL in ``file=https://...`` for any client.
    """
    if scope["type"] != "http" or "://" in scope["path"]:
        return False
    path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
    return any(scope["method"] == method and route.match(path) for method, route in _OPEN)


def leave_no_traces() -> None:
    """Keep audio out of core dumps, and file names out of the tracebacks that Gradio prints.

    A decoder crash would write the process memory to a file. An error message may repeat what
    the visitor sent.
    """
    traceback.print_exc = _print_without_message
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _print_without_message(*_: Any, **__: Any) -> None:
    """Print the location and type of the current exception."""
    kind, _, place = sys.exc_info()
    if kind is not None:
        told = "".join(traceback.format_tb(place))
        print(f"Traceback (most recent call last):\n{told}{kind.__name__}", file=sys.stderr)
