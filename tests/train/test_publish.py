"""Test ``python -m train publish`` on a local fake Hub: uploads, refusals and failures."""

import shlex
import shutil
import subprocess
import time
from functools import partial

import pytest
import yaml
from gradio_client import Client, handle_file

import cry_model
from cry_model.checkpoint import CONFIG, DEFAULT, WEIGHTS, read_config
from tests.hub import READER, WRITER, Answer, Repository
from tests.server import ROOT, serve
from tests.train import small_fit
from tests.train.folders import touch
from tests.train.small_fit import CHECKPOINT, SYSTEM
from train.publish.hub import FOLDERS, SPACE, PublishError, space_files, space_upload

CARD = "README.md"
COMPARE = """
from cry_model import CryClassifier
local, remote = (CryClassifier.from_pretrained(name) for name in arguments[:2])
answer = [c.predict(arguments[2]).probabilities for c in (local, remote)]
"""


@pytest.fixture
def publish(everything, hub):
    def run(*options, repo_id="user/cry", token=WRITER, what=DEFAULT):
        return everything[1].train("publish", what, "--repo-id", repo_id, *options, token=token)

    return run


@pytest.fixture
def publish_space(publish):
    return partial(publish, repo_id="user/page", what="--space")


def refused(done, *words):
    """Assert status 2 and one sentence; return whether it has these words."""
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1, done.err
    return all(word in done.err for word in words)


def complete(hub, done):
    """Assert that exactly the checkpoint and its card are there, in one commit after the first."""
    assert done.status == 0, done.err
    repository = hub.repositories["models/user/cry"]
    files = repository.files()
    assert set(files) == {".gitattributes", CONFIG, WEIGHTS, CARD}
    assert files[WEIGHTS] == (DEFAULT / WEIGHTS).read_bytes()
    assert files[CONFIG] == (DEFAULT / CONFIG).read_bytes()
    assert len(repository.commits) == 2
    return True


def test_a_published_checkpoint_downloads_and_predicts_bit_for_bit(
    everything, hub, publish, examples
):
    done = publish("--private")
    assert complete(hub, done)
    assert hub.repositories["models/user/cry"].private
    assert f"{hub.url}/user/cry/commit/" in done.out
    example = str(examples / "synthetic_rhythmic.wav")
    local, remote = everything[1].python(COMPARE, str(DEFAULT), "user/cry", example, token=READER)
    assert local == remote
    assert len(set(local.values())) == 6
    assert complete(hub, publish("--private"))
    assert hub.count("PUT") == 1  # existing files are not sent again


def test_a_dry_run_shows_files_and_card_without_requests(hub, publish):
    done = publish("--dry-run", token=None)
    assert done.status == 0
    assert f"{(DEFAULT / WEIGHTS).stat().st_size:,} bytes" in done.out
    assert hub.requests == []
    publish()
    assert hub.repositories["models/user/cry"].files()[CARD].decode() in done.out


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (None, ("no access token", "hf auth login", "HF_TOKEN")),
        ("hf_wrong", ("rejected your token", "hf auth login")),
        (READER, ("read-only", "write access")),
    ],
)
def test_without_the_right_token_nothing_is_created(hub, publish, publish_space, token, words):
    assert refused(publish(token=token), *words)
    assert (hub.count("whoami"), len(hub.requests)) == ((0, 0) if token is None else (1, 1))
    assert refused(publish_space(token=token), *words)
    assert (hub.count("POST"), hub.repositories) == (0, {})


@pytest.mark.parametrize("repo_id", ["cry", "a/b/c", "user/../x", "user/cry.git", "us er/cry", ""])
def test_an_invalid_repository_name_is_refused_without_requests(hub, publish, repo_id):
    assert refused(publish(repo_id=repo_id), "not a repository name", "user/name")
    assert hub.requests == []


def test_private_uploads_are_refused_unless_the_repository_is_private(hub, publish):
    hub.fail["GET /api/models/user/cry"] = Answer(200, {"id": "user/cry", "sha": "0" * 40})
    assert refused(publish("--private"), "does not say whether user/cry is private")
    assert hub.count("/commit/") == 0
    hub.reset()
    publish()
    assert refused(publish("--private"), "public", "settings")
    assert hub.count("/commit/") == 1


