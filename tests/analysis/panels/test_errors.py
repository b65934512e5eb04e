"""The errors and the label suspects against plain loops and scikit-learn's log loss."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from analysis.panels import errors as panel
from analysis.panels.base import CellKey
from analysis.panels.errors import ERRORS, errors, suspects, verdicts
from analysis.stats.comparison import ComparisonError
from analysis.stats.runs import LEAST, find_runs, with_errors
from tests.analysis.synthetic_runs import LABELS, write_run
from tests.plain import rows_of

SYSTEMS = ("improved-ecapa-tdnn", "ecapa-tdnn", "resnet18")
BABY, CLIP = CellKey("donateacry", "baby"), CellKey("donateacry", "clip")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for system in SYSTEMS:
        write_run(root, system, 0.4, seeds=(0, 1))
    write_run(root, "feature-mlp", protocol="clip")
    return find_runs(root)


def over_seeds(run):
    """Recording -> its row, and the mean probabilities over the seeds."""
    means, _, _ = rows_of(run)
    columns = [f"p_{label}" for label in run.labels]
    table = means.groupby(["recording", "group", "label"], as_index=False)[columns].mean()
    return {row.recording: (row, table.loc[row.Index, columns].to_numpy(float))
            for row in table.itertuples()}  # fmt: skip


def loss(label, p, labels):
    """Of one recording, at the resolution of the file."""
    return -np.log(max(p[labels.index(label)], LEAST))


def test_the_log_loss_is_that_of_scikit_learn(found):
    run = found.of(*BABY)[SYSTEMS[0]]
    _, truth, p = rows_of(run)
    expected = [
        log_loss([t], [q / q.sum()], labels=[0, 1, 2]) for t, q in zip(truth, p, strict=True)
    ]
    np.testing.assert_allclose(run.with_errors["loss"], expected, rtol=1e-5)
    table = pd.DataFrame(
        {"label": ["tired", "tired"], "p_hungry": [1.0, 0.5], "p_tired": [0.0, 0.5]}
    )
    own = with_errors(table, ("hungry", "tired"))
    np.testing.assert_allclose(own["loss"], [-np.log(LEAST), np.log(2)])
    assert list(own["answer"]) == ["hungry", "hungry"]  # of equals the first, as in the metrics
    assert list(own["wrong"]) == [True, True]
    assert list(own["confidence"]) == [1.0, 0.5]


@pytest.mark.parametrize("system", [None, SYSTEMS[0]])
def test_the_most_confident_errors(found, system):
    runs = found.of(*BABY)
    every = {name: over_seeds(run) for name, run in runs.items()}
    expected = []
    for recording, (row, _) in every[SYSTEMS[0]].items():
        p = {name: every[name][recording][1] for name in runs}
        answers = {name: LABELS[own.argmax()] for name, own in p.items()}
        wrong = [n for n in runs if answers[n] != row.label]
        if offered := [n for n in wrong if system in (None, n)]:
            name = max(offered, key=lambda n, p=p: p[n].max())
            others = Counter(answer for n, answer in answers.items() if n != name)
            expected.append((p[name].max(), recording, name, answers[name], len(wrong), others))
    expected.sort(key=lambda row: -row[0])
    table = errors(verdicts(runs), system)
    assert 10 < len(table) == len(expected)
    for row, (confidence, *rest, wrong, others) in zip(table.itertuples(), expected, strict=True):
        assert [row.recording, row.system, row.answer] == rest
        assert row.confidence == pytest.approx(confidence)
        p = every[row.system][row.recording][1]
        assert row.loss == pytest.approx(loss(row.label, p, LABELS))
        assert (row.wrong_systems, row.systems) == (wrong, 3)
        said = dict((*part.split(" ×"), 1)[:2] for part in row.others.split(", "))
        assert {answer: int(n) for answer, n in said.items()} == others


def plain_suspects(runs):
    """Recording -> mean loss, votes, of those that all systems get wrong in all seeds."""
    facts = {}
    for run in runs.values():
        means, _, p = rows_of(run)
        own = {}
        for row, values in zip(means.itertuples(), p, strict=True):
            own.setdefault(row.recording, []).append((row.label, values))
        for recording, rows in own.items():
            lost = np.mean([loss(label, p, run.labels) for label, p in rows])
            wrong = all(run.labels[p.argmax()] != label for label, p in rows)
            answer = run.labels[np.mean([p for _, p in rows], axis=0).argmax()]
            facts.setdefault(recording, []).append((wrong, lost, answer))
    return {
        recording: (np.mean([lost for _, lost, _ in own]), Counter(answer for *_, answer in own))
        for recording, own in facts.items()
        if all(wrong for wrong, *_ in own)
        and np.mean([lost for _, lost, _ in own]) > np.log(len(run.labels))
    }


def test_suspects_are_wrong_for_every_system_in_every_seed(found):
    expected, table = plain_suspects(found.of(*BABY)), suspects(found.of(*BABY))
    assert 0 < len(table) == len(expected)
    assert list(table["loss"]) == sorted(table["loss"], reverse=True)
    assert set(table["systems"]) == {len(SYSTEMS)}
    for row in table.itertuples():
        lost, votes = expected[row.recording]
        assert row.loss == pytest.approx(lost, rel=1e-4)
        assert row.votes == votes[row.suggested] == max(votes.values())
        assert row.suggested != row.label


def test_the_page_filters_by_label_and_group(found):
    every = ERRORS.exhibits(found, BABY)
    assert list(every[0].table["Recording"]) == list(every[0].data["recording"])
    for whole, own in zip(every, ERRORS.exhibits(found, BABY, {"label": "tired"}), strict=True):
        expected = whole.data[whole.data["label"] == "tired"]["recording"]
        assert list(own.data["recording"]) == list(expected)
    options = ERRORS.selectors[2].options(found, BABY)[1:]
    count = Counter()
    for run in found.of(*BABY).values():
        for row, p in over_seeds(run).values():
            count[row.group] += LABELS[p.argmax()] != row.label
    assert [count[o.value] for o in options] == [n for _, n in count.most_common(12)]
    group = options[0].value
    assert options[0].title == f"{group} ({count[group]} errors)"
    own, _ = ERRORS.exhibits(found, BABY, {"group": group})
    assert set(own.data["group"]) == {group}


def test_one_model_has_no_others_and_a_long_table_is_cut(found, monkeypatch):
    monkeypatch.setattr(panel, "MOST", 3)
    (only,) = ERRORS.exhibits(found, CLIP)
    assert f"Misclassified: {len(only.data)} of 90 recordings" in only.note
    assert [o.value for o in ERRORS.selectors[0].options(found, CLIP)] == ["feature-mlp"]
    assert "Model" not in only.table
    assert len(only.table) == 3 < len(only.data)


def test_without_an_error_there_is_no_table(tmp_path):
    for system in SYSTEMS[:2]:
        write_run(tmp_path, system, skill=30)
    first, second = ERRORS.exhibits(find_runs(tmp_path), BABY)
    assert (first.table, second.table) == (None, None)
    assert "Models better than chance: 2 of 2." in second.note


def test_runs_with_other_labels_are_refused(tmp_path):
    write_run(tmp_path, SYSTEMS[0])
    folder = write_run(tmp_path, SYSTEMS[1])
    for name in ("predictions.csv", "run.json"):
        path = folder / name
        path.write_text(path.read_text().replace("tired", "bored"))
    with pytest.raises(ComparisonError, match="not the same labels"):
        ERRORS.exhibits(find_runs(tmp_path), BABY)
