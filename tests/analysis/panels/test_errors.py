"""Check errors and suspected labels against plain loops and scikit-learn's log loss."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from analysis.panels.base import CellKey
from analysis.panels.errors import ERRORS, errors, suspects, verdicts
from analysis.stats.comparison import ComparisonError
from analysis.stats.paper import NO_MCA
from analysis.stats.runs import LEAST, find_runs, with_errors
from tests.analysis.synthetic_runs import BABY, LABELS, write_run
from tests.plain import rows_of

WEAK = ("ecapa-tdnn", "resnet18", NO_MCA)


@pytest.fixture(scope="module")
def runs(found):
    return {name: run for name, run in found.of(*BABY).items() if name in WEAK}


def over_seeds(run):
    means, _, _ = rows_of(run)
    keys, columns = ["recording", "group", "label"], [f"p_{label}" for label in run.labels]
    table = means.groupby(keys, as_index=False)[columns].mean()
    return table, table[columns].to_numpy()


def loss(label, p):
    return -np.log(max(p[LABELS.index(label)], LEAST))


def test_log_loss_matches_scikit_learn(runs):
    run = runs["ecapa-tdnn"]
    _, truth, p = rows_of(run)
    pairs = zip(truth, p, strict=True)
    expected = [log_loss([t], [q / q.sum()], labels=[0, 1, 2]) for t, q in pairs]
    np.testing.assert_allclose(run.with_errors["loss"], expected, rtol=1e-5)
    table = pd.DataFrame(
        {"label": ["tired", "tired"], "p_hungry": [1.0, 0.5], "p_tired": [0.0, 0.5]}
    )
    own = with_errors(table, ("hungry", "tired"))
    np.testing.assert_allclose(own["loss"], [-np.log(LEAST), np.log(2)])
    assert list(own["answer"]) == ["hungry", "hungry"]  # the first of ties, as in the metrics
    assert list(own["wrong"]) == [True, True]
    assert list(own["confidence"]) == [1.0, 0.5]


@pytest.mark.parametrize("system", [None, "resnet18"])
def test_most_confident_errors_match_a_plain_loop(runs, system):
    every = {name: over_seeds(run) for name, run in runs.items()}
    expected = []
    for row in every["resnet18"][0].itertuples():
        p = {name: probabilities[row.Index] for name, (_, probabilities) in every.items()}
        answers = {name: LABELS[own.argmax()] for name, own in p.items()}
        wrong = [name for name in runs if answers[name] != row.label]
        if offered := [name for name in wrong if system in (None, name)]:
            name = max(offered, key=lambda n, p=p: p[n].max())
            others = Counter(answer for n, answer in answers.items() if n != name)
            facts = (row.recording, name, answers[name])
            numbers = (p[name].max(), loss(row.label, p[name]))
            expected.append((numbers, facts, (len(wrong), 3), others))
    expected.sort(key=lambda own: -own[0][0])
    table = errors(verdicts(runs), system)
    assert 10 < len(table) == len(expected)
    for row, (numbers, facts, counts, others) in zip(table.itertuples(), expected, strict=True):
        assert (row.recording, row.system, row.answer) == facts
        assert (row.confidence, row.loss) == pytest.approx(numbers)
        assert (row.wrong_systems, row.systems) == counts
        said = dict((*part.split(" ×"), 1)[:2] for part in row.others.split(", "))
        assert {answer: int(n) for answer, n in said.items()} == others


def test_suspected_labels_are_wrong_for_every_system_and_seed(runs):
    """Compare with loops that also require a mean log loss above that of a uniform answer."""
    losses, wrong, votes = {}, {}, {}
    for run in runs.values():
        means, _, p = rows_of(run)
        for row in means.itertuples():
            losses.setdefault(row.recording, []).append(loss(row.label, p[row.Index]))
            wrong.setdefault(row.recording, []).append(LABELS[p[row.Index].argmax()] != row.label)
        table, p = over_seeds(run)
        for recording, answer in zip(table["recording"], p.argmax(1), strict=True):
            votes.setdefault(recording, Counter())[LABELS[answer]] += 1
    expected = {r for r in wrong if all(wrong[r]) and np.mean(losses[r]) > np.log(len(LABELS))}
    table = suspects(runs)
    assert table["recording"].is_unique
    assert set(table["recording"]) == expected != set()
    assert list(table["loss"]) == sorted(table["loss"], reverse=True)
    assert set(table["systems"]) == {len(WEAK)}
    for row in table.itertuples():
        assert row.loss == pytest.approx(np.mean(losses[row.recording]), rel=1e-4)
        own = votes[row.recording]
        assert row.votes == own[row.suggested] == max(own.values())


def test_errors_are_filtered_by_label_and_group(found):
    every = ERRORS.exhibits(found, BABY)
    assert list(every[0].table["Recording"]) == list(every[0].data["recording"])
    for whole, own in zip(every, ERRORS.exhibits(found, BABY, {"label": "tired"}), strict=True):
        expected = whole.data[whole.data["label"] == "tired"]["recording"]
        assert list(own.data["recording"]) == list(expected)
    options, count = ERRORS.selectors[2].options(found, BABY)[1:], Counter()
    for table, p in map(over_seeds, found.of(*BABY).values()):
        count.update(table["group"][np.array(LABELS)[p.argmax(1)] != table["label"]])
    assert [count[o.value] for o in options] == [n for _, n in count.most_common(12)]
    group = options[0].value
    assert options[0].title == f"{group} ({count[group]} errors)"
    own, _ = ERRORS.exhibits(found, BABY, {"group": group})
    assert set(own.data["group"]) == {group}


def test_single_model_has_no_suspects_and_no_model_column(found):
    cell = CellKey("esc10", "recording")
    (only,) = ERRORS.exhibits(found, cell)
    assert f"Misclassified: {len(only.data)} of 90 recordings" in only.note
    assert [o.value for o in ERRORS.selectors[0].options(found, cell)] == ["feature-mlp"]
    assert "Model" not in only.table
    assert len(only.table) == len(only.data)


def test_no_errors_no_table(tmp_path):
    for system in WEAK[:2]:
        write_run(tmp_path, system, skill=30)
    first, second = ERRORS.exhibits(find_runs(tmp_path), BABY)
    assert (first.table, second.table) == (None, None)
    assert "Models better than chance: 2 of 2." in second.note


def test_runs_with_other_labels_are_refused(runs):
    other = replace(runs["resnet18"], labels=("burping", "hungry", "bored"))
    with pytest.raises(ComparisonError, match="differ in their labels"):
        suspects({**runs, "resnet18": other})
