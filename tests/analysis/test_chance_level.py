"""What dealt labels score, as the page and the findings show it."""

import json
from dataclasses import asdict

import pytest

from analysis.figures.leakage import leakage_figure
from analysis.findings_chance import chance_lines
from analysis.panels.leakage import LEAKAGE
from analysis.stats.claims import cells_of
from analysis.stats.paper import FULL
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import find_runs
from analysis.stats.side_results import dealt, read_chance
from tests.analysis.made_up_runs import FOLDS, write_run
from train.studies.permutation_test import Chance, against

CLIP = [0.30 + 0.001 * i for i in range(100)]
BABY = [0.30 + 0.0005 * i for i in range(100)]


def write_chance(root, protocol, value, draws, dataset="donateacry", folds=FOLDS):
    scores = dict.fromkeys(
        ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc"), against(value, draws)
    )
    kept = {"hungry": 0.6, "tired": 0.2}
    facts = Chance(dataset, "x", protocol, folds, 0, len(draws), "log-mel", kept, scores)
    text = json.dumps(asdict(facts))
    (root / dataset / protocol / "chance.json").write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path):
    for protocol, skill in (("clip", 2.5), ("baby", -3.0)):
        write_run(tmp_path, FULL, skill, protocol=protocol)
        write_run(tmp_path, "ecapa-tdnn", 2.5, protocol=protocol)
    write_run(tmp_path, FULL, 2.0, dataset="esc10", protocol="recording")
    write_chance(tmp_path, "clip", 0.35, CLIP)
    write_chance(tmp_path, "baby", 0.9, BABY)
    return tmp_path


def test_each_protocol_has_its_own_and_none_where_none_was_asked(root):
    found = find_runs(root)
    level = read_chance(found.of("donateacry", "clip")[FULL])
    one = level.scores["macro_auc"]
    assert level.shuffles == 100
    assert (one.value, one.dealt.value) == (0.35, pytest.approx(0.3495))
    assert (one.dealt.low, one.dealt.high) == (pytest.approx(0.302475), pytest.approx(0.396525))
    assert one.p == pytest.approx(51 / 101)
    assert (level.kept, level.front_end) == (pytest.approx(0.4), "log-mel")
    assert read_chance(found.of("esc10", "recording")[FULL]) is None
    ways = dealt(found.runs, "macro_f1")
    assert sorted((way.dataset, way.protocol) for way in ways) == [
        ("donateacry", "baby"),
        ("donateacry", "clip"),
    ]
    write_chance(root, "clip", 0.35, CLIP, folds=FOLDS + 1)
    assert [way.protocol for way in dealt(found.runs, "macro_f1")] == ["baby"]


def test_the_panel_shows_them_beside_the_systems(root):
    found = find_runs(root)
    cell = next(cell for cell in LEAKAGE.cells(found) if cell.dataset == "donateacry")
    scores = LEAKAGE.exhibits(found, cell, {"metric": "balanced_accuracy"})[0]
    line = next(t for t in scores.figure.data if "dealt out" in t.name)
    assert list(line.x) == ["clip", "baby"]
    assert list(line.y) == pytest.approx([0.3495, 0.32475])
    assert "among babies with as many recordings" in scores.note
    row = scores.table.set_index("balanced accuracy").loc[
        "linear classifier, labels dealt out anew"
    ]
    assert row["clip"] == "0.350 [0.302, 0.397]"


def test_with_several_datasets_they_stand_in_the_panel_of_their_own(root):
    found = find_runs(root)
    figure = leakage_figure(found.runs, beside=dealt(found.runs, "balanced_accuracy"))
    (line,) = [t for t in figure.data if "dealt out" in t.name]
    assert line.xaxis == next(t for t in figure.data if list(t.x) == ["clip", "baby"]).xaxis


def test_the_findings_say_where_nothing_need_have_been_learnt(root):
    text = "\n".join(chance_lines(cells_of(find_runs(root).runs)))
    assert (
        "| Donate-a-Cry, `clip`, log-mel, macro auc | 0.350 | 0.350 [0.302, 0.397] | 0.505 |"
        in text
    )
    assert "| Donate-a-Cry, `baby`, log-mel, macro auc | 0.900 |" in text
    assert "On Donate-a-Cry (`clip`) the linear classifier is not shown to do better" in text
    assert "(`baby`) the linear" not in text
    within = next(line for line in text.splitlines() if line.startswith("- Within what dealt"))
    assert "scores on Donate-a-Cry, `baby` of Improved ECAPA-TDNN. Those" in within
    above = next(line for line in text.splitlines() if line.startswith("- Above what dealt"))
    assert "on Donate-a-Cry, `clip` of all systems; on Donate-a-Cry, `baby` of ECAPA-TDNN." in above
    assert "100 times" in text
    assert "40 % on Donate-a-Cry, `clip`" in text


def test_without_the_test_the_findings_say_nothing(tmp_path):
    write_run(tmp_path, FULL)
    assert chance_lines(cells_of(find_runs(tmp_path).runs)) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"scores": {"macro_auc": {"value": 1}}}'])
def test_a_damaged_file_is_one_sentence(root, text):
    (root / "donateacry" / "clip" / "chance.json").write_text(text)
    with pytest.raises(ResultsError, match=r"chance\.json is not as train chance writes it"):
        read_chance(find_runs(root).of("donateacry", "clip")[FULL])
