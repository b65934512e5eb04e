"""Test what the study of personal models simulates, reads and reports."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from cry_model.one_baby.personal import DAY, LEVEL, NEEDED
from tests.conftest import ROOT
from tests.train.folders import touch
from train.data.corpus import DataError
from train.studies.personal import (
    POWER,
    covariance_within,
    first_better,
    installations,
    on_synthetic,
    pooled,
    power,
    simulate,
)

COVARIANCE = np.diag([4.0, 2.0, 1.0, 0.5])


def parent(seed, effect, correct=1.0, nights=200, cries=10_000):
    rng = np.random.default_rng(seed)
    return simulate(rng, COVARIANCE, effect, correct, cries, nights, 0.0)


def test_simulated_reasons_have_the_given_effect_size():
    found = []
    for seed in range(30):
        diary = parent(seed, 1.5)
        centres = pd.DataFrame(diary.rows).groupby(np.array(diary.labels)).mean().to_numpy()
        lines = [one - other for one, other in combinations(centres, 2)]
        found += [line @ line / np.sqrt(line @ COVARIANCE @ line) for line in lines]
    assert np.mean(found) == pytest.approx(1.5, rel=0.1)
    assert min(np.diff(diary.times)) >= 3600
    assert len(np.unique(np.floor(diary.times / DAY))) == 200
    assert len(diary.times) / 200 == pytest.approx(3, rel=0.15)


def test_better_is_reported_soon_with_an_effect_and_rarely_without():
    soon = [first_better(parent(seed, 3.0, nights=40)) for seed in range(5)]
    assert all(after is not None and 8 <= after <= 60 for after in soon)
    never = [first_better(parent(seed, 0.0, nights=40)) for seed in range(40)]
    assert sum(after is not None for after in never) <= 6
    found = power(COVARIANCE, 3.0, 1.0, 8)
    assert found["cries_for_80_percent"] <= 60
    assert found["better"]["200"]["count"] == 8


def test_duplicate_uploads_count_once(tmp_path):
    app = "0D1AD73E-4C5E-45F3-85C4-9A3CB71E8856"
    uploads = (
        f"donateacry/hungry/{app.lower()}-1430742197-1.0-m-04-hu.wav",
        f"donateacry_ios/{app}-1430742197-1.0-m-04-hu.flac",
        f"donateacry_ios/{app}-1430742999-1.0-m-04-dk.flac",  # of unknown reason
        f"donateacry_android/{app}-1430742198123-1.0-m-04-ti.3gp",
    )
    touch(*(tmp_path / upload for upload in uploads))
    found = installations(tmp_path)
    assert [(t, reason) for t, reason, _ in found[app.lower()]] == [
        (1430742197.0, "hungry"),
        (1430742198.0, "sleepy"),
    ]
    with pytest.raises(DataError, match="no Donate-a-Cry uploads"):
        installations(tmp_path / "nowhere")


def test_random_labels_of_synthetic_babies_show_no_skill():
    diaries = [parent(seed, 3.0, cries=48) for seed in range(3)]
    assert covariance_within(diaries) == pytest.approx(COVARIANCE * 1.25, abs=2)
    random = on_synthetic(diaries, 0.0)
    assert (random["better"]["count"], random["babies"]) == (0, 3)
    assert on_synthetic(diaries, 1.0)["accuracy"] > random["accuracy"] + 0.2


def test_installations_are_pooled_by_their_cries():
    def one(cries, right, p):
        skill = {"accuracy": {"value": right}, "permutation_p": p, "evidence": 1.0}
        return {"cries": cries, "constant_accuracy": 0.5, "skill": skill}

    found = pooled([one(10, 0.4, 0.5), one(6, 0.5, 1.0)])
    assert (found["cries"], found["right"], found["right_by_constant_answers"]) == (16, 7, 8)
    assert 0.5 < found["fisher_p"] <= 1


def test_claims_of_the_page_follow_from_the_committed_study():
    file = ROOT / "assets" / "results" / "personal" / "study.json"
    found = json.loads(file.read_text(encoding="utf-8"))
    nights, fair = found["false_alarms"][0], {"effect": 1.0, "labels_correct": 0.8}
    assert nights["nights"] == 200
    assert nights["better"]["of"] >= 400
    assert nights["better"]["high"] < 2 * LEVEL
    (usual,) = (one for one in found["power"] if fair.items() <= one.items())
    assert round(usual["cries_for_80_percent"], -1) == NEEDED
    assert POWER == 0.8
