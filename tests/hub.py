"""A Hugging Face Hub in memory, over real HTTP, for the real client.

It knows repositories with commits, branches and variables, tokens with and without the right to
write, large files with their checksum, and it can fail once where a test says so.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

WRITER, READER = "hf_writer", "hf_reader"
ROLES = {WRITER: "write", READER: "read"}
LARGE = (".safetensors", ".wav", ".png")


@dataclass
class Repository:
    """Commits oldest first, each with all its files: path -> content."""

    private: bool = False
    sdk: str | None = None
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b""}])
    refs: dict[str, int] = field(default_factory=lambda: {"main": 0})
    variables: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def oid(number: int) -> str:
        """The name of a commit: 40 hexadecimal digits."""
        return hashlib.sha1(f"commit {number}".encode()).hexdigest()

    def find(self, revision: str) -> int | None:
        """The number of the commit that a branch, a tag or its own name means."""
        oids = {self.oid(number): number for number in range(len(self.commits))}
        return self.refs.get(revision, oids.get(revision))

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """The files of one revision."""
        return self.commits[self.find(revision)]


@dataclass
class Hub:
    """The state that tests look at.

    Attributes:
        url: where it answers.
        repositories: "models/user/name" or "spaces/user/name" -> repository.
        requests: "METHOD /path" of all that came in.
        fail: part of a request's line -> what to do the next time: a status, another answer, "cut"
            (close the connection in the middle of the body), "half" (in the middle of the answer),
            or "lose" (do it, close before answering).
        always: the same for every such request.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    fail: dict[str, int | str | Answer] = field(default_factory=dict)
    always: dict[str, int | str | Answer] = field(default_factory=dict)

    def count(self, part: str) -> int:
        """How many requests had ``part`` in their line."""
        return sum(part in line for line in self.requests)

    def reset(self) -> None:
        """An empty Hub again."""
        for state in (self.repositories, self.large, self.requests, self.fail, self.always):
            state.clear()


class Answer(Exception):
    """Ends a request: a status, a body and the Hub's own headers."""

    def __init__(self, status: int, body: object = b"", **headers: str):
        self.status, self.headers = status, {k.replace("_", "-"): v for k, v in headers.items()}
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


def git_oid(content: bytes) -> str:
    """As git names a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def stored_oid(path: str, content: bytes) -> str:
    """As the Hub names a file: git's way, or by SHA-256 if it is large."""
    return hashlib.sha256(content).hexdigest() if path.endswith(LARGE) else git_oid(content)