def test_files_ignored_by_the_repository_are_reported(hub, publish):
    modes = {WEIGHTS: "lfs", CARD: "regular", CONFIG: "regular"}.items()
    files = [{"path": p, "uploadMode": m, "shouldIgnore": p == WEIGHTS} for p, m in modes]
    hub.fail["/preupload/"] = Answer(200, {"files": files})
    assert refused(publish(), f"user/cry lacks {WEIGHTS}", ".gitignore")


BUSY = Answer(409, {"error": "another conflicting operation is in progress"})
LATER = Answer(429, {"error": "slow down"}, Retry_After="1")
LIMIT = Answer(429, {"error": "slow down"}, RateLimit='"api";r=0;t=1')


@pytest.mark.parametrize(
    ("request_line", "failure", "seconds"),
    [
        ("PUT /upload/", "cut", 0),
        ("/commit/", "lose", 0),
        ("repos/create", "lose", 0),
        ("whoami", 502, 0),
        ("repos/create", BUSY, 0),
        ("whoami", LATER, 1),
        ("/commit/", LIMIT, 1),
    ],
)
def test_transient_failures_are_retried_after_a_pause(
    hub, publish, quick, request_line, failure, seconds
):
    hub.fail[request_line] = failure
    started, done = time.monotonic(), publish()
    assert time.monotonic() - started >= seconds
    assert ("is busy" in done.err) == (seconds > 0)
    assert f"retrying in {seconds} s" in done.err
    assert complete(hub, done)
    assert hub.fail == {}


@pytest.mark.parametrize(("request_line", "failure"), [("whoami", 503), ("/preupload/", 429)])
def test_retries_are_limited_and_reported(hub, publish, quick, request_line, failure):
    hub.always[request_line] = failure
    done = publish()
    *waits, sentence = done.err.strip().splitlines()
    assert done.status == 2
    assert "4 times in a row" in sentence
    assert len(waits) == 3
    assert all("retrying in" in line for line in waits)
    assert hub.count(request_line) == 4


PORTAL = b"<!doctype html><title>Log in to the train's network</title>"
WRONG = b"""{"name": 5, "url": 5, "private": "no", "files": [5], "objects": 5, "sha": [],
"commitUrl": 5, "commitOid": [], "errors": 5, "warnings": 5, "auth": []}"""
STEPS = ("whoami", "repos/create", "validate-yaml", "/preupload/", "objects/batch", "/commit/")


@pytest.mark.parametrize(
    ("step", "body"),
    [*((step, WRONG) for step in STEPS), *(("whoami", body) for body in (b"", b"null", PORTAL))],
)
def test_responses_that_are_not_the_hubs_are_refused(hub, publish, step, body):
    hub.fail[step] = Answer(200, body)
    assert refused(publish("--private"))
    assert hub.fail == {}
    commits = [c for r in hub.repositories.values() for c in r.commits]
    assert all(set(files) == {".gitattributes"} for files in commits)
    assert complete(hub, publish("--private"))


def header_and_rest(readme):
    header, rest = readme.decode().split("---\n", 2)[1:]
    return yaml.safe_load(header), rest


@pytest.mark.parametrize(
    ("model", "preloaded"),
    [
        ("user/cry", "user/cry config.json,model.safetensors"),
        (f"user/cry@{'0f' * 20}", f"user/cry config.json,model.safetensors {'0f' * 20}"),
        ("user/cry@v1", None),  # the Hub does not accept a tag here
        (None, None),
    ],
)
def test_the_header_names_what_the_space_downloads(model, preloaded):
    content = space_upload("user/page", model=model).files[CARD]
    text = content.read_bytes() if model is None else content
    own, found = header_and_rest(space_files()[CARD].read_bytes()), header_and_rest(text)
    named = {} if model is None else {"models": ["user/cry"]}
    preloaded = {} if preloaded is None else {"preload_from_hub": [preloaded]}
    assert found == ({**own[0], **named, **preloaded}, own[1])


@pytest.mark.slow
def test_the_page_runs_on_these_files_alone(tmp_path, examples):
    for name, path in space_files().items():
        copy = tmp_path / "space" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    with serve(tmp_path, tmp_path / "space") as server:
        client = Client(server.url, verbose=False)
        example = handle_file(str(examples / "synthetic_rhythmic.wav"))
        answer = client.predict(example, api_name="/predict")
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert "Traceback" not in server.log.read_text()


def test_space_files_are_those_tracked_by_git():
    alone = [name for name in SPACE if "/" not in name]
    listed = ["git", "ls-files", *alone, *FOLDERS, ":!assets/search"]
    try:
        done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    assert set(space_files()) == {name for name in done.stdout.split("\n") if name}


