"""The errors and the label suspects against plain loops and scikit-learn's log loss."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from analysis.panels.base import CellKey
from analysis.panels.errors import ERRORS, MOST, errors, suspects, verdicts
from analysis.stats.paired import ComparisonError
from analysis.stats.recordings import LEAST, ResultsError, with_errors
from analysis.stats.runs import RESULTS, find_runs
from tests.analysis.synthetic_runs import LABELS, write_run

SYSTEMS = ("improved-ecapa-tdnn", "ecapa-tdnn", "resnet18")
COLUMNS = [f"p_{label}" for label in LABELS]
BABY, CLIP = CellKey("donateacry", "baby"), CellKey("donateacry", "clip")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for system in SYSTEMS:
        write_run(root, system, 0.4, seeds=(0, 1))
    write_run(root, "feature-mlp", protocol="clip")
    return find_runs(root)


def means(run, keys=("recording", "group", "label")):
    """Mean probabilities of each of the keys, out of the file."""
    pieces = pd.read_csv(run.folder / "predictions.csv", dtype={"group": str})
    by_seed = pieces.groupby(["seed", *keys])[list(_columns(run))].mean()
    return by_seed if "seed" in keys else by_seed.groupby(list(keys)).mean().reset_index()


def _columns(run):
    return [f"p_{label}" for label in run.labels]


def loss(label, p, labels):
    """Of one recording, by scikit-learn, at the resolution of the file."""
    p = np.maximum(p, LEAST)
    return log_loss([label], [p / p.sum()], labels=list(labels)) - np.log(p.sum())


def test_the_log_loss_is_that_of_scikit_learn(found):
    run = found.of(*BABY)[SYSTEMS[0]]
    expected = [
        loss(row["label"], np.array([row[column] for column in COLUMNS]), LABELS)
        for row in run.recordings.to_dict("records")
    ]
    np.testing.assert_allclose(run.with_errors["loss"], expected)
    assert len(run.with_errors) == 180


def test_a_probability_of_nothing_costs_what_the_file_can_tell():
    table = pd.DataFrame(
        {"label": ["tired", "tired"], "p_hungry": [1.0, 0.5], "p_tired": [0.0, 0.5]}
    )
    found = with_errors(table, ("hungry", "tired"))
    np.testing.assert_allclose(found["loss"], [-np.log(LEAST), np.log(2)])
    assert list(found["answer"]) == ["hungry", "hungry"]  # of equals the first, as in the metrics
    assert list(found["wrong"]) == [True, True]
    assert list(found["confidence"]) == [1.0, 0.5]
    assert with_errors(table[:0], ("hungry", "tired")).empty


@pytest.mark.parametrize("system", [None, *SYSTEMS])
def test_the_most_confident_errors(found, system):
    runs = found.of(*BABY)
    answers = {}
    for name, run in runs.items():
        for row in means(run).to_dict("records"):
            p = np.array([row[column] for column in COLUMNS])
            answers[name, row["recording"]] = (LABELS[p.argmax()], p.max(), row["label"], p)
    expected = []
    for recording in sorted({recording for _, recording in answers}):
        own = {name: answers[name, recording] for name in runs}
        wrong = {n: a for n, a in own.items() if a[0] != a[2] and system in (None, n)}
        if wrong:
            name = max(wrong, key=lambda n: wrong[n][1])
            every = sum(answer != label for answer, _, label, _ in own.values())
            others = Counter(a[0] for n, a in own.items() if n != name)
            expected.append((recording, name, *own[name], every, others))
    expected.sort(key=lambda row: -row[3])
    table = errors(verdicts(runs), system)
    assert 10 < len(table) == len(expected)
    for row, (recording, name, answer, p, label, all_p, every, others) in zip(
        table.itertuples(), expected, strict=True
    ):
        assert (row.recording, row.system, row.answer, row.label) == (
            recording,
            name,
            answer,
            label,
        )
        assert row.confidence == pytest.approx(p)
        assert row.loss == pytest.approx(loss(label, all_p, LABELS), rel=1e-4)
        assert (row.wrong_systems, row.systems) == (every, 3)
        said = dict(
            part.split(" ×") if " ×" in part else (part, 1) for part in row.others.split(", ")
        )
        assert {answer: int(n) for answer, n in said.items()} == others


def plain_loss(label, p, labels):
    """The same without scikit-learn, which takes milliseconds for each."""
    return -np.log(max(p[labels.index(label)], LEAST))


def plain_suspects(runs, loss):
    """Recording -> mean loss, votes, of those that all systems get wrong in all seeds."""
    facts = {}
    for run in runs.values():
        pieces = pd.read_csv(run.folder / "predictions.csv", dtype={"group": str})
        columns, labels = _columns(run), run.labels
        table = pieces.groupby(["seed", "recording", "label"])[columns].mean().reset_index()
        own = {}
        for row in table.to_dict("records"):
            p = np.array([row[column] for column in columns])
            own.setdefault(row["recording"], []).append((p, row["label"]))
        for recording, rows in own.items():
            lost = np.mean([loss(label, p, labels) for p, label in rows])
            wrong = all(labels[p.argmax()] != label for p, label in rows)
            answer = labels[np.mean([p for p, _ in rows], axis=0).argmax()]
            facts.setdefault(recording, []).append((wrong, lost, answer))
    return {
        recording: (np.mean([lost for _, lost, _ in own]), Counter(answer for *_, answer in own))
        for recording, own in facts.items()
        if all(wrong for wrong, *_ in own)
        and np.mean([lost for _, lost, _ in own]) > np.log(len(labels))
    }


def test_suspects_are_wrong_for_every_system_in_every_seed(found):
    check_suspects(found.of(*BABY), loss)


def test_suspects_of_the_repository():
    runs = find_runs(RESULTS)
    cells = [cell for cell in runs.cells if len(runs.of(*cell)) > 1]
    assert cells
    for cell in cells:
        check_suspects(runs.of(*cell), plain_loss)


def check_suspects(runs, loss):
    expected, table = plain_suspects(runs, loss), suspects(runs)
    assert 0 < len(table) == len(expected)
    assert list(table["loss"]) == sorted(table["loss"], reverse=True)
    for row in table.itertuples():
        lost, votes = expected[row.recording]
        assert row.loss == pytest.approx(lost, rel=1e-4)
        assert row.votes == votes[row.suggested] == max(votes.values())
        assert row.suggested != row.label
        assert row.systems == len(runs)


def test_the_page_filters_by_label_and_group(found):
    first, second = ERRORS.exhibits(found, BABY)
    for label in LABELS:
        own, own_suspects = ERRORS.exhibits(found, BABY, {"label": label})
        expected = first.data[first.data["label"] == label]["recording"]
        assert list(own.data["recording"]) == list(expected)
        expected = second.data[second.data["label"] == label]["recording"]
        assert list(own_suspects.data["recording"]) == list(expected)
    groups = [o.value for o in ERRORS.selectors[2].options(found, BABY)][1:]
    count = Counter()
    for run in found.of(*BABY).values():
        for row in means(run).to_dict("records"):
            count[row["group"]] += LABELS[np.argmax([row[c] for c in COLUMNS])] != row["label"]
    assert len(groups) == 12
    assert [count[group] for group in groups] == [n for _, n in count.most_common(12)]
    own, _ = ERRORS.exhibits(found, BABY, {"group": groups[0]})
    assert set(own.data["group"]) == {groups[0]}
    title = ERRORS.selectors[2].options(found, BABY)[1].title
    assert title == f"{groups[0]} ({count[groups[0]]} errors)"


def test_what_nothing_fits_says_so(found):
    run = found.of(*BABY)[SYSTEMS[0]]
    of_group = run.recordings.groupby("group")["label"].agg(set)
    options = [o.value for o in ERRORS.selectors[2].options(found, BABY)][1:]
    group, label = next((g, name) for g in options for name in LABELS if name not in of_group[g])
    both = ERRORS.exhibits(found, BABY, {"label": label, "group": group})
    assert [exhibit.table for exhibit in both] == [None, None]
    assert "Misclassified: 0 of 0 recordings" in both[0].note


def test_the_table_begins_with_the_recording_and_is_cut(found, tmp_path):
    write_run(tmp_path, SYSTEMS[0], skill=-3, seeds=(0,))
    cells = find_runs(tmp_path)
    (only,) = ERRORS.exhibits(cells, BABY)
    assert only.table.columns[0] == "Recording"
    assert "Model" not in only.table
    assert len(only.data) == len(only.table) <= MOST
    for exhibit in ERRORS.exhibits(found, BABY):
        assert exhibit.table.columns[0] == "Recording"
        assert list(exhibit.table["Recording"]) == list(exhibit.data["recording"])
    real = find_runs(RESULTS)
    cell = next(cell for cell in real.cells if len(errors(verdicts(real.of(*cell)), None)) > MOST)
    long, *_ = ERRORS.exhibits(real, CellKey(*cell))
    assert len(long.table) == MOST < len(long.data)


def test_one_system_has_errors_and_no_suspects(found):
    (only,) = ERRORS.exhibits(found, CLIP)
    assert f"Misclassified: {len(only.data)} of 90 recordings" in only.note
    assert [o.value for o in ERRORS.selectors[0].options(found, CLIP)] == ["feature-mlp"]


def test_systems_without_an_error_in_common_have_no_suspects(tmp_path):
    for system in SYSTEMS[:2]:
        write_run(tmp_path, system, skill=30)
    first, second = ERRORS.exhibits(find_runs(tmp_path), BABY)
    assert "Misclassified: 0 of 90 recordings" in first.note
    assert "Suspect labels: 0 of 90 recordings. Models better than chance: 2 of 2." in second.note
    assert second.data.empty


def test_damaged_and_unlike_runs_are_refused(tmp_path):
    write_run(tmp_path, SYSTEMS[0])
    path = write_run(tmp_path, SYSTEMS[1]) / "predictions.csv"
    table = pd.read_csv(path, dtype={"group": str})
    table.drop(columns="group").to_csv(path, index=False)
    with pytest.raises(ResultsError, match="no column group"):
        ERRORS.exhibits(find_runs(tmp_path), BABY)
    table.rename(columns={"p_tired": "p_bored"}).assign(
        label=table["label"].replace("tired", "bored")
    ).to_csv(path, index=False)
    record = path.with_name("run.json")
    record.write_text(record.read_text().replace('"tired"', '"bored"'))
    with pytest.raises(ComparisonError, match="not the same labels"):
        ERRORS.exhibits(find_runs(tmp_path), BABY)