class Handler(BaseHTTPRequestHandler):
    """One request; the class attribute ``hub`` is the state."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def answer(self):
        line = f"{self.command} {urlsplit(self.path).path}"
        self.hub.requests.append(line)
        planned = next((part for part in self.hub.fail if part in line), None)
        failure = self.hub.fail.pop(planned, None) if planned else None
        if failure is None:
            failure = next((f for part, f in self.hub.always.items() if part in line), None)
        length = int(self.headers.get("Content-Length", 0))
        if failure == "cut":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        try:
            if isinstance(failure, Answer):
                raise failure
            if isinstance(failure, int):
                raise Answer(failure, {"error": "planned"})
            path = urlsplit(self.path).path.strip("/").split("/")
            self.route([unquote(part) for part in path], body)
        except Answer as answer:
            if failure == "lose":
                self.close_connection = True
                return
            self.send_response(answer.status)
            for key, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                half = len(answer.body) // 2 if failure == "half" else len(answer.body)
                self.wfile.write(answer.body[:half])
                self.close_connection = failure == "half"

    do_GET = do_HEAD = do_POST = do_PUT = answer

    # Who asks

    def token(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token not in (None, *ROLES):
            raise Answer(401, {"error": "Invalid credentials in Authorization header"})
        return token

    def must_write(self) -> None:
        if self.token() != WRITER:
            raise Answer(403, {"error": "You don't have the rights"}, X_Error_Message="Forbidden")

    def repository(self, key: str) -> Repository:
        token, repository = self.token(), self.hub.repositories.get(key)
        if repository is None or (repository.private and token is None):
            raise Answer(404 if token else 401, X_Error_Code="RepoNotFound")
        return repository

    # What is asked for

    def route(self, path: list[str], body: bytes) -> None:
        match (self.command, *path):
            case ("GET", "api", "whoami-v2"):
                if self.token() is None:
                    raise Answer(401)
                auth = {"type": "access_token", "accessToken": {"role": ROLES[self.token()]}}
                raise Answer(200, {"name": "user", "type": "user", "orgs": [], "auth": auth})
            case ("POST", "api", "validate-yaml"):
                raise Answer(200, {"errors": [], "warnings": []})
            case ("POST", "api", "repos", "create"):
                self.create(json.loads(body))
            case ("PUT", "upload", oid):
                if hashlib.sha256(body).hexdigest() != oid:
                    raise Answer(400, {"error": "checksum"})
                self.hub.large[oid] = body
                raise Answer(200)
            case ("POST", *_, "info", "lfs", "objects", "batch"):
                self.must_write()
                self.batch(json.loads(body))
            case (("GET" | "HEAD"), user, name, "resolve", revision, *file):
                self.resolve(self.repository(f"models/{user}/{name}"), revision, "/".join(file))
            case (_, "api", ("models" | "spaces") as kind, user, name, *rest):
                self.api(f"{kind}/{user}/{name}", rest, body)
        raise Answer(404, {"error": f"unknown: {self.command} {self.path}"})

    def create(self, wanted: dict) -> None:
        self.must_write()
        kind = wanted.get("type", "model") + "s"
        key = f"{kind}/{wanted['organization']}/{wanted['name']}"
        url = f"{self.hub.url}/{key.removeprefix('models/')}"
        if key in self.hub.repositories:
            raise Answer(409, {"url": url, "error": "You already created this repo"})
        private = wanted.get("visibility") == "private"
        self.hub.repositories[key] = Repository(private, wanted.get("sdk"))
        raise Answer(200, {"url": url})

    def batch(self, wanted: dict) -> None:
        objects = []
        for item in wanted["objects"]:
            upload = {"upload": {"href": f"{self.hub.url}/upload/{item['oid']}"}}
            objects.append(item if item["oid"] in self.hub.large else {**item, "actions": upload})
        raise Answer(200, {"transfer": "basic", "objects": objects})

    def resolve(self, repository: Repository, revision: str, file: str) -> None:
        number = repository.find(revision)
        if number is None:
            raise Answer(404, X_Error_Code="RevisionNotFound")
        commit = {"X_Repo_Commit": repository.oid(number)}
        content = repository.commits[number].get(file)
        if content is None:
            raise Answer(404, X_Error_Code="EntryNotFound", **commit)
        raise Answer(200, content, ETag=f'"{stored_oid(file, content)}"', **commit)

    def api(self, key: str, rest: list[str], body: bytes) -> None:
        repository = self.repository(key)
        if self.command == "POST":
            self.must_write()
        match (self.command, *rest):
            case ("GET",) | ("GET", "revision", _):
                number = repository.find(rest[1] if rest else "main")
                if number is None:
                    raise Answer(404, X_Error_Code="RevisionNotFound")
                sha = repository.oid(number)
                raise Answer(200, {"id": "x/y", "sha": sha, "private": repository.private})
            case ("GET", "tree", revision):
                files = repository.files(revision).items()
                raise Answer(
                    200,
                    [
                        {"type": "file", "path": p, "size": len(c), "oid": git_oid(c)}
                        for p, c in files
                    ],
                )
            case ("POST", "preupload", revision):
                self.preupload(repository.files(revision), json.loads(body)["files"])
            case ("POST", "commit", revision):
                self.commit(key, revision, body)
            case ("POST", "variables"):
                change = json.loads(body)
                repository.variables[change["key"]] = change["value"]
        if rest == ["variables"]:
            raise Answer(200, {k: {"value": v} for k, v in repository.variables.items()})

    def preupload(self, present: dict[str, bytes], wanted: list[dict]) -> None:
        files = []
        for path in (file["path"] for file in wanted):
            mode = "lfs" if path.endswith(LARGE) else "regular"
            info = {"path": path, "uploadMode": mode, "shouldIgnore": False}
            if path in present:
                info["oid"] = stored_oid(path, present[path])
            files.append(info)
        raise Answer(200, {"files": files})

    def commit(self, key: str, revision: str, body: bytes) -> None:
        repository = self.hub.repositories[key]
        files = dict(repository.files(revision))
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        repository.commits.append(files)
        repository.refs[revision] = len(repository.commits) - 1
        oid = repository.oid(repository.refs[revision])
        address = f"{self.hub.url}/{key.removeprefix('models/')}/commit/{oid}"
        raise Answer(200, {"commitUrl": address, "commitOid": oid})


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    """Starts one on a free port and stops it at the end."""
    hub = Hub()
    handler = type("HubHandler", (Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
