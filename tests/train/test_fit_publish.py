"""``python -m train fit --publish``: refused before the fit, sent after it, kept if that fails."""

import shlex
from functools import partial

import pytest

import cry_model
from cry_model.checkpoint import CONFIG, WEIGHTS
from tests.hub import LIMITED, READER, WRITER, Repository
from tests.train import small_fit
from tests.train.small_fit import CHECKPOINT, SYSTEM

TO = ("--publish", "user/cry")


@pytest.fixture
def words(made_up_root, tmp_path):
    """The command."""
    return partial(small_fit.words, made_up_root, tmp_path)


@pytest.fixture
def fit(everything, hub, words):
    """Runs it where the Hub is ours."""
    return lambda *more, token=WRITER, **which: everything[1].train(
        *words(*more, **which), token=token
    )


@pytest.fixture
def checkpoint(tmp_path):
    return tmp_path / CHECKPOINT


def refused_before_the_fit(done, folder, *words):
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1, done.err
    for word in words:
        assert word in done.err
    assert list(folder.iterdir()) == []
    return True


def test_what_was_fitted_is_published_with_its_numbers(hub, fit, checkpoint):
    done = fit(*TO, "--private")
    assert done.status == 0, done.err
    repository = hub.repositories["models/user/cry"]
    assert repository.private
    files = repository.files()
    assert files[WEIGHTS] == (checkpoint / WEIGHTS).read_bytes()
    assert files[CONFIG] == (checkpoint / CONFIG).read_bytes()
    evaluation = cry_model.load_checkpoint(checkpoint)[1].evaluation
    assert f"{evaluation.metrics['balanced_accuracy'].value:.3f}" in files["README.md"].decode()
    assert f"Published: {hub.url}/user/cry/commit/" in done.out
    fit(*TO, "--private")  # nothing is fitted, nothing is sent
    assert len(repository.commits) == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--private",), "name a place with --publish"),
        ((*TO, "--no-checkpoint"), "leave out --no-checkpoint"),
        ((*TO, "--outer-fold", "0"), "leave out --no-checkpoint, --outer-fold"),
        (("--publish", "cry"), "no name for a repository"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_fit(hub, fit, tmp_path, more, said):
    assert refused_before_the_fit(fit(*more), tmp_path, said)
    assert hub.requests == []


@pytest.mark.parametrize("system", ["all", f"{SYSTEM} resnet18"])
def test_several_systems_do_not_go_into_one_repository(hub, fit, tmp_path, system):
    assert refused_before_the_fit(fit(*TO, system=system), tmp_path, "one system", "train publish")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("token", "said"),
    [(None, "no access token"), ("hf_wrong", "refused the access token"), (READER, "only read")],
)
def test_a_token_that_will_not_do_is_found_before_the_fit(hub, fit, tmp_path, token, said):
    assert refused_before_the_fit(fit(*TO, token=token), tmp_path, said)
    assert hub.repositories == {}


def test_a_public_repository_for_what_is_private_is_found_before_the_fit(hub, fit, tmp_path):
    hub.repositories["models/user/cry"] = Repository()
    assert refused_before_the_fit(fit(*TO, "--private"), tmp_path, "public", "settings")


def kept(message, folder):
    """Where it says that the checkpoint is, and the command that it names, as words."""
    last = message.strip().splitlines()[-1]
    assert f"kept in {folder};" in last
    return shlex.split(last.split("'python -m train ")[1].split("' sends it")[0])


def test_what_was_not_allowed_is_kept_and_the_command_that_is_named_sends_it(
    everything, hub, fit, checkpoint
):
    done = fit(*TO, "--private", token=LIMITED)
    assert done.status == 2
    assert "no permission" in done.err
    assert hub.repositories == {}
    command = kept(done.err, checkpoint)
    assert everything[1].train(*command, token=WRITER).status == 0
    repository = hub.repositories["models/user/cry"]
    assert repository.private
    assert repository.files()[WEIGHTS] == (checkpoint / WEIGHTS).read_bytes()


IMPATIENT = """
import contextlib, io
from train.publish import hub
from train.__main__ import main
said, hub.PAUSES, pauses = io.StringIO(), (), hub.PAUSES
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
    answer = [main(arguments), said.getvalue()]
hub.PAUSES = pauses
"""


@pytest.mark.parametrize("failure", ["cut", 503])
def test_a_network_that_has_gone_costs_nothing_but_the_sending(
    everything, hub, words, checkpoint, failure
):
    hub.fail["/commit/"] = failure
    status, said = everything[1].python(IMPATIENT, *words(*TO), token=WRITER)
    assert status == 2
    assert "while sending the files to user/cry" in said
    assert "Traceback" not in said
    assert kept(said, checkpoint) == ["publish", str(checkpoint), "--repo-id", "user/cry"]
    assert cry_model.load_checkpoint(checkpoint)[1].evaluation.recordings == 30
