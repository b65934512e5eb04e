"""README's table of all systems, and what it says of them, against results and trials."""

import json
import re

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from tests.test_readme import README, RESULTS, ROOT, cell

WORDS = " ".join(README.split())
FINDINGS = (ROOT / "analysis" / "FINDINGS.md").read_text(encoding="utf-8")
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


def ran(*place):
    """Folder and record of a reported run: dataset, protocol, system."""
    return found_in(RESULTS.parent.joinpath(*place))


def tried(name):
    """Folder and record of a trial."""
    return found_in(ROOT / "assets" / "search" / name)


def found_in(folder):
    return folder, json.loads((folder / "run.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_table_of_all_systems_is_that_of_the_results(system):
    cells, by_seed = [], []
    for dataset, protocol, metric in GRID_COLUMNS:
        folder, record = ran(dataset, protocol, system)
        how = record["configuration"]
        epochs = 30 if dataset == "donateacry" else 60
        assert (how["preset"]["epochs"], how["preset"]["draws"]) == (epochs, 0)
        assert (how["preset"]["batch"], how["precision"]) == (16, "no")
        assert "H100" in record["environment"]["device_name"]
        assert record["seeds"] == ([0, 1] if protocol in ("clip", "recording") and
                                   dataset == "donateacry" else [0, 1, 2])  # fmt: skip
        cells.append(cell(record["metrics"]["recording"]["metrics"][metric]))
        scores = [
            plain(metric, *of_seed(folder, record["labels"], seed)[:2]) for seed in record["seeds"]
        ]
        by_seed.append(", ".join(f"{score:.3f}" for score in scores))
    for row in (cells, by_seed):
        assert f"| {SYSTEMS[system]} | {' | '.join(row)} |" in README


def test_each_seed_of_resnet18_is_above_each_of_the_others_on_esc10():
    scores = {}
    for system in SYSTEMS:
        folder, record = ran("esc10", "recording", system)
        scores[system] = [
            plain("accuracy", *of_seed(folder, record["labels"], seed)[:2])
            for seed in record["seeds"]
        ]
    least = min(scores.pop("resnet18"))
    assert least > max(score for row in scores.values() for score in row)
    assert "On ESC-10 each seed of ResNet18 is above each seed of the others" in WORDS


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
    clip, recording, baby = (asked("donateacry", protocol) for protocol in PROTOCOLS)
    means = [one["scores"]["balanced_accuracy"]["mean"] for one in (clip, recording, baby)]
    said = "as recordings ({:.3f} to {:.3f}) and then babies ({:.3f}) are kept apart"
    assert said.format(*means) in WORDS
    assert means == sorted(means, reverse=True)
    kept = {label: 100 * share for label, share in baby["kept"].items()}
    hungry, rare = kept.pop("hungry"), kept.values()
    assert (
        f"{hungry:.0f} % of the hungry recordings and {min(rare):.0f} to {max(rare):.0f} %" in WORDS
    )
    auc = baby["scores"]["macro_auc"]
    measured = ran("donateacry", "baby", "improved-ecapa-tdnn")[1]["metrics"]["recording"]
    own = measured["metrics"]["macro_auc"]["value"]
    assert f"from {auc['low']:.2f} to {auc['high']:.2f}, so one of {own:.3f} can" in WORDS
    assert auc["low"] < own < auc["high"]
    assert min(
        one["scores"][name]["p"]
        for one in (clip, recording, baby)
        for name in ("balanced_accuracy", "macro_auc")
    ) > 0.05  # fmt: skip


def listed(values):
    """As a sentence lists three of them."""
    return "{:.3f}, {:.3f} and {:.3f}".format(*values)


SCORED = ("balanced_accuracy", "macro_auc")


def both(folder, labels, seed):
    """Of :data:`SCORED`."""
    table = of_seed(folder, labels, seed)[:2]
    return tuple(plain(name, *table) for name in SCORED)


def test_what_systems_score_with_dealt_reasons_follows_from_their_answers():
    true, anew, own = {}, {}, []
    for system in ("improved-ecapa-tdnn", "ecapa-tdnn"):
        folder, record = ran("donateacry", "clip", system)
        true[system] = [both(folder, record["labels"], seed) for seed in (0, 1)]
        anew[system] = [
            both(folder / f"shuffled-{dealing}", record["labels"], 0) for dealing in range(3)
        ]
        assert min(balanced for balanced, _ in true[system]) > max(b for b, _ in anew[system])
        for dealing, scores in enumerate(anew[system]):
            _, dealt_out = found_in(folder / f"shuffled-{dealing}")
            written = [dealt_out["metrics"]["recording"]["metrics"][n] for n in SCORED]
            assert [one["value"] for one in written] == pytest.approx(scores, abs=1e-6)
            assert all(one["low"] > guess for one, guess in zip(written, (0.2, 0.5), strict=True))
    for dealing in range(3):
        tables = [
            pd.read_csv(path / "predictions.csv", dtype=str).drop_duplicates("recording")
            for path in (folder, folder / f"shuffled-{dealing}")
        ]
        label, other = (table.set_index("recording")["label"] for table in tables)
        rare = label != "hungry"
        own.append(((other.loc[label.index] == label) & rare).sum())
    for system, title in (
        ("improved-ecapa-tdnn", "Improved ECAPA-TDNN"),
        ("ecapa-tdnn", "ECAPA-TDNN"),
    ):
        for number, name in enumerate(("balanced accuracy", "macro AUC")):
            row = [
                ", ".join(f"{one[number]:.3f}" for one in scores[system]) for scores in (true, anew)
            ]
            assert f"| {title}, {name} | {' | '.join(row)} |" in README
    lead, by_auc = (
        [
            [a[number] - b[number] for a, b in zip(*scores.values(), strict=True)]
            for scores in (true, anew)
        ]
        for number in (0, 1)
    )
    assert "{:.3f} and {:.3f} with the true reasons".format(*lead[0]) in WORDS
    assert f"reasons, {listed(lead[1])} with dealt ones; in macro AUC there is hardly any" in WORDS
    assert max(by_auc[0]) < 0.02 < max(by_auc[1])
    assert "were fitted to, {}, {} and {} of".format(*own) + f" {rare.sum()})" in WORDS


def test_what_the_readme_says_of_other_corpora_follows_from_theirs():
    clip, baby = (asked("donateacry_ios", p)["scores"]["macro_auc"] for p in ("clip", "baby"))
    for one, protocol in ((clip, "clip"), (baby, "baby")):
        said = f"under `{protocol}` (p = {one['p']:.2f})"
        assert f"{dealt(one)} {said}" in WORDS
        assert one["p"] > 0.05
    assert f"macro AUC {clip['value']:.3f} and, dealt out," in WORDS
    assert f"{baby['value']:.3f} and {dealt(baby)}" in WORDS
    made_up = asked("synthetic6", "baby")["scores"]["balanced_accuracy"]
    said = f"a linear classifier with {made_up['value']:.3f} ({dealt(made_up)} with kinds dealt out"
    assert said in WORDS
    assert made_up["p"] < 0.05
    scores = []
    for system in SYSTEMS:
        measured = ran("synthetic6", "baby", system)[1]["metrics"]["recording"]["metrics"]
        scores.append(measured["balanced_accuracy"]["value"])
    improved, *others = scores
    said = f"{improved:.3f}, the others with {min(others):.3f} to {max(others):.3f} and"
    assert f"the kind of cry with a balanced accuracy of {said}" in WORDS
    esc10 = asked("esc10", "recording")
    assert esc10["shuffles"] == 200
    assert esc10["scores"]["macro_auc"]["p"] == pytest.approx(1 / 201)  # none
    assert "none of 200 dealings scores as much" in WORDS


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


CLAIMED = (
    # claim, column, verdict, sign in README, its numbers
    ("improved beats ECAPA-TDNN", "ESC-10, `recording`", "undecided", 1, "0.008 [-0.009, 0.024]"),
    ("improved beats ResNet18", "ESC-10, `recording`", "undecided", -1, "0.025 [0.004, 0.050]"),
    ("ECAPA-TDNN beats ResNet18", "ESC-10, `recording`", "contradicted", -1,
     "0.033 [0.010, 0.057]"),
    ("improved beats ECAPA-TDNN", "Donate-a-Cry, `clip`", "undecided", 1, "0.085 [0.024, 0.140]"),
    ("improved beats ResNet18", "Donate-a-Cry, `clip`", "undecided", 1, "0.038 [-0.038, 0.105]"),
    ("MCA helps", "Donate-a-Cry, `clip`", "undecided", -1, "0.049 [-0.017, 0.101]"),
    ("MCA helps", "synthetic cries, `baby`", "undecided", 1, "0.024 [0.001, 0.050]"),
    ("differential attention helps", "synthetic cries, `baby`", "undecided", 1,
     "0.015 [-0.002, 0.033]"),
    ("RSE helps", "synthetic cries, `baby`", "undecided", 1, "0.011 [-0.006, 0.031]"),
)  # fmt: skip


@pytest.mark.parametrize(("claim", "column", "verdict", "sign", "numbers"), CLAIMED)
def test_what_the_readme_says_of_a_claim_stands_in_the_findings(
    claim, column, verdict, sign, numbers
):
    assert numbers in WORDS
    assert f"**{verdict}** {signed(numbers, sign)}" in verdicts(FINDINGS)[claim, column]


def signed(numbers, sign):
    """The same interval as FINDINGS has it, which says how far the first system is ahead."""
    value, low, high = (sign * float(n) for n in re.findall(r"-?\d\.\d{3}", numbers))
    low, high = sorted((low, high))
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def test_what_the_readme_says_of_all_claims_stands_in_the_findings():
    assert "0 are confirmed, 1 contradicted and 27 undecided" in FINDINGS
    assert "by balanced accuracy no claim of the paper is confirmed, and one contradicted" in WORDS
    found = verdicts(FINDINGS)
    for claim, column, p in (
        ("improved beats ResNet18", "ESC-10, `recording`", "p = 0.228"),
        ("ECAPA-TDNN beats ResNet18", "ESC-10, `recording`", "p = 0.045"),
        ("improved beats ECAPA-TDNN", "Donate-a-Cry, `clip`", "p = 0.063"),
    ):
        assert p in found[claim, column]
    assert "(paired, balanced accuracy; p = 0.23 after correction)" in WORDS
    assert "ahead of ECAPA-TDNN (p = 0.045)" in WORDS
    assert "ahead of ECAPA-TDNN (p = 0.063 after correction)" in WORDS
    first = re.search("On fold 1 alone, (.*)", FINDINGS)[1]
    improved, ecapa, resnet = (
        re.search(rf"[ ,]{name} ([\d.]+\d)", first)[1]
        for name in ("is: Improved ECAPA-TDNN", " ECAPA-TDNN", " ResNet18")
    )
    assert f"it is {resnet} against {improved} and {ecapa}." in WORDS


def test_what_the_readme_says_of_attention_stands_in_the_findings():
    part = FINDINGS.split("## Does the attention do anything?")[1]
    table = part[part.index("| neutral |") :].split("\n\n")[0].splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    said = {
        (name, row[0]): one
        for row in rows
        for name, one in zip(head[1:], row[1:], strict=True)
        if one != "-"
    }
    found = {
        key: [float(n) for n in re.findall(r"[-+]\d\.\d{3}", one)] for key, one in said.items()
    }
    clip = "Donate-a-Cry, `clip`, Improved ECAPA-TDNN"
    uniform = "A1 and A2 uniform"
    assert found[uniform, clip] == [-0.109, -0.187, -0.040]
    assert "loses 0.109 [0.040, 0.187] with A1 and A2 made uniform" in WORDS
    for system, lost in (("MCA", 0.131), ("RSE", 0.086)):
        value, _, high = found[uniform, f"{clip} w/o {system}"]
        assert (value, high < 0) == (-lost, True)
    assert "(0.131 and 0.086)" in WORDS
    for cell_title in ("Donate-a-Cry, `recording`", "Donate-a-Cry, `baby`", "ESC-10, `recording`"):
        low, high = found[uniform, f"{cell_title}, Improved ECAPA-TDNN"][1:]
        assert low < 0 < high
    gates = [
        n[0] for (name, _), n in found.items() if "MCA gate" in name or "A<sub>c</sub>" in name
    ]
    assert max(map(abs, gates)) == 0.031
    assert "move the score by at most 0.031, in both directions" in WORDS
    over_time = found[
        "A<sub>t</sub> its mean over time", "synthetic cries, `baby`, Improved ECAPA-TDNN"
    ]
    assert over_time == [-0.117, -0.187, -0.053]
    assert "over time it loses 0.117 [0.053, 0.187] on the made-up cries" in WORDS
    assert "and its two ablations there 0.044 each" in WORDS
    assert "not corrected for their number, 90: of so many, about 4.5 would" in FINDINGS
    assert len(found) == 90
    bold = [key for key, one in said.items() if one.startswith("**")]
    assert (len(bold), sum(found[key][0] > 0 for key in bold)) == (18, 6)
    assert "Of 90 such intervals 18 exclude zero, and in six of these the neutral one" in WORDS


def verdicts(findings):
    """(claim, cell) -> what its first table says."""
    head, _, *rows = (
        [part.strip() for part in line.strip("|").split("|")]
        for line in findings.split("## Verdicts")[1].split("\n\n")[1].splitlines()
    )
    return {
        (row[0], name): said for row in rows for name, said in zip(head[1:], row[1:], strict=True)
    }


def test_how_long_the_fits_are_is_that_of_the_trials():
    found = []
    for name, steps, pieces, augmentation in (
        ("steps600", 600, 320, (0.0, 0.0)),
        ("steps1200", 1200, 320, (0.0, 0.0)),
        ("steps1200-augmented", 1200, 320, (0.1, 0.2)),
        ("augmented-folds", 1200, 384, (0.1, 0.2)),
    ):
        record = tried(name)[1]
        preset = record["configuration"]["preset"]
        assert (preset["draws"], preset["epochs"] * pieces // 16) == (pieces, steps)
        how = preset["augmentation"]
        assert (how["speed"], how["mixup"]) == augmentation
        found.append(record["metrics"]["recording"]["metrics"]["accuracy"])
    *three, before = found
    first, second, third = (one["value"] for one in three)
    assert f"{first:.3f} with 600 steps, {second:.3f} with 1200, {third:.3f} with 1200 and" in WORDS
    assert f"the latter had reached {cell(before)} before" in WORDS
    short = [
        plain("accuracy", *of_seed(folder, record["labels"], 0)[:2])
        for folder, record in (
            tried("pcen-folds-resnet18"),
            ran("esc10", "recording", "resnet18"),
            tried("pcen-folds"),
            ran("esc10", "recording", "improved-ecapa-tdnn"),
        )
    ]
    assert short == pytest.approx([0.835, 0.927, 0.877, 0.902], abs=0.0006)
    assert "last there, 0.835 (now 0.927), and the improved system had 0.877 (now 0.902)" in WORDS


def test_what_log_mel_gave_is_that_of_the_trials():
    right = {}
    for name in ("log-mel-folds", "log-mel-folds-ecapa"):
        folder, record = tried(name)
        right[name] = plain("accuracy", *of_seed(folder, record["labels"], 0)[:2])
    behind = right["log-mel-folds-ecapa"] - right["log-mel-folds"]
    assert behind == pytest.approx(0.0675)
    assert "the improved system had been 0.068 [0.034, 0.101] behind ECAPA-TDNN" in WORDS
