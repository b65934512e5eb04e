"""Test the personal model against scikit-learn and all label permutations, and its refusals."""

import itertools
import json

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneGroupOut

from cry_model import CryClassifier
from cry_model.__main__ import main
from cry_model.one_baby.personal import (
    DAY,
    FADE,
    GAIN,
    LEVEL,
    PersonalError,
    PersonalModel,
    context_features,
    log_bet,
    permuted_within,
)
from tests.stand_ins import CLASSIFIERS
from tests.stand_ins import diary as saved_diary

HOUR = 3600.0


def diary(seed, nights, effect=0.0, width=6, cries=4):
    """Simulate a baby that cries every three hours; ``effect`` scales the shift by reason."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(nights), cries)
    times = day * DAY + np.tile(np.arange(cries) * 3 * HOUR, nights)
    truth = rng.choice(3, len(day), p=(1 / 2, 1 / 3, 1 / 6))
    centres = rng.standard_normal((3, width))
    shared = rng.standard_normal((nights, width))[day]
    rows = effect * centres[truth] + shared + rng.standard_normal((len(day), width))
    return rows, [f"reason {k}" for k in truth], times


@pytest.mark.parametrize(("with_prior", "width"), [(False, 6), (True, 6), (True, 300)])
def test_held_out_predictions_match_scikit_learn(with_prior, width):
    rows, labels, times = diary(0, 8, 1.0, width)
    shares = np.random.default_rng(1).dirichlet(np.ones(3), len(rows))
    names = sorted(set(labels))
    prior = [dict(zip(names, share, strict=True)) for share in shares] if with_prior else None
    model = PersonalModel.fit(rows, labels, times, prior)
    scaled = (rows - rows.mean(0)) / rows.std(0)
    target = np.eye(3)[[names.index(label) for label in labels]]
    expected = np.zeros_like(target)

    def told(learnt, tested):
        score = Ridge(alpha=width).fit(scaled[learnt], target[learnt]).predict(scaled[tested])
        n, counts = len(learnt), target[learnt].sum(0)
        general = np.log(shares[tested]) if with_prior else 0.0
        both = (n * GAIN * score + FADE * general) / (n + FADE)
        return softmax(np.log((counts + 1) / (n + 3)) + both, axis=1)

    for learnt, tested in LeaveOneGroupOut().split(rows, groups=times // DAY):
        expected[tested] = told(learnt, tested)
    np.testing.assert_allclose(model.answers(), expected, atol=1e-7)
    found = model.predict(rows[0], prior and prior[0])
    assert list(found) == names
    np.testing.assert_allclose([*found.values()], told(range(len(rows)), [0])[0], atol=1e-7)


@pytest.mark.parametrize("truth", [(1, 1, 1), (0, 0, 1, 0, 3, 1)])
def test_bets_average_to_one_over_all_label_permutations(truth):
    logits = np.random.default_rng(0).standard_normal((2, len(truth), 4)) * 3
    orders = [np.exp(log_bet(logits, np.array(o))) for o in itertools.permutations(truth)]
    np.testing.assert_allclose(np.mean(orders, axis=0), 1.0)
    probabilities = np.exp(logits[0])
    products = [np.prod(probabilities[range(len(truth)), o]) for o in itertools.permutations(truth)]
    np.testing.assert_allclose(orders[0][0], products[0] / np.mean(products))


def test_wealth_is_a_martingale_under_the_null_and_grows_otherwise():
    """Check that nightly factors average 1 and maxima obey Ville's bound, up to sampling error."""
    factors, greatest = [], []
    for seed in range(300):
        won = PersonalModel.fit(*diary(seed, 12)).wealth()
        factors.append(won[1:] / won[:-1])
        greatest.append(won.max())
    factors = np.concatenate(factors)
    assert factors.std() > 0.1
    assert abs(factors.mean() - 1) < 4 * factors.std() / np.sqrt(factors.size)
    bound = LEVEL * 300 + 3 * np.sqrt(300 * LEVEL * (1 - LEVEL))
    assert sum(won >= 1 / LEVEL for won in greatest) <= bound
    assert PersonalModel.fit(*diary(0, 40, 1.5)).wealth()[-1] > 1e3


@pytest.mark.parametrize("nights", [4, 7])
def test_wealth_does_not_depend_on_later_nights(nights):
    every = diary(3, 10, 1.0)
    seen = PersonalModel.fit(*(values[: 4 * nights] for values in every))
    np.testing.assert_allclose(seen.wealth(), PersonalModel.fit(*every).wealth()[:nights])


def test_labels_are_permuted_within_their_day():
    days, truth = np.repeat([3, 4, 9], [5, 1, 6]), np.arange(12) % 4
    found = permuted_within(truth, days, 50)
    assert len(np.unique(found, axis=0)) > 10
    for day in np.unique(days):
        own = np.sort(found[:, days == day], axis=1)
        assert (own == np.sort(truth[days == day])).all()


@pytest.mark.parametrize(
    ("nights", "effect", "state"), [(5, 0.0, "too few"), (60, 0.0, "not better"), (60, 2, "better")]
)
def test_report_has_the_right_state(nights, effect, state):
    report = PersonalModel.fit(*diary(1, nights, effect)).report(99)
    assert report.state == state
    assert (report.cries, report.days, report.left_out) == (4 * nights, nights, "day")
    assert report.constant_accuracy == max(report.support.values()) / (4 * nights)
    right, balanced = report.skill.accuracy, report.skill.balanced_accuracy
    assert right.low <= right.value <= right.high
    assert (report.skill.permutation_p <= 0.01) == (state == "better")
    assert report.time_of_day.evidence < 1 / LEVEL
    if state == "better":
        assert right.value > report.constant_accuracy
        assert balanced.low > report.chance
    one = PersonalModel.fit(*diary(0, 1, 3.0, cries=8)).report(19)
    assert (one.left_out, one.days, one.skill.evidence) == ("cry", 1, 1.0)


