"""``python -m train publish`` on a Hub of our own: what arrives, what is refused, what fails."""

import time

import pytest
from huggingface_hub.utils import get_session

from cry_model.checkpoint import CONFIG, DEFAULT, WEIGHTS
from tests.hub import LIMITED, READER, WRITER, Answer
from train.publish import hub as train_hub
from train.publish.hub import PublishError, retry

CARD = "README.md"
COMPARE = """
from cry_model import CryClassifier
local, remote = (CryClassifier.from_pretrained(name) for name in arguments[:2])
answer = [c.predict(arguments[2]).probabilities for c in (local, remote)]
"""


@pytest.fixture
def publish(everything, hub):
    def run(*options, repo_id="user/cry", token=WRITER, checkpoint=DEFAULT):
        arguments = ("publish", checkpoint, "--repo-id", repo_id, *options)
        return everything[1].train(*arguments, token=token)

    return run


def refused(done, *words):
    """Status 2 and one sentence with these words."""
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1, done.err
    for word in words:
        assert word in done.err
    return True


def complete(hub, repo_id="user/cry", commits=2):
    """Whether exactly the checkpoint and its card are there, in one commit after the first."""
    repository = hub.repositories[f"models/{repo_id}"]
    files = repository.files()
    assert set(files) == {".gitattributes", CONFIG, WEIGHTS, CARD}
    assert files[WEIGHTS] == (DEFAULT / WEIGHTS).read_bytes()
    assert files[CONFIG] == (DEFAULT / CONFIG).read_bytes()
    assert len(repository.commits) == commits
    return True


def test_what_is_published_is_downloaded_and_answers_alike_to_the_bit(
    everything, hub, publish, examples
):
    done = publish("--private")
    assert done.status == 0, done.err
    assert complete(hub)
    assert hub.repositories["models/user/cry"].private
    assert f"{hub.url}/user/cry/commit/" in done.out
    example = str(examples / "synthetic_rhythmic.wav")
    local, remote = everything[1].python(COMPARE, str(DEFAULT), "user/cry", example, token=READER)
    assert local == remote
    assert len(set(local.values())) == 6


def test_the_card_that_is_published_is_the_one_that_a_dry_run_shows(hub, publish):
    shown = publish("--dry-run").out
    assert hub.requests == []
    publish()
    card = hub.repositories["models/user/cry"].files()[CARD].decode()
    assert card in shown


def test_a_dry_run_lists_files_with_sizes_and_needs_no_token(hub, publish):
    done = publish("--dry-run", token=None)
    assert done.status == 0
    assert f"{(DEFAULT / WEIGHTS).stat().st_size:,} bytes" in done.out
    assert hub.requests == []


def test_without_a_token_nothing_is_asked(hub, publish):
    assert refused(publish(token=None), "no access token", "hf auth login", "HF_TOKEN")
    assert hub.requests == []


def test_with_a_refused_token_nothing_is_created(hub, publish):
    assert refused(publish(token="hf_wrong"), "refused the access token", "hf auth login")
    assert (hub.count("whoami"), hub.count("POST")) == (1, 0)
    assert hub.repositories == {}


def test_a_token_that_may_only_read_is_refused(hub, publish):
    assert refused(publish(token=READER), "may only read", "write access")
    assert (hub.count("whoami"), hub.count("POST")) == (1, 0)


def test_a_token_that_may_write_elsewhere_only_is_refused(hub, publish):
    assert refused(publish(token=LIMITED), "no permission", "user/cry")
    assert hub.repositories == {}
    publish()
    before = hub.count("POST")
    assert refused(publish("--revision", "other", token=LIMITED), "no permission")
    assert hub.count("POST") == before + 2  # create and branch, once each
    assert complete(hub)


@pytest.mark.parametrize("repo_id", ["cry", "a/b/c", "user/../x", "user/cry.git", "us er/cry", ""])
def test_a_name_that_the_hub_would_not_take_is_refused_here(hub, publish, repo_id):
    assert refused(publish(repo_id=repo_id), "no name for a repository", "user/name")
    assert hub.requests == []


