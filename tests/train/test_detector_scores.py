"""The detector's numbers, against scikit-learn and pandas, and the table that they come from."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from cry_model.records import DetectorRecord
from cry_model.results import write_predictions
from train.data.corpus import DataError
from train.scoring.detector import ONSETS, TABLE, describe, lower_quantile, read_scores, summarise

KINDS = (  # kind, label, centres of the detector's and the tagger's scores, how many
    ("donateacry", "cry", 0.7, 0.6, 200),
    ("baby_cry", "cry", 0.85, 0.8, 40),
    ("donateacry_android", "", 0.3, 0.3, 30),
    ("rooster", "other", 0.4, 0.3, 40),
    ("rain", "other", 0.1, 0.1, 40),
    ("siren", "other", 0.3, 0.4, 30),
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Scores as a check writes and reads them."""
    rng = np.random.default_rng(0)

    def draw(centre):
        return float(np.clip(rng.normal(centre, 0.2), 0.001, 0.999))

    def row(kind, label, number, own, theirs, condition="", without="", stretches=None):
        parts = [own, *rng.uniform(0, own, 2)] if stretches is None else stretches
        return {
            "recording": f"{kind}/{number}",
            "kind": kind,
            "group": f"{kind}{number // 2}",
            "label": label,
            "seconds": 15.0,
            "condition": condition,
            "score": own,
            "tagger": theirs,
            "stretches": " ".join(f"{v:.3f}" for v in parts),
            "tagger_stretches": "" if condition else f"{theirs:.3f} 0.000 0.000",
            "fold": -1 if without else number % 5,
            "without": without,
        }

    rows = []
    for kind, label, own, theirs, count in KINDS:
        rows += [row(kind, label, n, draw(own), draw(theirs)) for n in range(count)]
    for condition, centre in (("-5 dB", 0.5), ("pitch 1.5", 0.6), ("1 s", 0.7)):
        rows += [
            row("baby_cry", "cry", n, draw(centre), draw(0.5), condition, stretches=())
            for n in range(30)
        ]
    for n in range(9):  # five are heard after a second, one later, three never
        times = [0.0, 0.99 if n < 5 else 0.0, 0.99 if n < 6 else 0.0]
        rows.append(row("baby_cry", "cry", n, 0.99, 0.9, ONSETS, stretches=times))
    rows += [row("rooster", "other", n, draw(0.6), draw(0.3), "", "rooster") for n in range(40)]
    folder = tmp_path_factory.mktemp("scores")
    write_predictions(folder, pd.DataFrame(rows), TABLE)
    return read_scores(folder)


@pytest.fixture(scope="module")
def found(table):
    return summarise(table)


@pytest.fixture(scope="module")
def plain(table):
    return table[(table["without"] == "") & (table["condition"] == "")]


@pytest.fixture(scope="module")
def cries(plain):
    """ESC-10's, and the uploads in which the tagger hears one."""
    heard = (plain["kind"] == "donateacry") & (plain["tagger"] >= 0.5)
    return plain[heard | (plain["kind"] == "baby_cry")]


def test_97_in_100_cries_reach_the_threshold_and_no_higher_one_does(found, cries):
    assert (cries["score"] >= found.threshold).mean() >= 0.97
    assert (cries["score"] > found.threshold).mean() < 0.97
    assert lower_quantile(pd.Series(np.arange(1, 101)), 0.97) == 4


def test_areas_and_rates_are_those_of_scikit_learn_beside_the_taggers(found, plain, cries):
    others = plain[plain["label"] == "other"]
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
    for kind, (own, theirs) in found.kinds.items():
        rows = plain[plain["kind"] == kind]
        assert own == pytest.approx((rows["score"] >= found.threshold).mean())
        assert theirs == pytest.approx((rows["tagger"] >= level).mean())
    assert set(found.kinds) == {kind for kind, *_ in KINDS}


def test_conditions_families_alarms_and_delay_are_counted_by_hand(found, table, plain):
    assert set(found.conditions) == {"-5 dB", "pitch 1.5", "1 s"}
    for name, (own, _) in found.conditions.items():
        rows = table[table["condition"] == name]
        assert own == pytest.approx((rows["score"] >= found.threshold).mean())
    rows = table[table["without"] == "rooster"]
    assert found.unheard == {"rooster": pytest.approx((rows["score"] >= found.threshold).mean())}
    others = plain[plain["label"] == "other"]
    loud = [v for cell in others["stretches"] for v in cell.split() if float(v) >= found.threshold]
    assert found.alarms_per_hour[0] == pytest.approx(len(loud) / (len(others) * 15 / 3600))
    assert found.delay == 1.0
    missed = table[(table["condition"] != ONSETS) | (table["recording"] > "baby_cry/4")]
    assert summarise(missed).delay is None


def test_the_numbers_go_with_the_weights_into_json_and_into_words(found, table):
    record = found.record()
    assert isinstance(record, DetectorRecord)
    assert (record.threshold, record.maybe) == (found.threshold, found.maybe)
    assert record.tagger == found.tagger_false_accepts.value
    assert record.kinds["rooster"] == found.kinds["rooster"][0]
    json.dumps(asdict(summarise(table[table["condition"] == ""])), allow_nan=False)
    told = describe(found)
    assert f"{found.threshold:.3f}" in told
    assert all(name in told for name in ("rooster", "-5 dB", "tagger_false_accepts"))


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
    write_predictions(tmp_path, table, TABLE)
    path = tmp_path / TABLE
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match="damaged") as error:
        summarise(read_scores(tmp_path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
