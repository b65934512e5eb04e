"""The page of findings: the committed one, and one from runs that were made up."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from analysis.__main__ import main
from analysis.figures.intervals import ablation_figure
from analysis.figures.leakage import leakage_figure
from analysis.findings import figures_of, write_findings
from analysis.findings_words import headline
from analysis.stats.claims import MAIN, cells_of
from analysis.stats.paper import FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE, read_paper
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import find_runs
from analysis.stats.side_results import read_effect
from cry_model.registry import get_system
from tests.analysis.made_up_runs import write_run
from tests.conftest import ROOT

COMMITTED = ROOT / "docs" / "results.md"
SKILLS = {FULL: 2.6, NO_MCA: 0.2, NO_RSE: 2.6, NO_DIFFERENTIAL: 2.5, "ecapa-tdnn": -0.5}


def tables(text):
    return [line for line in text.splitlines() if line.startswith("|")]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Donate-a-Cry under two protocols, ESC-10 under one; one run that was cut off."""
    root = tmp_path_factory.mktemp("results")
    for system, skill in SKILLS.items():
        write_run(root, system, skill, seeds=(0, 1), protocol="clip", epochs=12)
        write_run(root, system, min(skill, 0.0), seeds=(0,), protocol="baby")
    write_run(root, FULL, -1.0, dataset="esc10", protocol="baby")
    folder = write_run(root, "resnet18", protocol="baby")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "metrics": {}}))
    return root