def test_recordings_of_one_half_hour_are_one_cry():
    rows, labels, times = diary(2, 5)
    twice = np.repeat(rows, 2, axis=0) + np.tile([[0.5], [-0.5]], (len(rows), 1))
    late = np.repeat(times, 2) + np.tile([0.0, 600.0], len(times))
    two = PersonalModel.fit(twice, np.repeat(labels, 2).tolist(), late)
    np.testing.assert_allclose(two.rows, rows)
    assert [two.labels[k] for k in two.truth] == labels
    assert (two.recordings, two.report(9).cries) == (2 * len(rows), len(rows))


@pytest.mark.parametrize(
    ("labels", "times"), [("abba", [0, 60, 120, 9000]), ("aba", [0, 60, 9000])]
)
def test_a_cry_has_its_most_frequent_label_the_latest_if_tied(labels, times):
    mixed = PersonalModel.fit(np.eye(len(times)), list(labels), times)
    assert [mixed.labels[k] for k in mixed.truth] == ["b", "a"]


def test_context_features_are_learnt():
    rng, times = np.random.default_rng(0), diary(0, 60)[2]
    hours = rng.uniform(0, 6, (len(times), 3))
    labels = np.where(hours[:, 0] > 3, "hungry", "tired").tolist()
    hours[rng.random(hours.shape) < 0.2] = np.nan
    report = PersonalModel.fit(context_features(hours), labels, times).report(19)
    assert report.state == "better"


def test_unlearnable_cries_and_other_embeddings_are_refused():
    with pytest.raises(PersonalError, match="two or more labels"):
        PersonalModel.fit(np.eye(3), ["a", "a", "a"], [0.0, HOUR, 2 * HOUR])
    with pytest.raises(PersonalError, match="then all have one reason"):
        PersonalModel.fit(np.eye(3), ["a", "b", "a"], [0.0, 1.0, 2.0])
    with pytest.raises(PersonalError, match="3 finite numbers"):  # an embedding of another model
        PersonalModel.fit(np.eye(3), ["a", "b", "a"], [0.0, HOUR, 2 * HOUR]).predict(np.ones(4))


# The command


def test_the_command_reports_a_folder(examples, tmp_path, capsys):
    (tmp_path / "labels.csv").write_text(
        "file,label,time,fed\n"
        "0.wav,hungry,2026-03-01T04:30,3\n"
        "1.wav,tired,2026-03-01T09:00+02:00,\n"
        "2.wav,hungry,2026-03-02 04:30,2.5\n"
        "3.wav,tired,2026-03-02T20:00,0.5\n"
    )
    for number in (0, 1, 3):
        (tmp_path / f"{number}.wav").symlink_to(examples / "synthetic_rhythmic.wav")
    assert main(["personal", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "2.wav" in told.splitlines()[0]
    assert "3 recordings, 3 cries on 2 days: hungry 1, tired 2." in told
    assert told.count("too few to say (3 of about") == 2  # sound and context


def test_the_command_reports_a_diary_of_the_page(tmp_path, capsys):
    path = tmp_path / "diary.json"
    path.write_text(json.dumps(saved_diary(20)), encoding="utf-8")
    assert main(["personal", str(path)]) == 0
    told = capsys.readouterr().out
    assert "80 recordings, 80 cries on 20 days" in told
    assert "Sound: better than" in told
    assert "Hours since feed, sleep and diaper: too few" in told


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("another.csv", "", "There is no table"),
        ("labels.csv", "file,label\n", "no column time"),
        ("labels.csv", "file,label,time\nx.wav,hungry,yesterday\n", "line 2"),
        ("labels.csv", "file,label,time\nx.wav,,2026-03-01\n", "line 2"),
        ("labels.csv", "file,label,time,fed\nx.wav,a,2026-03-01,-1\n", "line 2"),
        ("labels.csv", "file,label,time\nx.wav,a,2026-03-01\n", "no labelled cries"),
        ("diary.json", '{"cries": [], "care": []}', "no labelled cries"),
        ("diary.json", "no JSON", "not a saved diary"),
        ("diary.json", "[" * 100_000, "not a saved diary"),
    ],
)
def test_the_command_refuses_invalid_input(name, text, said, tmp_path, capsys):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert main(["personal", str(path if name == "diary.json" else tmp_path)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("folder", CLASSIFIERS, ids=lambda folder: folder.name)
def test_probabilities_follow_from_the_embedding(folder, examples):
    classifier = CryClassifier.from_pretrained(folder, detector=False)
    prediction = classifier.predict(examples / "synthetic_rhythmic.wav")
    network, pieces = classifier.model, prediction.attention.embedding
    np.testing.assert_allclose(prediction.embedding, pieces.numpy().mean(0), atol=1e-6)
    teacher = network if folder.name.endswith("mlp") else getattr(network.classifier, "teacher", 0)
    if teacher:
        torch.testing.assert_close(teacher.ood_score(pieces), prediction.attention.ood_score)
        return
    shares = network.classifier(pieces).detach().softmax(-1).mean(0) ** (
        1 / classifier.config.calibration.temperature
    )
    expected = dict(zip(classifier.labels, (shares / shares.sum()).tolist(), strict=True))
    assert prediction.probabilities == pytest.approx(expected, abs=1e-5)
