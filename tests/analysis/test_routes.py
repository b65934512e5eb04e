"""Check that only the listed routes of Gradio respond, however the path is spelt."""

import contextlib
import http.client
import json
import multiprocessing
import re
from urllib.parse import quote, urlsplit

import fastapi.routing
import gradio as gr
import httpx
import pytest
from gradio.routes import App
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse

from analysis.page import launch_options
from analysis.server import OPEN_ROUTES

API = "/gradio_api"
OPEN = [route for routes in OPEN_ROUTES.values() for route in routes]
# Some routes that exist and must not respond, so that the test cannot pass on an empty list.
CLOSED = {
    *(f"POST {API}/process_recording", f"POST {API}/vibe-code/", "POST /login"),
    *(f"GET {API}/deep_link", f"GET {API}/run-history/records", "GET /monitoring/{key}"),
    *(f"GET {API}/proxy={{url_path:path}}", f"GET {API}/file/{{path:path}}", "GET /openapi.json"),
}


def ask(server, request, **headers):
    """Send ``"METHOD /path"`` verbatim; return status and body."""
    method, path = request.split(" ", 1)
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {"Content-Length": "0", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_unlisted_routes_give_404(server):
    app = App.create_app(gr.Blocks(), app_kwargs=launch_options()["app_kwargs"])
    # Newer versions of FastAPI list the routes of an included router only there.
    routes = getattr(fastapi.routing, "iter_route_contexts", iter)(app.routes)
    served = {
        f"{method} {route.path}"
        for route in routes
        for method in getattr(route, "methods", None) or ("GET", "POST")
    }
    assert CLOSED | set(OPEN) <= served
    assert len(set(OPEN)) == len(OPEN)
    walked = served - set(OPEN)
    answers = {route: ask(server, re.sub("{.*?}", "x", route)) for route in walked}
    there = {r: a for r, a in answers.items() if a not in ((404, b"Not Found"), (404, b""))}
    assert there == {}
    assert len(walked) > len(OPEN)


def variants(path):
    """Return spellings of a path that might bypass the list."""
    last = path.rsplit("/", 1)[1]
    prefixes = ("/", "/assets/..", "/static/%2e%2e", "/config", "/config/..", "http://127.0.0.1")
    suffixes = ("", "/", "//", "%00", "%0a", "%20", ";x", "?x=/config", "%3f")
    return (
        *(path + end for end in suffixes),
        *(start + path for start in (*prefixes, API, API + API, API + "/upload/..")),
        *(path.replace("/", slash) for slash in ("//", "/./", "\\", "%5c")),
        *(start + path[1:] for start in ("/assets/..%2f", "/%2f")),
        path.removeprefix(API),
        path.upper(),
        path.replace("/gradio_api", "/Gradio_API"),
        path.replace(last, last.capitalize()),
        path[0] + path[1:].replace("/", "%2f"),
        path[0] + quote(path[1:]).replace("r", "%72"),
    )


@pytest.mark.parametrize(
    "target",
    [f"{API}/process_recording", f"{API}/dev/reload", "/monitoring/summary", "/openapi.json"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_spelling_of_a_path_bypasses_the_list(server, target, method):
    allowed = ("/assets/", "/static/")  # Gradio itself finds no such file there
    for path in variants(target):
        status, body = ask(server, f"{method} {path}")
        if method == "GET" and path.startswith(allowed):
            assert status in (403, 404), path
        else:
            assert (status, body) == (404, b"Not Found"), path


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO")


@pytest.mark.parametrize("path", [f"{API}/process_recording", "/config", f"{API}/upload"])
def test_unlisted_methods_give_404(server, path):
    answers = {m: ask(server, f"{m} {path}")[0] for m in METHODS if f"{m} {path}" not in OPEN}
    assert answers == dict.fromkeys(answers, 404)
    assert ask(server, f"CONNECT {path}")[0] in (400, 404)
    # Gradio answers a preflight before routing, alike for existing and missing paths.
    headers = {"Origin": "https://elsewhere.test", "Access-Control-Request-Method": "POST"}
    preflights = {ask(server, f"OPTIONS {asked}", **headers) for asked in (path, f"{API}/nonsense")}
    assert len(preflights) == 1


@pytest.mark.parametrize("route", ["file=", "proxy=", "file/"])
def test_no_url_is_fetched_for_a_visitor(server, route):
    for address in (f"{server.url}/config", "https://example.org/x.wav"):
        for spelt in (address, quote(address, safe="")):
            assert ask(server, f"GET {API}/{route}{spelt}") == (404, b"Not Found")


@pytest.fixture
def below():
    """Return a function that serves given routes behind the middleware of the page."""
    middleware = launch_options()["app_kwargs"]["middleware"]
    return lambda routes, **to: TestClient(Starlette(routes=routes, middleware=middleware), **to)


def there(request):
    return PlainTextResponse("there")


async def talk(socket):
    await socket.accept()


def test_routes_added_by_a_newer_gradio_stay_closed(below):
    new = [Route("/new", there), WebSocketRoute("/socket", talk), Route("/config", there)]
    routes = [*new, Mount("/mounted", routes=new), Mount(API, routes=new)]
    page = below(routes)
    assert page.get("/config").text == "there"
    for path in ("/new", "/mounted/new", "/mounted/config", f"{API}/new", f"{API}/config"):
        assert page.get(path).status_code == 404
    for path in ("/socket", "/mounted/socket", f"{API}/socket", "/config"):
        with pytest.raises(WebSocketDenialResponse), page.websocket_connect(path):
            pass


@pytest.mark.parametrize("path", ["/cry/config", "/config"])
def test_routes_work_below_a_prefix(below, path):
    page = below([Route("/config", there), Route("/new", there)], root_path="/cry")
    assert page.get(path).text == "there"
    assert page.get(path.replace("config", "new")).status_code == 404


def test_queue_cannot_be_bypassed(server):
    """Refuse to run a queued function directly, which Gradio allows outside of a Space."""
    config = json.loads(ask(server, "GET /config")[1])
    queued = [d for d in config["dependencies"] if d["queue"] is not False and d["backend_fn"]]
    assert queued
    for dependency in queued:
        body = {"data": [None] * len(dependency["inputs"]), "fn_index": dependency["id"]}
        for name in {"predict", dependency["api_name"] or "predict"}:
            told = httpx.post(f"{server.url}{API}/run/{name}", json=body, timeout=60)
            assert told.status_code == 404, dependency["api_name"]


def test_no_second_server_is_started(monkeypatch):
    """Start none even if the environment asks for it: it would have routes of its own."""
    monkeypatch.setenv("GRADIO_SSR_MODE", "true")
    monkeypatch.setenv("GRADIO_NUM_WORKERS", "1")
    before = multiprocessing.active_children()
    with gr.Blocks(analytics_enabled=False) as page:
        gr.HTML("")
    try:
        page.launch(prevent_thread_lock=True, quiet=True, **launch_options())
        assert not page.ssr_mode
        assert multiprocessing.active_children() == before
    finally:
        page.close()
