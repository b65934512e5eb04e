"""The detector's numbers, against scikit-learn and by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from train.studies.detector import describe, lower_quantile, summarise


@pytest.fixture(scope="module")
def table():
    """Scores of cries around 0.8 and of others around 0.3, some of them mixed or left out."""
    rng = np.random.default_rng(0)
    rows = []
    for kind, label, centre, count in (
        ("donateacry", "cry", 0.75, 200),
        ("baby_cry", "cry", 0.85, 40),
        ("rooster", "other", 0.5, 40),
        ("rain", "other", 0.2, 40),
        ("siren", "other", 0.4, 30),
    ):
        for n in range(count):
            rows.append((f"{kind}/{n}", kind, f"{kind}{n // 2}", label, "", ""))
            rows[-1] += (float(np.clip(rng.normal(centre, 0.15), 0, 1)),)
    for snr in ("-5", "20"):
        for n in range(50):
            score = float(np.clip(rng.normal(0.5 if snr == "-5" else 0.8, 0.1), 0, 1))
            rows.append((f"donateacry/{n}@{snr}", "donateacry", f"d{n}", "cry", "", snr, score))
    for n in range(40):
        score = float(rng.random())
        rows.append((f"rooster/{n}", "rooster", f"r{n}", "other", "rooster", "", score))
    names = ["recording", "kind", "group", "label", "without", "snr_db", "score"]
    return pd.DataFrame(rows, columns=names)


def test_95_in_100_of_esc10s_cries_reach_the_threshold_and_no_higher_one(table):
    scores = table.loc[(table["kind"] == "baby_cry") & (table["snr_db"] == ""), "score"]
    threshold = summarise(table).threshold
    assert (scores >= threshold).mean() >= 0.95
    assert (scores > threshold).mean() < 0.95
    assert lower_quantile(pd.Series(np.arange(1, 101))) == 6


def test_areas_are_those_of_scikit_learn(table):
    found = summarise(table)
    plain = table[(table["snr_db"] == "") & (table["without"] == "")]
    esc = plain[plain["kind"].isin(["baby_cry", "rooster", "rain"])]
    for part, estimate in ((esc, found.area), (plain, found.area_all)):
        expected = roc_auc_score(part["label"] == "cry", part["score"])
        assert estimate.value == pytest.approx(expected)
        assert estimate.low <= estimate.value <= estimate.high


def test_rates_are_shares_at_the_threshold(table):
    found = summarise(table)
    plain = table[(table["snr_db"] == "") & (table["without"] == "")]

    def share(part):
        return (part["score"] >= found.threshold).mean()

    assert found.accepted.value == pytest.approx(share(plain[plain["kind"] == "baby_cry"]))
    others = plain[plain["kind"].isin(["rooster", "rain"])]
    assert found.false_accepts.value == pytest.approx(share(others))
    for kind, value in found.kinds.items():
        assert value == pytest.approx(share(plain[plain["kind"] == kind]))
    mixed = table[table["snr_db"] != ""]
    assert found.mixed == {
        "-5": pytest.approx(share(mixed[mixed["snr_db"] == "-5"])),
        "20": pytest.approx(share(mixed[mixed["snr_db"] == "20"])),
    }
    assert found.unheard == {"rooster": pytest.approx(share(table[table["without"] == "rooster"]))}


def test_the_numbers_go_with_the_weights_and_into_words(table):
    found = summarise(table)
    record = found.record()
    assert record.threshold == found.threshold
    assert record.unheard == found.unheard
    assert f"{found.threshold:.3f}" in describe(found)
    assert "rooster" in describe(found)
