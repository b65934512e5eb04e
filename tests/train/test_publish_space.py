"""``python -m train publish --space``: exactly what the page needs, and a page that runs on it."""

import shutil
import subprocess

import pytest
from gradio_client import Client, handle_file

from tests.hub import READER, WRITER
from tests.server import ROOT, serve
from train.publish.hub import FOLDERS, SPACE, PublishError, space_files


@pytest.fixture
def publish(everything, hub):
    def run(*options, token=WRITER):
        return everything[1].train(
            "publish", "--space", "--repo-id", "user/page", *options, token=token
        )

    return run


def contents():
    return {name: path.read_bytes() for name, path in space_files().items()}


@pytest.mark.slow
def test_the_page_runs_on_these_files_alone_and_answers(tmp_path, examples):
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


def test_the_list_is_what_the_repository_keeps_of_the_page():
    alone = [name for name in SPACE if "/" not in name]
    listed = ["git", "ls-files", *alone, *FOLDERS, ":!assets/search"]
    try:
        done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    assert set(space_files()) == {name for name in done.stdout.split("\n") if name}


def test_what_lies_around_is_left_at_home(tmp_path):
    for name in space_files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for stray in (
        "assets/examples/our_baby.wav",
        "assets/checkpoints/c/model.safetensors.part",
        "cry_model/__pycache__/audio.cpython-312.pyc",
        "analysis/.ipynb_checkpoints/page.py",
        "tests/test_x.py",
        "train/fit/trainer.py",
        "runs/results/run.json",
        ".ci/run",
        ".env",
    ):
        (tmp_path / stray).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / stray).touch()
    assert set(space_files(tmp_path)) == set(space_files())


def test_half_a_copy_is_not_published(tmp_path):
    (tmp_path / "app.py").touch()
    with pytest.raises(PublishError, match=r"not a whole copy.*README\.md"):
        space_files(tmp_path)


def test_a_space_is_made_with_these_files_and_the_model_that_answers(hub, publish):
    done = publish("--model", "user/cry@v1")
    assert done.status == 0, done.err
    repository = hub.repositories["spaces/user/page"]
    assert repository.sdk == "gradio"
    assert repository.variables == {"CRY_MODEL": "user/cry@v1"}
    assert repository.files() == {".gitattributes": b"", **contents()}
    assert f"{hub.url}/spaces/user/page/commit/" in done.out


def test_again_changes_nothing_and_a_new_version_takes_old_files_away(hub, publish):
    publish("--model", "user/cry")
    publish("--model", "user/cry")
    repository = hub.repositories["spaces/user/page"]
    assert len(repository.commits) == 2
    assert hub.count("POST /api/spaces/user/page/variables") == 1  # each one restarts the Space
    repository.commits[-1].update({"cry_model/old.py": b"", "notes.md": b"", "app.py": b"old"})
    assert publish().status == 0
    assert repository.files() == {".gitattributes": b"", "notes.md": b"", **contents()}
    assert repository.variables == {"CRY_MODEL": "user/cry"}


def test_a_dry_run_lists_every_file_and_asks_nothing(hub, publish):
    done = publish("--dry-run", "--model", "user/cry", token=None)
    assert done.status == 0
    for name, path in space_files().items():
        assert f"{name} " in done.out
        assert f" {path.stat().st_size:,} bytes" in done.out
    assert "CRY_MODEL = user/cry" in done.out
    assert hub.requests == []


@pytest.mark.parametrize(
    ("token", "words"),
    [(None, "no access token"), ("hf_wrong", "refused"), (READER, "may only read")],
)
def test_without_the_right_token_nothing_is_created(hub, publish, token, words):
    done = publish(token=token)
    assert (done.status, len(done.err.splitlines())) == (2, 1)
    assert words in done.err
    assert hub.repositories == {}


def test_a_model_that_is_no_repository_is_refused(hub, publish):
    done = publish("--model", "runs/checkpoints/x")
    assert (done.status, hub.requests) == (2, [])
    assert "user/name" in done.err