@pytest.fixture(scope="module")
def written(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "results.md"
    write_findings(root, out, draw=False)
    return out.read_text(encoding="utf-8")


def test_the_committed_page_is_what_the_results_say(tmp_path):
    out = tmp_path / "results.md"
    write_findings(ROOT / "assets" / "results", out, draw=False)
    written, committed = (path.read_text(encoding="utf-8") for path in (out, COMMITTED))
    assert tables(written) == tables(committed)
    assert written == committed, "run python -m analysis findings"


def test_the_committed_figures_are_there_and_small():
    named = re.findall(r"\]\((figures/.*?\.svg)\)", COMMITTED.read_text(encoding="utf-8"))
    assert named
    for name in named:
        path = COMMITTED.parent / name
        assert 0 < path.stat().st_size < 150_000
        assert path.read_text(encoding="utf-8").startswith("<svg")


def test_sentences_are_chosen_by_the_verdicts(written):
    lines = {line.split(" (accuracy")[0]: line for line in written.splitlines()}
    helps = lines["- Without MCA the improved ECAPA-TDNN is worse"]
    assert "82.20 % against 78.37 %, Table 1" in helps
    assert "confirmed on Donate-a-Cry (`clip`)" in helps
    assert "not run on ESC-10 (`baby`)" in helps
    same = lines["- Without RSE the improved ECAPA-TDNN is worse"]
    assert "confirmed" not in same
    assert "undecided on Donate-a-Cry (`clip`, `baby`)" in same
    resnet = lines["- The ECAPA-TDNN is better than the ResNet18"]
    assert "not run on Donate-a-Cry (`clip`, `baby`) and ESC-10 (`baby`)." in resnet
    assert "no system is better than guessing" in written
    assert "`donateacry/baby/resnet18`" in written  # cut off
    assert "variant" not in written
    assert re.search(r"the improved .* falls, ", written, re.IGNORECASE)


def test_the_tables_hold_the_numbers_of_the_files(written, root):
    record = json.loads((root / "donateacry" / "clip" / NO_RSE / "run.json").read_text())
    measured = record["metrics"]["recording"]["metrics"]
    cells = [
        f"{m['value']:.3f} [{m['low']:.3f}, {m['high']:.3f}]"
        for m in (measured[n] for n in ("accuracy", "balanced_accuracy", "macro_auc"))
    ]
    row = f"| {get_system(NO_RSE).title} | 0, 1 | {' | '.join(cells)} | 0.00 M |"
    assert row in written
    share = record["metrics"]["recording"]["majority_accuracy"]
    assert f'| always "hungry" |  | {share:.3f} | 0.333 | 0.500 |  |' in written
    assert "| Donate-a-Cry, `clip` | all | best | 12 | 32 | log-mel | 3 | 0, 1 |" in written
    assert "| Donate-a-Cry, `baby` | all | best | 30 | 32 | log-mel | 3 | 0 |" in written


def test_systems_fitted_otherwise_have_a_row_of_their_own(root, tmp_path):
    write_run(tmp_path, FULL, seeds=(0,))
    write_run(tmp_path, "resnet18", seeds=(0,), learning_rate=0.5)
    out = tmp_path / "page.md"
    write_findings(tmp_path, out, draw=False)
    text = out.read_text(encoding="utf-8")
    for system in (FULL, "resnet18"):
        assert f"| Donate-a-Cry, `baby` | {get_system(system).title} | best |" in text


def test_a_variant_and_a_short_epoch_are_said(tmp_path):
    folder = write_run(tmp_path, FULL, dataset="esc10", draws=384)
    record = json.loads((folder / "run.json").read_text())
    record["configuration"]["settings"] = {"deviations": True}
    (folder / "run.json").write_text(json.dumps(record))
    out = tmp_path / "page.md"
    write_findings(tmp_path, out, draw=False)
    text = out.read_text(encoding="utf-8")
    assert "ESC-10 (`baby`) the improved ECAPA-TDNN is a variant of the paper's (deviations" in text
    assert "| best, deviations=True | 30 of 384 pieces | 32 |" in text
    assert "a baby's cry is one of the ten" in text


def test_the_figures_show_what_was_measured(root):
    cells, paper = cells_of(find_runs(root).runs), read_paper()
    assert list(figures_of(cells, paper)) == ["leakage.svg", "ablation.svg"]
    drops = [d for f in cells[0].findings["balanced_accuracy"] for d in f.comparisons]
    figure = ablation_figure(drops, paper)
    stated, bars = (bar for bar in figure.data if bar.offsetgroup == NO_MCA)
    assert stated.y[0] == pytest.approx(82.20 - 78.37)
    values = [
        cells[0].runs[s].evaluation.metrics["balanced_accuracy"].value for s in (FULL, NO_MCA)
    ]
    assert bars.y[0] == pytest.approx(100 * (values[0] - values[1]))
    drop = next(d for d in drops if (d.one, d.other) == (FULL, NO_MCA))
    assert bars.y[0] + bars.error_y.array[0] == pytest.approx(100 * drop.difference.high)
    assert bars.y[0] - bars.error_y.arrayminus[0] == pytest.approx(100 * drop.difference.low)
    runs = [run for cell in cells for run in cell.runs.values()]
    leakage = leakage_figure(runs)
    wide, narrow = (b - a for a, b in (leakage.layout[x].domain for x in ("xaxis", "xaxis2")))
    assert wide == pytest.approx(2 * narrow)  # two splits, and one
    line = next(t for t in leakage.data if t.legendgroup == FULL)
    assert list(line.x) == ["clip", "baby"]
    expected = [c.runs[FULL].evaluation.metrics["balanced_accuracy"].value for c in cells[:2]]
    np.testing.assert_allclose(line.y, expected)


def effect_record():
    """As ``train.studies.attention_ablation`` documents it; other fields are left out."""
    estimate = {"value": 0.9, "low": 0.85, "high": 0.95}
    share = {"value": 0.25, "low": 0.2, "high": 0.3}

    def change(low, high):
        difference = {"value": (low + high) / 2, "low": low, "high": high}
        metric = {"fitted": estimate, "neutral": estimate, "difference": difference}
        return {"metrics": {"balanced_accuracy": metric}, "changed": share, "distance": share}

    return {
        "seeds": [0],
        "neutralised": {"differential": change(-0.02, 0.02), "temporal": change(-0.2, -0.1)},
        "differential": {
            "tokens": 4,
            "entropy_1": estimate,
            "entropy_2": estimate,
            "weight": {"seed 0, fold 0": 0.7, "seed 0, fold 1": 0.5},
        },
    }


def test_attention_is_a_section_where_it_was_measured(root, written, tmp_path):
    assert "Does the attention do anything?" not in written
    folder = write_run(tmp_path, FULL)
    assert read_effect(folder) is None
    (folder / "attention_effect.json").write_text(json.dumps(effect_record()))
    out = tmp_path / "page.md"
    write_findings(tmp_path, out, draw=False)
    text = out.read_text(encoding="utf-8")
    full = f"| Donate-a-Cry, `baby`, {get_system(FULL).title} |"
    changes = "+0.000 [-0.020, +0.020], 25 % | **-0.150 [-0.200, -0.100], 25 %** |"
    assert "| neutral | A1 and A2 uniform | A<sub>t</sub> its mean over time |" in text
    assert f"{full} {changes}" in text
    assert f"{full} 0 | 0.900 [0.850, 0.950] | 0.900 [0.850, 0.950] | 0.500 to 0.700 |" in text
    assert "- A1 and A2 uniform, of 1: no interval excludes zero." in text
    worse = "over time, of 1: worse than fitted on Donate-a-Cry, `baby` (whole)."
    assert worse in text
    assert "lambda begins at 0.2." in text
    assert "not corrected for their number, 2: of so many, about 0.1 would" in text
    other = write_run(tmp_path, NO_MCA)
    (other / "attention_effect.json").write_text(json.dumps(effect_record()))
    write_findings(tmp_path, out, draw=False)
    text = out.read_text(encoding="utf-8")
    assert (
        f"{full} {changes}\n| Donate-a-Cry, `baby`, {get_system(NO_MCA).title} | {changes}" in text
    )
    assert "of 2: worse than fitted on Donate-a-Cry, `baby` (whole, without MCA)." in text
    (folder / "attention_effect.json").write_text('{"neutralised": 3}')
    with pytest.raises(ResultsError, match=r"attention_effect\.json"):
        read_effect(folder)


def test_confirmations_below_the_majority_are_said_to_be_worth_little(tmp_path):
    """By accuracy, where a constant answer would be right more often than either system."""
    for system, skill in (("ecapa-tdnn", 0.0), ("resnet18", -9.0)):
        folder = write_run(tmp_path, system, skill)
        record = json.loads((folder / "run.json").read_text())
        record["metrics"]["recording"]["majority_accuracy"] = 0.99
        (folder / "run.json").write_text(json.dumps(record))
    cells = cells_of(find_runs(tmp_path).runs)
    assert headline(cells, "accuracy").endswith("gives that label more often.")
    assert "in all of the confirmed ones" in headline(cells, "accuracy")
    assert "most frequent" not in headline(cells, "balanced_accuracy")


def test_the_fold_that_was_put_aside_and_the_mixed_precision_are_said(tmp_path):
    folders = [write_run(tmp_path, s, dataset="esc10") for s in ("ecapa-tdnn", "resnet18")]
    out = tmp_path / "page.md"
    write_findings(tmp_path, out, draw=False)
    text = out.read_text(encoding="utf-8")
    assert "same precision" not in text
    for folder, system in zip(folders, ("ecapa-tdnn", "resnet18"), strict=True):
        table = pd.read_csv(folder / "predictions.csv")
        columns = [name for name in table if name.startswith("p_")]
        mean = table[table["fold"] == 0].groupby(["recording", "label"])[columns].mean()
        guess = mean.idxmax(axis=1).str.removeprefix("p_")
        share = (guess == mean.index.get_level_values("label")).mean()
        assert f"{get_system(system).title} {share:.3f}" in text
    record = json.loads((folders[0] / "run.json").read_text())
    record["environment"]["precision"] = "bfloat16"
    (folders[0] / "run.json").write_text(json.dumps(record))
    write_findings(tmp_path, out, draw=False)
    said = "On ESC-10 (`baby`) not all systems were fitted in the same precision"
    assert said in out.read_text(encoding="utf-8")


def test_made_up_cries_are_said_to_be_a_control(tmp_path, written):
    assert "formulas" not in written
    folder = write_run(tmp_path, "ecapa-tdnn", 1.0, dataset="synthetic6")
    out = tmp_path / "page.md"
    write_findings(tmp_path, out, draw=False)
    table = pd.read_csv(folder / "predictions.csv")
    columns = [name for name in table if name.startswith("p_")]
    mean = table.groupby(["recording", "label"])[columns].mean()
    guess = mean.idxmax(axis=1).str.removeprefix("p_")
    score = balanced_accuracy_score(mean.index.get_level_values("label"), guess)
    text = out.read_text(encoding="utf-8")
    assert f"They are a control: under `baby` ECAPA-TDNN {score:.3f} [" in text
    assert f"guessing gives {1 / len(columns):.3f})" in text


def test_made_up_cries_are_counted_apart(tmp_path):
    for system, skill in (("ecapa-tdnn", 2.6), ("resnet18", -2.0)):
        write_run(tmp_path, system, skill, dataset="synthetic6")
    assert headline(cells_of(find_runs(tmp_path).runs), MAIN).startswith("Nothing can be said yet")
    for system in ("ecapa-tdnn", "resnet18"):
        write_run(tmp_path, system, 0.0)
    said = headline(cells_of(find_runs(tmp_path).runs), MAIN)
    assert "of 1 judgements (a claim on one dataset under one protocol) 0 are confirmed" in said
    assert said.endswith(
        "Not counted in this are 1 on synthetic cries (`baby`): 1 confirmed, 0 contradicted, 0 "
        "undecided."
    )


def test_only_the_seeds_that_all_have_are_compared_in_one_line(tmp_path):
    write_run(tmp_path, "ecapa-tdnn", 1.0, seeds=(0, 1))
    write_run(tmp_path, "resnet18", 0.5, seeds=(1,))
    out = tmp_path / "page.md"
    write_findings(tmp_path, out, draw=False)
    text = out.read_text(encoding="utf-8")
    scores = {}
    for system in ("ecapa-tdnn", "resnet18"):
        table = pd.read_csv(tmp_path / "donateacry" / "baby" / system / "predictions.csv")
        columns = [name for name in table if name.startswith("p_")]
        mean = table[table["seed"] == 1].groupby(["recording", "label"])[columns].mean()
        guess = mean.idxmax(axis=1).str.removeprefix("p_")
        scores[get_system(system).title] = balanced_accuracy_score(
            mean.index.get_level_values("label"), guess
        )
    title, score = max(scores.items(), key=lambda pair: pair[1])
    line = "- Highest on Donate-a-Cry, `baby` (seed 1, which all have): "
    assert f"{line}{title}, {score:.3f}" in text
    assert "only rows of the same seeds can be compared" in text


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    out = tmp_path / "page.md"
    arguments = ["findings", "--results", str(tmp_path / "none"), "--out", str(out), "--no-figures"]
    assert main(arguments) == 2
    assert "no results folder" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "none").mkdir()
    assert main(arguments) == 2
    assert "No system of the paper" in capsys.readouterr().err
