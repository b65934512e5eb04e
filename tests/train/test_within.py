"""Choices are made within the training part of a fold, and never see what it tests."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import cry_model
from tests.train.small_fit import RESULTS, SYSTEM, fit
from train.data.clips import cut_before_splitting
from train.data.corpus import ONLY_LEARNT, DataError
from train.data.splits import PROTOCOLS, OuterFold, split
from train.fit.cross_validation import saved_folds
from train.fit.presets import BEST


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_that_the_fold_tests_is_left(clips, protocol):
    units = cut_before_splitting(clips, BEST.front_end) if protocol == "clip" else clips
    key = PROTOCOLS[protocol]
    part = OuterFold(1, 3).training_part(units, protocol, 2)
    tested = units.subset(np.flatnonzero(split(units.items, protocol, 3, 0) == 1))
    assert len(part.items) + len(tested.items) == len(units.items)
    assert not {key(item) for item in part.items} & {key(item) for item in tested.items}


def test_official_folds_are_dealt_out_whole(clips):
    items = tuple(replace(item, fold=i % 5) for i, item in enumerate(clips.items))
    part = OuterFold(2, 5).training_part(replace(clips, items=items), "recording", 2)
    was = {item.recording: item.fold for item in items}
    permuted = {(was[item.recording], item.fold) for item in part.items}
    assert permuted == {(0, 0), (1, 1), (3, 0), (4, 1)}


def test_what_a_test_part_leaves_is_split_anew(clips):
    tested = {item.group for item in clips.items[::6]}
    items = [replace(i, fold=0 if i.group in tested else ONLY_LEARNT) for i in clips.items]
    part = OuterFold(0, 1).training_part(replace(clips, items=tuple(items)), "baby", 2)
    assert {item.group for item in part.items} == {item.group for item in items} - tested
    assert set(split(part.items, "baby", 2, 0)) == {0, 1}


def test_a_trial_is_scored_on_inner_folds_and_keeps_no_final_model(made_up_root, tmp_path, clips):
    more = ("--folds", "3", "--outer-fold", "0", "--save-folds")
    assert fit(made_up_root, tmp_path, *more) == 0
    table = pd.read_csv(tmp_path / RESULTS / "predictions.csv")
    tested = np.flatnonzero(split(clips.items, "baby", 3, 0) == 0)
    assert set(table["fold"]) == {0, 1}
    assert len(table["recording"].unique()) == len(clips.items) - len(tested)
    assert not set(table["recording"]) & {clips.items[i].recording for i in tested}
    record = json.loads((tmp_path / RESULTS / "run.json").read_text())
    assert record["configuration"]["within"]["fold"] == 0
    assert not (tmp_path / "checkpoints").exists()
    (_, _, folder), _ = saved_folds(tmp_path, "donateacry", "baby", SYSTEM)
    assert cry_model.load_checkpoint(folder)[1].training["within"]["fold"] == 0


def test_a_fold_that_there_is_not_is_one_sentence(made_up_root, tmp_path, capsys):
    assert fit(made_up_root, tmp_path, "--folds", "3", "--outer-fold", "3") == 2
    assert "--outer-fold counts from 0" in capsys.readouterr().err


def test_a_corpus_is_too_small_for_some_folds(clips):
    with pytest.raises(DataError):
        OuterFold(0, 40).training_part(clips, "baby", 2)
