"""``python -m train fit --publish``: refused before the fit, sent after it, kept if that fails."""

import shlex

import pytest

import cry_model
from cry_model.checkpoint import CONFIG, WEIGHTS
from tests.hub import READER, WRITER, Repository
from tests.train import small_fit
from tests.train.small_fit import CHECKPOINT, SYSTEM

TO = ("--publish", "user/cry")


@pytest.fixture
def fit(everything, hub, made_up_root, tmp_path):
    """Runs the command where the Hub is ours."""

    def run(*more, token=WRITER, **which):
        return everything[1].train(
            *small_fit.words(made_up_root, tmp_path, *more, **which), token=token
        )

    return run


@pytest.fixture
def checkpoint(tmp_path):
    return tmp_path / CHECKPOINT


def test_what_was_fitted_is_published_with_its_numbers(hub, fit, checkpoint):
    done = fit(*TO, "--private")
    assert done.status == 0, done.err
    repository = hub.repositories["models/user/cry"]
    assert repository.private
    files = repository.files()
    for name in (WEIGHTS, CONFIG):
        assert files[name] == (checkpoint / name).read_bytes()
    evaluation = cry_model.load_checkpoint(checkpoint)[1].evaluation
    assert f"{evaluation.metrics['balanced_accuracy'].value:.3f}" in files["README.md"].decode()
    assert f"Published: {hub.url}/user/cry/commit/" in done.out
    fit(*TO, "--private")  # nothing is fitted, nothing is sent
    assert len(repository.commits) == 2


@pytest.mark.parametrize(
    ("more", "how", "said"),
    [
        (("--private",), {}, "name a place with --publish"),
        ((*TO, "--no-checkpoint"), {}, "leave out --no-checkpoint, --outer-fold and --permute-"),
        ((*TO, "--outer-fold", "0"), {}, "leave out --no-checkpoint, --outer-fold and --permute-"),
        ((*TO, "--permute-labels", "4"), {}, "leave out --no-checkpoint, --outer-fold and --perm"),
        (TO, {"system": f"{SYSTEM} resnet18"}, "sends one system"),
        (TO, {"token": READER}, "only read"),
        ((*TO, "--private"), {"public": True}, "settings"),
    ],
)
def test_what_will_not_do_is_found_before_the_fit(hub, fit, tmp_path, more, how, said):
    how = dict(how)
    if how.pop("public", False):
        hub.repositories["models/user/cry"] = Repository()
    before = dict(hub.repositories)
    done = fit(*more, **how)
    assert done.status == 2
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert said in done.err
    assert list(tmp_path.iterdir()) == []
    assert hub.repositories == before


def kept(message, folder):
    """Where it says that the checkpoint is, and the command that it names, as words."""
    last = message.strip().splitlines()[-1]
    assert f"kept in {folder};" in last
    return shlex.split(last.split("'python -m train ")[1].split("' sends it")[0])


def test_a_network_that_has_gone_costs_nothing_but_the_sending(hub, fit, quick, checkpoint):
    hub.always["/commit/"] = "cut"
    done = fit(*TO)
    assert done.status == 2
    assert "while sending the files to user/cry" in done.err
    assert "Traceback" not in done.err
    assert kept(done.err, checkpoint) == ["publish", str(checkpoint), "--repo-id", "user/cry"]
    assert cry_model.load_checkpoint(checkpoint)[1].evaluation.recordings == 30
