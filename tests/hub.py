"""Simulate the Hugging Face Hub in memory, over HTTP, and run the real client in a subprocess.

It has repositories with commits, branches and variables, read and write tokens, and large files
with checksums. A test can make chosen requests fail, once or always.
"""

import base64
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

from tests.server import ROOT

WRITER, READER = "hf_writer", "hf_reader"
ROLES = {WRITER: "write", READER: "read"}
LARGE = (".safetensors", ".wav", ".png")


class Answer(Exception):
    """End a request with a status, a body and the Hub's own headers."""

    def __init__(self, status, body=b"", **headers):
        self.status, self.headers = status, {k.replace("_", "-"): v for k, v in headers.items()}
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


@dataclass
class Repository:
    """Store commits, oldest first; each has all its files: path -> content."""

    private: bool = False
    sdk: str | None = None
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b""}])
    refs: dict[str, int] = field(default_factory=lambda: {"main": 0})
    variables: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def oid(number):
        """Return the hash of a commit: 40 hexadecimal digits."""
        return hashlib.sha1(f"commit {number}".encode()).hexdigest()

    def find(self, revision):
        """Return the number of the commit of a branch, tag or hash; answer 404 if there is none."""
        oids = {self.oid(number): number for number in range(len(self.commits))}
        number = self.refs.get(revision, oids.get(revision))
        if number is None:
            raise Answer(404, X_Error_Code="RevisionNotFound")
        return number

    def files(self, revision="main"):
        return self.commits[self.find(revision)]


@dataclass
class Hub:
    """Store the state of the Hub, for tests to inspect and change.

    ``fail`` (once) and ``always`` map part of a request line to a failure: a status, an Answer,
    "cut" (close the connection in the middle of the request body), "half" (in the middle of the
    answer) or "lose" (after doing the work, before answering).
    """

    url: str = ""
    repositories: dict = field(default_factory=dict)  # "models/user/name", ... -> Repository
    large: dict = field(default_factory=dict)  # SHA-256 -> content
    requests: list = field(default_factory=list)  # "METHOD /path" of each one received
    fail: dict = field(default_factory=dict)
    always: dict = field(default_factory=dict)

    def count(self, part):
        """Return how many request lines contained ``part``."""
        return sum(part in line for line in self.requests)

    def reset(self):
        self.__init__(self.url)

    def failure(self, line):
        """Return the failure planned for this request line, if any, and use up one in ``fail``."""
        planned = next((part for part in self.fail if part in line), None)
        always = next((what for part, what in self.always.items() if part in line), None)
        return self.fail.pop(planned, always)


