"""List the routes of Gradio that the page uses; answer all others with 404."""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_ROUTES = {
    "page": (
        "GET /",
        "HEAD /",
        "GET /assets/{path:path}",
        "GET /static/{path:path}",
        "GET /theme.css",
        "GET /favicon.ico",
        "GET /manifest.json",
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
"""What for -> method and path, as Gradio writes them."""
_OPEN = [
    (method, compile_path(path)[0])
    for routes in OPEN_ROUTES.values()
    for method, path in map(str.split, routes)
]


class OnlyOpenRoutes:
    """Answer 404, as a middleware, to every request that is for none of ``OPEN_ROUTES``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand ``scope`` on if it is open, or the server's own start and end."""
        passed = scope["type"] == "lifespan" or is_open(scope)
        app = self.app if passed else PlainTextResponse("Not Found", 404)
        await app(scope, receive, send)


def is_open(scope: Scope) -> bool:
    """Tell whether a request is for an open route; none of them takes an address, nor a websocket.

    Gradio would fetch the address in ``file=https://...`` for whoever asks.
    """
    if scope["type"] != "http" or "://" in scope["path"]:
        return False
    path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
    return any(scope["method"] == method and route.match(path) for method, route in _OPEN)
