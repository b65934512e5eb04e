"""The detector's numbers out of the committed scores, against scikit-learn and pandas."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cry_model.results import write_predictions
from tests.conftest import ROOT
from train.data.corpus import DataError
from train.scoring.detector import ONSETS, TABLE, describe, lower_quantile, read_scores, summarise


@pytest.fixture(scope="module")
def table():
    return read_scores(ROOT / "assets/results/detector/baby/resnet18")


@pytest.fixture(scope="module")
def found(table):
    return summarise(table)


def parts(table):
    """What nothing was done to: cries for certain, and other sounds."""
    plain = table[(table["without"] == "") & (table["condition"] == "")]
    heard = (plain["kind"] == "donateacry") & (plain["tagger"] >= 0.5)
    cries = plain[heard | (plain["kind"] == "baby_cry")]
    return plain, cries, plain[plain["label"] == "other"]


@pytest.mark.parametrize("factor", [1.0, 0.2])
def test_97_in_100_cries_reach_the_threshold_and_99_may_be_cries_unless_others_would(table, factor):
    own = np.where(table["label"] == "other", factor * table["score"], table["score"])
    table = table.assign(score=own)
    found, (_, cries, others) = summarise(table), parts(table)
    assert (cries["score"] >= found.threshold).mean() >= 0.97
    assert (cries["score"] > found.threshold).mean() < 0.97
    assert lower_quantile(pd.Series(np.arange(1, 101)), 0.97) == 4
    assert found.maybe <= found.threshold
    enough = (cries["score"] >= found.maybe).mean() >= 0.99
    assert enough or (others["score"] >= found.maybe).mean() == pytest.approx(0.05, abs=0.01)


def test_areas_and_rates_are_those_of_scikit_learn_beside_the_taggers(found, table):
    plain, cries, others = parts(table)
    both = pd.concat([cries, others])
    level = np.sort(cries["tagger"])[::-1][int(np.ceil(0.97 * len(cries))) - 1]
    for estimate, value in (
        (found.area, roc_auc_score(both["label"] == "cry", both["score"])),
        (found.tagger_area, roc_auc_score(both["label"] == "cry", both["tagger"])),
        (found.accepted, (cries["score"] >= found.threshold).mean()),
        (found.false_accepts, (others["score"] >= found.threshold).mean()),
        (found.tagger_false_accepts, (others["tagger"] >= level).mean()),
    ):
        assert estimate.value == pytest.approx(value)
        assert estimate.low <= estimate.value <= estimate.high
    shares = plain.groupby("kind")[["score", "tagger"]].agg(list)
    assert set(found.kinds) == set(shares.index)
    for kind, (own, theirs) in found.kinds.items():
        assert own == pytest.approx(np.mean(np.array(shares.loc[kind, "score"]) >= found.threshold))
        assert theirs == pytest.approx(np.mean(np.array(shares.loc[kind, "tagger"]) >= level))


def test_conditions_families_alarms_and_delay_are_counted_by_hand(found, table):
    for name, (own, _) in found.conditions.items():
        rows = table[table["condition"] == name]
        assert own == pytest.approx((rows["score"] >= found.threshold).mean())
    for name, share in found.unheard.items():
        rows = table[table["without"] == name]
        assert share == pytest.approx((rows["score"] >= found.threshold).mean())
    others = parts(table)[2]
    loud = [v for cell in others["stretches"] for v in cell.split() if float(v) >= found.threshold]
    hours = others["seconds"].sum() / 3600
    assert found.alarms_per_hour[0] == pytest.approx(len(loud) / hours)
    cells = table.loc[table["condition"] == ONSETS, "stretches"]
    first = [[float(v) >= found.threshold for v in cell.split()] for cell in cells]
    delays = [0.5 * (row.index(True) + 1) if any(row) else np.inf for row in first]
    assert found.delay == np.median(delays)
    silent = table.assign(stretches=table["stretches"].where(table["condition"] != ONSETS, "0"))
    assert summarise(silent).delay is None


def test_the_numbers_go_with_the_weights_into_json_and_into_words(found, table):
    record = found.record()
    assert (record.threshold, record.maybe) == (found.threshold, found.maybe)
    assert record.kinds["rooster"] == found.kinds["rooster"][0]
    json.dumps(asdict(summarise(table[table["condition"] == ""])), allow_nan=False)
    assert all(name in describe(found) for name in (f"{found.threshold:.3f}", "rooster", "-5 dB"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("stretches", "strings"),
        lambda text: text + text.splitlines()[1] + "\n",
        lambda text: text.replace("0.", "x.", 1),
        lambda text: "",
    ],
)
def test_a_damaged_table_is_one_sentence(table, tmp_path, damage):
    write_predictions(tmp_path, table.iloc[:50], TABLE)
    path = tmp_path / TABLE
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match="damaged") as error:
        summarise(read_scores(tmp_path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