def test_a_damaged_checkpoint_is_refused_before_anything_is_created(hub, publish, tmp_path):
    (tmp_path / CONFIG).write_bytes((DEFAULT / CONFIG).read_bytes())
    (tmp_path / WEIGHTS).write_bytes((DEFAULT / WEIGHTS).read_bytes()[:-4])
    assert refused(publish(checkpoint=tmp_path), "weights", "cannot be read")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("request_line", "failure"),
    [
        ("PUT /upload/", "cut"),
        ("/commit/", "cut"),
        ("/commit/", "lose"),
        ("repos/create", "lose"),
        ("repos/create", 503),
        ("/commit/", 500),
        ("whoami", 502),
    ],
)
def test_a_failure_that_passes_is_tried_again(hub, publish, request_line, failure):
    hub.fail[request_line] = failure
    done = publish()
    assert done.status == 0, done.err
    assert hub.fail == {}
    assert complete(hub)


@pytest.mark.parametrize("status", [400, 402, 404])
def test_a_refusal_is_not_tried_again(hub, publish, status):
    hub.fail["/commit/"] = status
    assert refused(publish())
    assert hub.count("/commit/") == 1


def test_publishing_again_sends_and_commits_nothing(hub, publish):
    publish()
    uploads = hub.count("PUT")
    done = publish()
    assert done.status == 0
    assert complete(hub)
    assert hub.count("PUT") == uploads == 1


def test_a_branch_is_made_and_the_main_one_left_alone(hub, publish):
    assert publish("--revision", "trial").status == 0
    repository = hub.repositories["models/user/cry"]
    assert set(repository.files()) == {".gitattributes"}
    assert WEIGHTS in repository.files("trial")


def test_what_should_be_private_is_not_sent_into_a_public_repository(hub, publish):
    publish()
    assert refused(publish("--private"), "public", "settings")
    assert hub.count("/commit/") == 1


@pytest.fixture
def quick(everything):
    """The client with pauses that a test can wait for."""
    code = "import train.publish.hub; train.publish.hub.PAUSES, answer = {}, None"
    everything[1].python(code.format((0.01, 0.02, 0.03)))
    yield
    everything[1].python(code.format(train_hub.PAUSES))


PORTAL = b"<!doctype html><title>Log in to the train's network</title>"
WRONG = b"""{"name": 5, "url": 5, "private": "no", "files": [5], "objects": 5, "sha": [],
"commitUrl": 5, "commitOid": [], "errors": 5, "warnings": 5, "auth": []}"""


@pytest.mark.parametrize(
    "request_line",
    [
        "whoami",
        "repos/create",
        "GET /api/models/user/cry",
        "validate-yaml",
        "/preupload/",
        "objects/batch",
        "/commit/",
    ],
)
@pytest.mark.parametrize("body", [b"[]", b"", b"null", b'{"url": "htt', PORTAL, WRONG])
def test_what_does_not_speak_as_the_hub_is_one_sentence(hub, publish, request_line, body):
    hub.fail[request_line] = Answer(200, body)
    assert refused(publish("--private"))
    assert hub.fail == {}
    commits = [c for r in hub.repositories.values() for c in r.commits]
    assert all(set(files) == {".gitattributes"} for files in commits)
    assert publish("--private").status == 0
    assert complete(hub)


@pytest.mark.parametrize("body", [b"{}", b"[]", PORTAL, b'{"error": "You already created it"}'])
def test_a_conflict_without_an_address_is_one_sentence(hub, publish, body):
    hub.fail["repos/create"] = Answer(409, body)
    assert refused(publish(), "creating user/cry")


def test_an_upload_that_never_reached_the_hub_is_not_committed(hub, publish, quick):
    hub.always["PUT /upload/"] = Answer(200, PORTAL)
    done = publish()
    assert (done.status, "Traceback" in done.err) == (2, False)
    assert hub.repositories["models/user/cry"].commits == [{".gitattributes": b""}]


def test_a_repository_that_may_be_public_is_sent_nothing_private(hub, publish):
    hub.fail["GET /api/models/user/cry"] = Answer(200, {"id": "user/cry", "sha": "0" * 40})
    assert refused(publish("--private"), "does not say whether user/cry is private")
    assert hub.count("/commit/") == 0


