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
PROTOCOLS = ("clip", "recording", "baby")
GRID_COLUMNS = (
    ("esc10", "recording", "accuracy"),
    ("donateacry", "clip", "balanced_accuracy"),
    ("donateacry", "recording", "balanced_accuracy"),
    ("donateacry", "baby", "balanced_accuracy"),
    ("donateacry", "baby", "macro_auc"),
    ("synthetic6", "baby", "balanced_accuracy"),
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


def asked(dataset, protocol):
    path = RESULTS.parent / dataset / protocol / "chance.json"
    return json.loads(path.read_text("utf-8"))


def dealt(one):
    return cell({**one, "value": one["mean"]})


def test_the_table_of_reasons_dealt_out_anew_is_that_of_the_results():
    found = [asked("donateacry", protocol)["scores"] for protocol in PROTOCOLS]
    for name in ("balanced_accuracy", "macro_auc"):
        head = f"{name.replace('_', ' ')}, reasons dealt out anew"
        row = " | ".join(dealt(scores[name]) for scores in found)
        true = [f"{s[name]['value']:.3f} (p = {s[name]['p']:.2f})" for s in found]
        assert f"| {head} | {row} |\n| ... the true ones | {' | '.join(true)} |" in README


def test_what_the_readme_says_of_dealt_reasons_follows_from_them():
    words = " ".join(README.split())
    clip, recording, baby = (asked("donateacry", protocol) for protocol in PROTOCOLS)
    means = [one["scores"]["balanced_accuracy"]["mean"] for one in (clip, recording, baby)]
    said = "as recordings ({:.3f} to {:.3f}) and then babies ({:.3f}) are kept apart"
    assert said.format(*means) in words
    assert means == sorted(means, reverse=True)
    kept = {label: 100 * share for label, share in baby["kept"].items()}
    hungry, rare = kept.pop("hungry"), kept.values()
    assert (
        f"{hungry:.0f} % of the hungry recordings and {min(rare):.0f} to {max(rare):.0f} %" in words
    )
    auc = baby["scores"]["macro_auc"]
    improved = [
        json.loads((RESULTS / p / "improved-ecapa-tdnn" / "run.json").read_text("utf-8"))[
            "metrics"
        ]["recording"]["metrics"]
        for p in ("clip", "baby")
    ]
    own = improved[1]["macro_auc"]["value"]
    assert f"from {auc['low']:.2f} to {auc['high']:.2f}, so one of {own:.3f} can" in words
    assert auc["low"] < own < auc["high"]
    assert min(
        one["scores"][name]["p"]
        for one in (clip, recording, baby)
        for name in ("balanced_accuracy", "macro_auc")
    ) > 0.05  # fmt: skip


def test_what_a_system_scores_with_dealt_reasons_follows_from_its_answers():
    folder = RESULTS / "clip" / "improved-ecapa-tdnn"
    record = json.loads((folder / "shuffled-0" / "run.json").read_text("utf-8"))
    found = record["metrics"]["recording"]["metrics"]
    truth, probabilities, _ = of_seed(folder / "shuffled-0", record["labels"], 0)
    names = ("balanced_accuracy", "macro_auc")
    for name in names:
        assert plain(name, truth, probabilities) == pytest.approx(found[name]["value"], abs=1e-6)
        assert found[name]["low"] > (0.2 if name == "balanced_accuracy" else 0.5)
    words = " ".join(README.split())
    balanced, auc = (cell(found[name]) for name in names)
    assert f"a balanced accuracy of {balanced} and a macro AUC of {auc}; with the true" in words
    by_seed = []
    for seed in (0, 1):
        truth, probabilities, _ = of_seed(folder, record["labels"], seed)
        balanced, auc = (plain(name, truth, probabilities) for name in names)
        by_seed.append(f"{balanced:.3f} and {auc:.3f} (seed {seed})")
    assert f"with the true reasons it has {', '.join(by_seed)}." in words
    other = RESULTS / "clip" / "ecapa-tdnn"
    found = json.loads((other / "shuffled-0" / "run.json").read_text("utf-8"))["metrics"]
    reached = " and ".join(cell(found["recording"]["metrics"][name]) for name in names)
    truth, probabilities, _ = of_seed(other, record["labels"], 0)
    true = " and ".join(f"{plain(name, truth, probabilities):.3f}" for name in names)
    assert f"ECAPA-TDNN reaches {reached} with that dealing, {true} with the true reasons" in words
    labels = [
        pd.read_csv(path / "predictions.csv", dtype=str).drop_duplicates("recording")
        for path in (folder, folder / "shuffled-0")
    ]
    own, dealt_out = (table.set_index("recording")["label"] for table in labels)
    rare = own != "hungry"
    same = (dealt_out.loc[own.index] == own) & rare
    assert f"was fitted to, {same.sum()} of {rare.sum()})" in words


def test_what_the_readme_says_of_other_corpora_follows_from_theirs():
    words = " ".join(README.split())
    clip, baby = (asked("donateacry_ios", p)["scores"]["macro_auc"] for p in ("clip", "baby"))
    for one, protocol in ((clip, "clip"), (baby, "baby")):
        said = f"under `{protocol}` (p = {one['p']:.2f})"
        assert f"{dealt(one)} {said}" in words
        assert one["p"] > 0.05
    assert f"macro AUC {clip['value']:.3f} and, dealt out," in words
    assert f"{baby['value']:.3f} and {dealt(baby)}" in words
    made_up = asked("synthetic6", "baby")["scores"]["balanced_accuracy"]
    said = f"a linear classifier with {made_up['value']:.3f} ({dealt(made_up)} with kinds dealt out"
    assert said in words
    assert made_up["p"] < 0.05
    scores = []
    for system in SYSTEMS:
        folder = RESULTS.parent / "synthetic6" / "baby" / system
        labels = json.loads((folder / "run.json").read_text("utf-8"))["labels"]
        scores.append(plain("balanced_accuracy", *of_seed(folder, labels, 0)[:2]))
    improved, *others = scores
    said = f"{improved:.3f}, the others with {min(others):.3f} to {max(others):.3f} and"
    assert f"the kind of cry with a balanced accuracy of {said}" in words
    esc10 = asked("esc10", "recording")
    assert esc10["shuffles"] == 200
    assert esc10["scores"]["macro_auc"]["p"] == pytest.approx(1 / 201)  # none
    assert "none of 200 dealings scores as much" in words


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
    words = " ".join(README.split())
    assert "0 are confirmed, 0 contradicted and 28 undecided" in findings
    assert "no claim of the paper is confirmed, and none contradicted" in words
    ahead = {
        "improved beats ECAPA-TDNN": ("0.008", "-0.022", "0.037"),
        "improved beats ResNet18": ("0.043", "0.001", "0.083"),
    }
    for claim, (value, low, high) in ahead.items():
        signed = f"+{value} [{low if low[0] == '-' else f'+{low}'}, +{high}]"
        assert f"**undecided** {signed}" in verdicts(findings)[claim, "ESC-10, `recording`"]
        assert f"{value} [{low}, {high}]" in words
    modules = {
        "MCA": ("0.050", "0.011", "0.094"),
        "differential attention": ("0.033", "0.005", "0.065"),
        "RSE": ("0.028", "0.002", "0.056"),
    }
    for module, (value, low, high) in modules.items():
        found = verdicts(findings)[f"{module} helps", "synthetic cries, `baby`"]
        assert f"**undecided** +{value} [+{low}, +{high}] (1/1)" in found
        assert f"{module} {value} [{low}, {high}]" in words
    assert (
        "Highest on ESC-10, `recording` (seed 0, which all have): Improved ECAPA-TDNN w/o diff"
        in (findings)
    )
    assert "Improved ECAPA-TDNN 0.838, " in findings
    assert ", ECAPA-TDNN 0.863, " in findings
    assert "on the first fold alone, which had no part in the trials, 0.838 against 0.863" in words
    uniform = next(line for line in findings.splitlines() if line.startswith("| A1 and A2 uniform"))
    assert uniform.startswith("| A1 and A2 uniform | -0.071 [-0.189, -0.011], 21 % |")
    assert "0.071 [0.011, 0.189] under `clip` (seed 1) with A1 and A2 made uniform" in words
    assert "not corrected for their number, 36: of so many, about 2 would" in findings
    assert "Of 36 intervals on single attentions three exclude zero" in words
    before = json.loads(
        (ROOT / "assets" / "search" / "log-mel-folds" / "attention_effect.json").read_text("utf-8")
    )
    gained = before["neutralised"]["differential"]["metrics"]["balanced_accuracy"]["difference"]
    assert f"uniform had gained {cell(gained)} on ESC-10" in words
    over_time = next(
        line for line in findings.splitlines() if line.startswith("| A<sub>t</sub> its mean over")
    )
    assert "| -0.035 [-0.057, -0.014], 5 % |" in over_time
    assert "loses 0.035 [0.014, 0.057] on ESC-10 with A<sub>t</sub> replaced" in words


def verdicts(findings):
    """(claim, cell) -> what its first table says."""
    head, _, *rows = (
        [part.strip() for part in line.strip("|").split("|")]
        for line in findings.split("## Verdicts")[1].split("\n\n")[1].splitlines()
    )
    return {
        (row[0], name): said for row in rows for name, said in zip(head[1:], row[1:], strict=True)
    }


def test_what_longer_fits_give_is_that_of_the_trials():
    found = []
    for name in ("pcen-long-folds", "pcen-long-folds-ecapa"):
        record = json.loads((ROOT / "assets" / "search" / name / "run.json").read_text("utf-8"))
        assert record["configuration"]["preset"]["epochs"] * 384 // 16 == 600
        found.append(cell(record["metrics"]["recording"]["metrics"]["accuracy"]))
    said = "With 600 steps the improved system reaches {} there and ECAPA-TDNN {}."
    words = " ".join(README.split())
    assert said.format(*found).removesuffix(".") in words
    folder = ROOT / "assets" / "search" / "augmented-folds"
    record = json.loads((folder / "run.json").read_text("utf-8"))
    preset = record["configuration"]["preset"]
    assert preset["epochs"] * 384 // 16 == 1200
    assert (preset["augmentation"]["speed"], preset["augmentation"]["mixup"]) == (0.1, 0.2)
    reached = cell(record["metrics"]["recording"]["metrics"]["accuracy"])
    table = pd.read_csv(folder / "predictions.csv", dtype={"recording": str})
    columns = [f"p_{label}" for label in record["labels"]]
    mean = table[table["fold"] == 0].groupby(["recording", "label"])[columns].mean().reset_index()
    first = (mean[columns].idxmax(axis=1).str.removeprefix("p_") == mean["label"]).mean()
    assert f"reaches {reached}** (on the first fold alone {first:.3f};" in words


def test_what_log_mel_gave_is_that_of_the_trials():
    right = {}
    for name in ("log-mel-folds", "log-mel-folds-ecapa"):
        folder = ROOT / "assets" / "search" / name
        labels = json.loads((folder / "run.json").read_text("utf-8"))["labels"]
        right[name] = plain("accuracy", *of_seed(folder, labels, 0)[:2])
    behind = right["log-mel-folds-ecapa"] - right["log-mel-folds"]
    assert behind == pytest.approx(0.0675)
    assert "the improved system was 0.068 [0.034, 0.101] behind ECAPA-TDNN" in " ".join(
        README.split()
    )
