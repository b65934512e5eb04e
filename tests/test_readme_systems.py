"""README's table of all systems, and what it says of them, against results and trials."""

import json
from dataclasses import asdict

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from cry_model.metrics import METRICS, bootstrap
from tests.test_readme import README, RESULTS, ROOT, cell

SYSTEMS = {
    "improved-ecapa-tdnn": "Improved ECAPA-TDNN",
    "improved-ecapa-tdnn-no-mca": "... without MCA",
    "improved-ecapa-tdnn-no-rse": "... without RSE",
    "improved-ecapa-tdnn-no-diff-attention": "... without differential attention",
    "ecapa-tdnn": "ECAPA-TDNN",
    "resnet18": "ResNet18",
}
GRID_COLUMNS = (
    ("esc10", "recording", "accuracy"),
    ("donateacry", "clip", "balanced_accuracy"),
    ("donateacry", "recording", "balanced_accuracy"),
    ("donateacry", "baby", "balanced_accuracy"),
    ("donateacry", "baby", "macro_auc"),
)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_table_of_all_systems_is_that_of_the_results(system):
    cells = []
    for dataset, protocol, metric in GRID_COLUMNS:
        path = RESULTS.parent / dataset / protocol / system / "run.json"
        if not path.exists():
            cells.append("-")
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        how = record["configuration"]["preset"]
        assert (how["epochs"], how["draws"], how["batch"]) == (10, 384, 16)
        first = of_seed(path.parent, record["labels"], 0)
        cells.append(cell(asdict(bootstrap(METRICS[metric], *first))))
    assert f"| {SYSTEMS[system]} | {' | '.join(cells)} |" in README


def test_the_table_of_reasons_that_mean_nothing_is_that_of_the_results():
    asked = [
        json.loads((RESULTS / protocol / "chance.json").read_text("utf-8"))["scores"]
        for protocol in ("clip", "recording", "baby")
    ]
    for name in ("balanced_accuracy", "macro_auc"):
        found = [one[name] for one in asked]
        dealt = [cell({**one, "value": one["mean"]}) for one in found]
        head = f"{name.replace('_', ' ')}, reasons dealt out anew"
        true = [f"{one['value']:.3f} (p = {one['p']:.2f})" for one in found]
        assert (
            f"| {head} | {' | '.join(dealt)} |\n| ... the true ones | {' | '.join(true)} |"
            in README
        )
    ends = [f"{asked[2]['macro_auc'][end]:.2f}" for end in ("low", "high")]
    record = json.loads((RESULTS / "baby" / "improved-ecapa-tdnn" / "run.json").read_text("utf-8"))
    auc = record["metrics"]["recording"]["metrics"]["macro_auc"]["value"]
    said = "nothing give macro AUCs from {} to {}, so one of {:.3f} says nothing"
    words = " ".join(README.split())
    assert said.format(*ends, auc) in words
    ios = {
        protocol: json.loads(path.read_text("utf-8"))["scores"]["macro_auc"]
        for protocol in ("clip", "baby")
        for path in [RESULTS.parent / "donateacry_ios" / protocol / "chance.json"]
    }
    clip, baby = (f"{one['value']:.3f}" for one in ios.values())
    other, same = (cell({**one, "value": one["mean"]}) for one in ios.values())
    assert (
        f"{clip} under `clip`, {other} with reasons dealt out anew; of {baby} and {same}" in words
    )
    path = RESULTS.parent / "esc10" / "recording" / "chance.json"
    assert json.loads(path.read_text("utf-8"))["scores"]["macro_auc"]["p"] < 0.005
    assert "finds what there is to learn (p = 0.005)" in words


def of_seed(folder, labels, seed):
    """Truth, probabilities and groups, a row per recording."""
    table = pd.read_csv(folder / "predictions.csv", dtype={"recording": str, "group": str})
    columns = [f"p_{label}" for label in labels]
    # In the order of the file, as the intervals of run.json were drawn.
    by_recording = table[table["seed"] == seed].groupby(["recording", "group", "label"], sort=False)
    mean = by_recording[columns].mean().reset_index()
    truth = mean["label"].map({label: i for i, label in enumerate(labels)}).to_numpy()
    return truth, mean[columns].to_numpy(), mean["group"].tolist()


def plain(metric, truth, probabilities):
    if metric == "macro_auc":
        return roc_auc_score(truth, probabilities, multi_class="ovr")
    score = {"accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score}[metric]
    return score(truth, probabilities.argmax(1))


@pytest.mark.parametrize("system", ["improved-ecapa-tdnn", "ecapa-tdnn"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_table_of_the_second_seed_follows_from_the_predictions(system, seed):
    cells = []
    for dataset, protocol, metric in GRID_COLUMNS:
        folder = RESULTS.parent / dataset / protocol / system
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if seed not in record["seeds"]:
            cells.append("-")
            continue
        truth, probabilities, _ = of_seed(folder, record["labels"], seed)
        cells.append(f"{plain(metric, truth, probabilities):.3f}")
    assert f"| {SYSTEMS[system]}, seed {seed} | {' | '.join(cells)} |" in README


def test_what_the_readme_says_of_the_claims_stands_in_the_findings():
    findings = (ROOT / "analysis" / "FINDINGS.md").read_text(encoding="utf-8")
    assert "**contradicted** -0.068 [-0.101, -0.034] (1/1), p = 0.003" in findings
    assert "1 contradicted and 27 undecided" in findings
    assert "| +0.030 [+0.006, +0.055], 7 % |" in findings
    assert "ECAPA-TDNN is 0.068 [0.034, 0.101] ahead of the improved system" in README
    assert "| A1 and A2 uniform | -0.071 [-0.189, -0.011], 21 % |" in findings
    better, worse = (
        "0.030 [0.006, 0.055] better on ESC-10",
        "0.071 [0.011, 0.189] worse under `clip`",
    )
    assert f"the fitted system is {better} and {worse}" in " ".join(README.split())


def test_what_pcen_gives_is_that_of_the_trials():
    found = []
    for name in ("pcen-folds", "pcen-folds-ecapa"):
        record = json.loads((ROOT / "assets" / "search" / name / "run.json").read_text("utf-8"))
        found.append(cell(record["metrics"]["recording"]["metrics"]["accuracy"]))
    said = "the improved system reaches {} on ESC-10 and ECAPA-TDNN {}".format(*found)
    assert said in " ".join(README.split())