def test_what_the_repository_ignores_is_missed(hub, publish):
    ignored = {"path": WEIGHTS, "uploadMode": "lfs", "shouldIgnore": True}
    others = [
        {"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in (CARD, CONFIG)
    ]
    hub.fail["/preupload/"] = Answer(200, {"files": [ignored, *others]})
    assert refused(publish(), f"user/cry lacks {WEIGHTS}", ".gitignore")


@pytest.mark.parametrize("failure", ["cut", 503, 429])
@pytest.mark.parametrize("request_line", ["whoami", "/preupload/", "PUT /upload/", "/commit/"])
def test_one_layer_tries_again_and_says_so(hub, publish, quick, request_line, failure):
    hub.always[request_line] = failure
    done = publish()
    *waits, sentence = done.err.strip().splitlines()
    assert done.status == 2
    assert "4 times in a row" in sentence
    assert len(waits) == 3
    assert all("once more in" in line for line in waits)
    assert hub.count(request_line) == 4


def test_a_conflict_with_another_command_is_waited_for(hub, publish, quick):
    busy = "Cannot create repo: another conflicting operation is in progress"
    hub.fail["repos/create"] = Answer(409, {"error": busy})
    done = publish()
    assert (done.status, done.err.count("once more in")) == (0, 1)
    assert complete(hub)


@pytest.mark.parametrize("request_line", ["whoami", "/preupload/", "/commit/"])
@pytest.mark.parametrize(
    "headers",
    [{"Retry_After": "1"}, {"RateLimit": '"api";r=0;t=1'}],
)
def test_a_pause_that_the_hub_asks_for_is_kept_and_announced(
    hub, publish, quick, request_line, headers
):
    hub.fail[request_line] = Answer(429, {"error": "slow down"}, **headers)
    started = time.monotonic()
    done = publish()
    assert time.monotonic() - started >= 1
    assert done.status == 0, done.err
    assert "wants a pause" in done.err
    assert "once more in 1 s" in done.err
    assert complete(hub)


@pytest.mark.parametrize("request_line", ["whoami", "/preupload/", "PUT /upload/", "/commit/"])
@pytest.mark.parametrize("asked", ["86400", "9" * 400, "Fri, 31 Dec 2117 23:59:59 GMT"])
def test_a_pause_of_a_day_is_told_and_not_kept(hub, publish, request_line, asked):
    hub.fail[request_line] = Answer(429, PORTAL, Retry_After=asked)
    assert refused(publish(), "wants a pause", "run the command again after 2")
    assert hub.count(request_line) == 1


@pytest.mark.parametrize("asked", ["soon", "-5", "", "1.5", "Fri, 99 Foo 2117", "0"])
def test_a_pause_that_nobody_understands_is_our_own(hub, publish, quick, asked):
    hub.fail["/commit/"] = Answer(429, Retry_After=asked)
    assert publish().status == 0
    assert complete(hub)


def test_the_library_is_left_as_it_was():
    client = get_session()
    before = (client.send, client.timeout)
    with pytest.raises(PublishError, match="does not speak as the Hub does"):
        retry("x", Passing(KeyError("url"), 1))
    assert (client.send, client.timeout) == before


class Passing:
    """Something to retry that fails ``times`` times."""

    def __init__(self, error, times):
        self.error, self.times, self.calls = error, times, 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "done"


@pytest.fixture
def pauses(monkeypatch):
    slept = []
    monkeypatch.setattr(train_hub.time, "sleep", slept.append)
    return slept


def test_the_pauses_grow_and_end(pauses):
    assert retry("x", Passing(ConnectionResetError("gone"), 3)) == "done"
    assert pauses == sorted(pauses)
    assert len(set(pauses)) == 3
    hopeless = Passing(TimeoutError("slow"), 100)
    with pytest.raises(PublishError, match="could not be reached while sending it, 4 times"):
        retry("sending it", hopeless)
    assert hopeless.calls == 4


def test_what_happened_in_an_upload_thread_counts(pauses):
    wrapped = RuntimeError("Error while uploading 'x' to the Hub.")
    wrapped.__cause__ = ConnectionResetError("gone")
    assert retry("x", Passing(wrapped, 1)) == "done"
    with pytest.raises(PublishError, match="did not accept it while y: no wait"):
        retry("y", Passing(ValueError("no\n\nwait"), 1))
    assert len(pauses) == 1


def test_offline_mode_is_named(pauses):
    from huggingface_hub.errors import OfflineModeIsEnabled

    with pytest.raises(PublishError, match="HF_HUB_OFFLINE is set"):
        retry("x", Passing(OfflineModeIsEnabled("offline"), 1))
    assert pauses == []