def test_stray_files_are_not_published_and_incomplete_copies_refused(tmp_path):
    strays = ("assets/examples/our_baby.wav", "assets/checkpoints/c/model.safetensors.part")
    strays += ("cry_model/__pycache__/audio.cpython-312.pyc", "analysis/.ipynb_checkpoints/page.py")
    strays += ("tests/test_x.py", "train/fit/trainer.py", "runs/results/run.json", ".env")
    touch(*(tmp_path / name for name in (*space_files(), *strays)))
    assert set(space_files(tmp_path)) == set(space_files())
    (tmp_path / CARD).unlink()
    with pytest.raises(PublishError, match=r"not a complete copy.*README\.md"):
        space_files(tmp_path)


def test_a_space_is_created_once_and_later_without_its_old_files(hub, publish_space):
    model, sent = "user/cry@v1", {n: path.read_bytes() for n, path in space_files().items()}
    done = publish_space("--model", model)
    assert done.status == 0, done.err
    repository, card = hub.repositories["spaces/user/page"], space_upload("user/page", model=model)
    assert (repository.sdk, repository.variables) == ("gradio", {"CRY_MODEL": model})
    assert repository.files() == {".gitattributes": b"", **sent, CARD: card.files[CARD]}
    assert f"{hub.url}/spaces/user/page/commit/" in done.out
    publish_space("--model", model)
    assert len(repository.commits) == 2
    assert hub.count("POST /api/spaces/user/page/variables") == 1  # each change restarts the Space
    repository.commits[-1].update({"cry_model/old.py": b"", "notes.md": b"", "app.py": b"old"})
    assert publish_space().status == 0
    assert repository.files() == {".gitattributes": b"", "notes.md": b"", **sent}
    assert repository.variables == {"CRY_MODEL": model}


TO = ("--publish", "user/cry")


@pytest.fixture
def fit(everything, hub, made_up_root, tmp_path):
    """Return a function that runs the command ``fit`` against the fake Hub."""

    def run(*more, token=WRITER, system=SYSTEM):
        words = small_fit.words(made_up_root, tmp_path, *more, system=system)
        return everything[1].train(*words, token=token)

    return run


def test_a_fit_is_published_with_its_metrics(hub, fit, tmp_path):
    checkpoint = tmp_path / CHECKPOINT
    done = fit(*TO, "--private")
    assert done.status == 0, done.err
    repository = hub.repositories["models/user/cry"]
    assert repository.private
    files = repository.files()
    for name in (WEIGHTS, CONFIG):
        assert files[name] == (checkpoint / name).read_bytes()
    recall = read_config(checkpoint).evaluation.metrics["balanced_accuracy"]
    assert f"{recall.value:.3f}" in files[CARD].decode()
    assert f"Published: {hub.url}/user/cry/commit/" in done.out
    fit(*TO, "--private")  # nothing is fitted, nothing is sent
    assert len(repository.commits) == 2


@pytest.mark.parametrize(
    ("more", "how", "said"),
    [
        (("--private",), {}, "add --publish"),
        ((*TO, "--no-checkpoint"), {}, "leave out --no-checkpoint"),
        ((*TO, "--outer-fold", "0"), {}, "leave out --no-checkpoint"),
        (TO, {"system": f"{SYSTEM} resnet18"}, "sends one system"),
        (TO, {"token": READER}, "read-only"),
        ((*TO, "--private"), {}, "settings"),  # the existing repository is public
    ],
)
def test_invalid_publishing_is_refused_before_the_fit(hub, fit, tmp_path, more, how, said):
    hub.repositories["models/user/cry"] = Repository()
    assert refused(fit(*more, **how), said)
    assert list(tmp_path.iterdir()) == []
    assert hub.repositories == {"models/user/cry": Repository()}


def test_a_lost_connection_keeps_the_checkpoint(hub, fit, quick, tmp_path):
    hub.always["/commit/"] = "cut"
    done, checkpoint = fit(*TO), tmp_path / CHECKPOINT
    assert done.status == 2
    assert "while sending the files to user/cry" in done.err
    assert "Traceback" not in done.err
    *_, last = done.err.strip().splitlines()
    assert f"kept in {checkpoint};" in last
    command = last.split("'python -m train ")[1].split("' sends it")[0]
    assert shlex.split(command) == ["publish", str(checkpoint), "--repo-id", "user/cry"]
    assert cry_model.load_checkpoint(checkpoint)[1].evaluation.recordings == 30
