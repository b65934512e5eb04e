"""Systems that were fitted to dealt labels, beside the same ones with the true labels."""

import json
import shutil

import pytest

from analysis.findings_dealt import as_good_line, dealt_lines, lead_lines
from analysis.panels.leakage import LEAKAGE
from analysis.stats.claims import cells_of
from analysis.stats.paper import FULL
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import find_runs
from analysis.stats.side_results import dealt_runs, fitted_to_dealt
from tests.analysis.made_up_runs import write_run


@pytest.fixture
def root(tmp_path):
    """Under two splits; a dealing that is learnt as well, and one that is not."""
    root = tmp_path / "results"
    for protocol in ("clip", "baby"):
        write_run(root, FULL, 0.5, protocol=protocol)
    move(write_run(tmp_path / "a", FULL, 2.5, protocol="clip"), root, 0)
    move(write_run(tmp_path / "b", FULL, -2.0, protocol="baby"), root, 3)
    return root


def move(folder, root, dealing, system=FULL):
    record = json.loads((folder / "run.json").read_text())
    record["configuration"]["shuffled"] = dealing
    (folder / "run.json").write_text(json.dumps(record))
    shutil.move(folder, root / "donateacry" / folder.parent.name / system / f"shuffled-{dealing}")


def test_they_are_found_beside_the_run_and_are_no_runs_of_their_own(root):
    found = find_runs(root)
    assert [run.protocol for run in found.runs] == ["clip", "baby"]
    for run in found.runs:
        (dealt,) = dealt_runs(run)
        assert dealt.folder.parent == run.folder
    (clip, baby) = fitted_to_dealt(found.runs, "macro_auc")
    assert clip.estimate == dealt_runs(found.runs[0])[0].evaluation.metrics["macro_auc"]
    assert clip.title == "Improved ECAPA-TDNN, labels dealt out anew"
    assert (clip.protocol, baby.protocol) == ("clip", "baby")


def test_the_findings_say_where_a_dealing_is_learnt_as_well(root):
    cells = cells_of(find_runs(root).runs)
    said = as_good_line(cells)
    assert said.startswith("On Donate-a-Cry, `clip` (1 of 1 such fits) systems that were fitted to")
    text = "\n".join(dealt_lines(cells))
    run = find_runs(root).of("donateacry", "clip")[FULL]
    true, dealt = (r.evaluation.metrics["macro_auc"] for r in (run, dealt_runs(run)[0]))
    row = f"macro auc | {true.value:.3f} (seed 0) | {dealt} (seed 0) |"
    assert f"| Donate-a-Cry, `clip`, Improved ECAPA-TDNN, {row}" in text
    assert said in text
    shutil.rmtree(root / "donateacry" / "clip" / FULL / "shuffled-0")
    cells = cells_of(find_runs(root).runs)
    assert as_good_line(cells) == ""
    assert "`baby`" in "\n".join(dealt_lines(cells))
    shutil.rmtree(root / "donateacry" / "baby" / FULL / "shuffled-3")
    assert dealt_lines(cells_of(find_runs(root).runs)) == []


def test_of_several_dealings_it_is_the_mean_and_how_far_they_reach(root, tmp_path):
    move(write_run(tmp_path / "c", FULL, 1.0, protocol="clip"), root, 4)
    found = find_runs(root)
    every = [run.evaluation.metrics["accuracy"] for run in dealt_runs(found.runs[0])]
    assert len(every) == 2
    values = [one.value for one in every]
    (shown,) = (y for y in fitted_to_dealt(found.runs, "accuracy") if y.protocol == "clip")
    assert shown.estimate.value == pytest.approx(sum(values) / 2)
    assert (shown.estimate.low, shown.estimate.high) == (min(values), max(values))
    assert shown.title.endswith("labels dealt out anew (mean and range of 2)")
    text = "\n".join(dealt_lines(cells_of(found.runs)))
    scores = [run.evaluation.metrics["macro_auc"] for run in dealt_runs(found.runs[0])]
    assert ", ".join(f"{score} (seed 0)" for score in scores) in text
    assert lead_lines(cells_of(found.runs)) == []


def test_the_lead_of_one_system_is_told_with_the_same_dealings(root, tmp_path):
    write_run(root, "ecapa-tdnn", -1.0, protocol="clip")
    move(write_run(tmp_path / "c", "ecapa-tdnn", 0.0, protocol="clip"), root, 7, "ecapa-tdnn")
    assert lead_lines(cells_of(find_runs(root).runs)) == []  # of another dealing
    shutil.move(
        root / "donateacry" / "clip" / "ecapa-tdnn" / "shuffled-7",
        root / "donateacry" / "clip" / "ecapa-tdnn" / "shuffled-0",
    )
    runs = find_runs(root).of("donateacry", "clip")
    true, dealt = (
        one.evaluation.metrics["balanced_accuracy"].value
        - other.evaluation.metrics["balanced_accuracy"].value
        for one, other in (
            (runs[FULL], runs["ecapa-tdnn"]),
            (dealt_runs(runs[FULL])[0], dealt_runs(runs["ecapa-tdnn"])[0]),
        )
    )
    (said,) = lead_lines(cells_of(find_runs(root).runs))
    assert f"{true:+.3f} (seed 0) with the true labels, {dealt:+.3f} (seed 0) with dealt" in said


def test_the_panel_shows_them_in_grey(root):
    found = find_runs(root)
    scores = LEAKAGE.exhibits(found, LEAKAGE.cells(found)[0], {"metric": "accuracy"})[0]
    line = next(t for t in scores.figure.data if "dealt out" in t.name)
    values = [y.estimate.value for y in fitted_to_dealt(found.runs, "accuracy")]
    assert list(line.y) == pytest.approx(values)
    assert "was fitted to a dealing by the same recipe" in scores.note
    assert line.name in list(scores.table["accuracy"])


def test_what_was_fitted_otherwise_is_refused(root):
    path = root / "donateacry" / "clip" / FULL / "shuffled-0" / "run.json"
    record = json.loads(path.read_text())
    record["configuration"]["preset"]["epochs"] = 99
    path.write_text(json.dumps(record))
    with pytest.raises(ResultsError, match="was not fitted as"):
        dealt_runs(find_runs(root).of("donateacry", "clip")[FULL])