def git_oid(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def stored_oid(path, content):
    """Return a file's ID on the Hub: its git hash, or its SHA-256 if it is large."""
    return hashlib.sha256(content).hexdigest() if path.endswith(LARGE) else git_oid(content)


class Handler(BaseHTTPRequestHandler):
    """Handle one request; ``server.hub`` is the state."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        self.hub, path = self.server.hub, urlsplit(self.path).path
        line = f"{self.command} {path}"
        self.hub.requests.append(line)
        failure, length = self.hub.failure(line), int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length // 2 if failure == "cut" else length)
        try:
            if isinstance(failure, Answer):
                raise failure
            if isinstance(failure, int):
                raise Answer(failure, {"error": "planned"})
            if failure != "cut":
                found = self.route([unquote(part) for part in path.strip("/").split("/")], body)
                raise Answer(200, found)
        except Answer as answer:
            if failure != "lose":
                self.send(answer, half=failure == "half")
        self.close_connection |= isinstance(failure, str)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def send(self, answer, half):
        self.send_response(answer.status)
        for key, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: len(answer.body) // 2] if half else answer.body)

    # Authentication

    def token(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token not in (None, *ROLES):
            raise Answer(401, {"error": "Invalid credentials in Authorization header"})
        return token

    def must_write(self):
        if self.token() != WRITER:
            raise Answer(403, {"error": "You don't have the rights"}, X_Error_Message="Forbidden")

    def repository(self, key):
        token, repository = self.token(), self.hub.repositories.get(key)
        if repository is None or (repository.private and token is None):
            raise Answer(404 if token else 401, X_Error_Code="RepoNotFound")
        return repository

    # Endpoints; each returns the body of the answer

    def route(self, path, body):
        match (self.command, *path):
            case ("GET", "api", "whoami-v2"):
                if self.token() is None:
                    raise Answer(401)
                auth = {"type": "access_token", "accessToken": {"role": ROLES[self.token()]}}
                return {"name": "user", "type": "user", "orgs": [], "auth": auth}
            case ("POST", "api", "validate-yaml"):
                return {"errors": [], "warnings": []}
            case ("POST", "api", "repos", "create"):
                return self.create(json.loads(body))
            case ("PUT", "upload", oid):
                if hashlib.sha256(body).hexdigest() != oid:
                    raise Answer(400, {"error": "checksum"})
                self.hub.large[oid] = body
                return b""
            case ("POST", *_, "info", "lfs", "objects", "batch"):
                self.must_write()
                objects = [self.large_file(item) for item in json.loads(body)["objects"]]
                return {"transfer": "basic", "objects": objects}
            case (("GET" | "HEAD"), user, name, "resolve", revision, *file):
                self.resolve(self.repository(f"models/{user}/{name}"), revision, "/".join(file))
            case ("GET", "api", ("models" | "spaces") as kind, user, name, *rest):
                return self.look(self.repository(f"{kind}/{user}/{name}"), *rest)
            case ("POST", "api", ("models" | "spaces") as kind, user, name, what, *revision):
                self.must_write()
                return self.change(f"{kind}/{user}/{name}", what, body, *revision)
        raise Answer(404, {"error": f"unknown: {self.command} {self.path}"})

    def create(self, wanted):
        self.must_write()
        key = f"{wanted.get('type', 'model')}s/{wanted['organization']}/{wanted['name']}"
        url = f"{self.hub.url}/{key.removeprefix('models/')}"
        if key in self.hub.repositories:
            raise Answer(409, {"url": url, "error": "You already created this repo"})
        private = wanted.get("visibility") == "private"
        self.hub.repositories[key] = Repository(private, wanted.get("sdk"))
        return {"url": url}

    def large_file(self, item):
        """Return the item, with an upload address unless it is already stored."""
        upload = {"upload": {"href": f"{self.hub.url}/upload/{item['oid']}"}}
        return item if item["oid"] in self.hub.large else {**item, "actions": upload}

    def resolve(self, repository, revision, file):
        number = repository.find(revision)
        commit, content = {"X_Repo_Commit": Repository.oid(number)}, repository.commits[number]
        if file not in content:
            raise Answer(404, X_Error_Code="EntryNotFound", **commit)
        etag = f'"{stored_oid(file, content[file])}"'
        raise Answer(200, content[file], ETag=etag, **commit)

    def look(self, repository, what="revision", revision="main"):
        if what == "variables":
            return {key: {"value": value} for key, value in repository.variables.items()}
        if what == "tree":
            files = repository.files(revision).items()
            return [
                {"type": "file", "path": path, "size": len(content), "oid": git_oid(content)}
                for path, content in files
            ]
        sha = Repository.oid(repository.find(revision))
        return {"id": "x/y", "sha": sha, "private": repository.private}

    def change(self, key, what, body, revision="main"):
        repository = self.repository(key)
        if what == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            return {"files": [upload_mode(path, repository.files(revision)) for path in paths]}
        if what == "variables":
            variable = json.loads(body)
            repository.variables[variable["key"]] = variable["value"]
            return {}
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
        oid = Repository.oid(repository.refs[revision])
        address = f"{self.hub.url}/{key.removeprefix('models/')}/commit/{oid}"
        return {"commitUrl": address, "commitOid": oid}


def upload_mode(path, present):
    mode = "lfs" if path.endswith(LARGE) else "regular"
    info = {"path": path, "uploadMode": mode, "shouldIgnore": False}
    return {**info, "oid": stored_oid(path, present[path])} if path in present else info


@contextlib.contextmanager
def running_hub():
    """Run the Hub on a free port; stop it on exit."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.hub = Hub(f"http://127.0.0.1:{server.server_port}")
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.hub
        finally:
            server.shutdown()


TRAIN = "from train.__main__ import main\nanswer = main(arguments)"


@dataclass(frozen=True)
class HubClient:
    """Run ``python -m train ...`` or a few lines of Python against the simulated Hub.

    ``huggingface_hub`` reads its address, cache and other settings on import. Importing torch takes
    seconds, so one process serves all tests of a file; a request is one line of JSON.
    """

    process: subprocess.Popen

    def train(self, *arguments, token):
        """Run a command; return its ``status`` and what it printed, ``out`` and ``err``."""
        status, out, err = self._run(TRAIN, [str(one) for one in arguments], token)
        return SimpleNamespace(status=status, out=out, err=err)

    def python(self, code, *arguments, token=None):
        """Run ``code`` with these ``arguments``; return its variable ``answer``, passed as JSON."""
        return self._run(code, arguments, token)[0]

    def _run(self, *request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the client's process ended"
        return json.loads(line)


def environment(url, home, **more):
    """Return environment variables that make the real client use only the Hub at ``url``."""
    names = ("HF_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "CRY_MODEL")
    kept = {k: v for k, v in os.environ.items() if k not in names}
    ours = {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    return {**kept, **ours, **quiet, **more}


@contextlib.contextmanager
def hub_client(url, home):
    """Start the process; end it on exit."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "tests.hub"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(url, home), **pipes) as process:
        yield HubClient(process)
        process.stdin.close()


if __name__ == "__main__":
    answers = sys.stdout
    for line in sys.stdin:
        code, arguments, token = json.loads(line)
        os.environ["HF_TOKEN"] = token or ""
        out, err, names = io.StringIO(), io.StringIO(), {"arguments": arguments}
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            exec(code, names)
        print(json.dumps([names["answer"], out.getvalue(), err.getvalue()]), file=answers)
        answers.flush()
