"""Test ``from_pretrained`` on a local fake Hub: revisions, refusals, network failures."""

import time

import pytest

from cry_model import CheckpointConfig, FrontEndConfig, save_checkpoint
from cry_model.checkpoint import CONFIG, WEIGHTS
from cry_model.hub import AGAIN
from tests.hub import READER, Answer, Repository, hub_client, running_hub

OLD, NEW = ["old", "older"], ["new", "newer", "newest"]
LOAD = """
from cry_model import CheckpointError, CryClassifier
try:
    classifier = CryClassifier.from_pretrained(arguments[0], revision=arguments[1] or None)
    answer = list(classifier.labels)
except CheckpointError as error:
    answer = str(error)
"""
PATCHED = "from unittest.mock import patch\nwith patch({}): exec({!r})"
IMPATIENT = PATCHED.format("'time.sleep'", LOAD)
OFFLINE = PATCHED.format("'huggingface_hub.constants.HF_HUB_OFFLINE', True", LOAD)
CHOOSE = """
from analysis.models import load_models
models, note = load_models(arguments[0])
answer = [list(models[0].classifier.labels), note]
"""


def files(folder, *labels):
    """Return file name -> bytes of a small checkpoint with these labels."""
    front_end, settings = FrontEndConfig(), {"channels": 32}
    config = CheckpointConfig("improved-ecapa-tdnn-no-mca", labels, front_end, settings=settings)
    save_checkpoint(folder, config.build(), config)
    return {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    old, new = files(home / "old", *OLD), files(home / "new", *NEW)
    refs = {"main": 2, "v1": 1, "trial/a": 1}
    with running_hub() as hub:
        hub.repositories = {
            "models/user/cry": Repository(commits=[{}, old, new], refs=refs),
            "models/user/secret": Repository(True, commits=[new]),
            "models/user/text": Repository(commits=[{"README.md": b"# Text"}]),
            "models/user/half": Repository(commits=[{CONFIG: new[CONFIG]}]),
            "models/user/cut": Repository(commits=[{**new, WEIGHTS: new[WEIGHTS][:-4]}]),
        }
        with hub_client(hub.url, home) as client:
            yield hub, client


@pytest.fixture
def hub(everything):
    everything[0].requests.clear()
    return everything[0]


@pytest.fixture
def load(everything, hub):
    def run(name, revision="", token=None, code=LOAD):
        answer = everything[1].python(code, name, revision, token=token)
        if isinstance(answer, str):
            assert len(answer.splitlines()) == 1
            assert name in answer or "cannot be read" in answer
            assert "http" not in answer
        return answer

    return run


@pytest.mark.parametrize(
    ("revision", "labels", "number"),
    [("", NEW, 2), ("v1", OLD, 1), ("trial/a", OLD, 1), (Repository.oid(1), OLD, 1)],
)
def test_a_revision_loads_its_own_files(hub, load, revision, labels, number):
    assert load("user/cry", revision) == labels
    asked = [line for line in hub.requests if WEIGHTS in line]
    assert all(Repository.oid(number) in line for line in asked)  # both files come from one commit
    hub.requests.clear()
    assert load("user/cry", revision, code=OFFLINE) == labels
    assert hub.requests == []


def test_a_private_repository_needs_a_token(load):
    assert "if it is private, log in with `hf auth login` or set HF_TOKEN" in load("user/secret")
    assert load("user/secret", token=READER) == NEW
    assert "rejects your token; log in" in load("user/text", token="hf_wrong")


@pytest.mark.parametrize(
    ("name", "revision", "words"),
    [
        ("user/nowhere", "", "neither a folder nor a model"),
        ("user/cry", "v9", "no branch, tag or commit 'v9'"),
        ("user/text", "", f"has no checkpoint: {CONFIG} or {WEIGHTS} is missing"),
        ("user/half", "", "has no checkpoint"),
        ("user/cut", "", "cannot be read"),
    ],
)
def test_missing_models_are_refused_in_one_sentence(load, name, revision, words):
    assert words in load(name, revision)
    if name == "user/nowhere":
        assert "the Hub cannot be reached" in load(name, code=OFFLINE)


@pytest.fixture
def broken(hub):
    """Yield the Hub and the name of a repository never fetched; then clear injected failures."""
    number = len(hub.repositories)
    hub.repositories[f"models/user/n{number}"] = Repository(
        commits=[hub.repositories["models/user/cry"].files()]
    )
    yield hub, f"user/n{number}"
    hub.fail, hub.always = {}, {}


PORTAL = Answer(200, b"<!doctype html><title>Log in</title>", ETag='"0"')
ELSEWHERE = Answer(302, b"", Location="http://127.0.0.1:9/login")


def pause(seconds):
    return Answer(429, b"", Retry_After=seconds)


FOREIGN, GONE = "is not the Hub's", "the Hub cannot be reached"


@pytest.mark.parametrize(
    ("method", "failure", "words"),
    [
        ("HEAD", PORTAL, FOREIGN),
        ("HEAD", ELSEWHERE, FOREIGN),
        ("HEAD", "lose", GONE),
        ("HEAD", 500, "the Hub answered 500"),
        ("HEAD", pause("86400"), "is busy; try again after 2"),
        ("HEAD", pause("30"), "is busy; try again in 30 s"),
        ("HEAD", pause("9" * 99), "is busy; try again after 2"),
        ("GET", PORTAL, FOREIGN),
        ("GET", "lose", GONE),
        ("GET", 502, "the Hub answered 502"),
    ],
)
def test_network_failures_are_reported_at_once(broken, load, method, failure, words):
    hub, name = broken
    hub.always = {f"{method} /{name}/": failure}
    started = time.monotonic()
    assert words in load(name)
    assert time.monotonic() - started < 10
    assert hub.count(f"{method} /{name}/") <= 2
    hub.always = {}
    assert load(name) == NEW


def test_a_broken_download_resumes_and_gives_up_in_the_end(broken, load):
    hub, name = broken
    hub.fail = {f"GET /{name}/": "half"}
    assert load(name, code=IMPATIENT) == NEW
    hub.repositories["models/user/never"] = hub.repositories[f"models/{name}"]
    hub.always = {"GET /user/never/": "half"}  # restarts each time and never completes
    assert "the connection to the Hub broke" in load("user/never", code=IMPATIENT)
    assert hub.count("GET /user/never/") == AGAIN


def test_cached_models_load_while_the_hub_fails(hub, load):
    fetched = load("user/cry")
    for failure in ("lose", 503, PORTAL, pause("86400")):
        hub.always = {"HEAD /user/cry/": failure}
        assert load("user/cry") == fetched
    hub.always = {}


def test_the_page_loads_the_configured_revision(everything):
    labels, note = everything[1].python(CHOOSE, "user/cry@v1")
    assert (labels, note) == (OLD, "The model user/cry@v1 answers first.")
