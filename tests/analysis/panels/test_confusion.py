"""Check confusion matrices against scikit-learn's, from the same predictions.csv."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from analysis.figures.confusion import BLUES, confusion_figure
from analysis.panels.base import COMPARED, CellKey
from analysis.panels.confusion import CONFUSION, PAPER, cell_list
from analysis.stats.paper import FULL
from analysis.stats.runs import find_runs
from cry_model.checkpoint import PAPER_REFERENCE
from cry_model.records import words
from tests.analysis.synthetic_runs import BABY, LABELS, change_table, write_run
from tests.plain import rows_of


def expected(run, **options):
    _, truth, p = rows_of(run)
    return confusion_matrix(truth, p.argmax(1), labels=range(len(run.labels)), **options)


def square(data, value):
    table = data.pivot(index="true", columns="answer", values=value)
    return table.loc[list(LABELS), list(LABELS)].to_numpy()


def test_matrices_match_scikit_learn(found):
    exhibits = CONFUSION.exhibits(found, BABY)
    assert len(exhibits) == 4  # the paper's three models, and a cell's recordings
    for exhibit, system in zip(exhibits, COMPARED, strict=False):
        run = found.of(*BABY)[system]
        shares = 100 * expected(run, normalize="true")
        np.testing.assert_array_equal(square(exhibit.data, "count"), expected(run))
        np.testing.assert_allclose(100 * square(exhibit.data, "share"), shares)
        np.testing.assert_allclose(square(exhibit.data, "drawn"), shares)
        np.testing.assert_allclose(np.array(exhibit.figure.data[0].z, float), shares, atol=1e-3)
        assert set(exhibit.data["system"]) == {system}
    assert len(CONFUSION.exhibits(found, BABY, {"models": "all"})) == 6
    alone, _ = CONFUSION.exhibits(found, CellKey("esc10", "recording"))  # none of the three: all
    assert alone.title == "Feature MLP"


def test_counts_with_zero_diagonal(found):
    exhibit = CONFUSION.exhibits(found, BABY, {"unit": "counts", "zero_diagonal": True})[0]
    counts = expected(found.of(*BABY)[FULL])
    assert np.trace(square(exhibit.data, "count")) == np.trace(counts)  # the data keep the diagonal
    np.fill_diagonal(counts, 0)
    np.testing.assert_array_equal(square(exhibit.data, "drawn"), counts)
    assert set(np.reshape(exhibit.figure.data[1].text, counts.shape).diagonal()) == {""}
    assert f", {counts.max()} of " in exhibit.note
    assert len(CONFUSION.exhibits(found, BABY)[-1].data) == counts.max()  # all are listed


def luminance(colour):
    channels = np.array(colour) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_numbers_contrast_with_their_cells():
    names, drawn = list("abcdefghij"), np.linspace(0, 1, 100)
    places = {"true": np.repeat(names, 10), "answer": np.tile(names, 10)}
    cells = pd.DataFrame({**places, "drawn": drawn, "count": 1, "of": 1})
    texts = confusion_figure(cells, "", 1.0).data[1].textfont.color
    light, dark = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in BLUES)
    for share, text in zip(drawn, texts, strict=True):
        behind = luminance(light + share * (dark - light))
        on = luminance([int(text[i : i + 2], 16) for i in (1, 3, 5)])
        assert (max(on, behind) + 0.05) / (min(on, behind) + 0.05) >= 4.5


def test_absent_class_is_nan(tmp_path):
    folder = write_run(tmp_path, FULL)
    change_table(folder, lambda t: t.assign(label=t["label"].replace("burping", "tired")))
    exhibit, _ = CONFUSION.exhibits(find_runs(tmp_path), BABY)
    assert np.isnan(exhibit.figure.data[0].z[0]).all()
    assert exhibit.data["share"].isna().sum() == len(LABELS)


def test_values_of_the_paper_match_its_file():
    for printed in json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))["confusion"]:
        assert f"{' and '.join(printed['labels'])} {100 * printed['value']:.4g}%" in PAPER


def test_cell_lists_its_recordings_most_confident_first(found):
    run = found.of(*BABY)[FULL]
    means, _, p = rows_of(run)
    own = means[(means["label"] == "hungry") & (p.argmax(1) == LABELS.index("tired"))]
    listed = cell_list(run, "hungry", "tired")
    surest = {(row.seed, row.recording): round(100 * row.p_tired, 1) for row in own.itertuples()}
    shown = zip(listed["Seed"], listed["Recording"], listed["tired (%)"], strict=True)
    assert {(seed, recording): p for seed, recording, p in shown} == pytest.approx(surest)
    assert list(listed["tired (%)"]) == sorted(surest.values(), reverse=True)


def test_click_on_a_cell_lists_its_recordings(found):
    exhibit = CONFUSION.exhibits(found, BABY)[1]
    counts, heat = expected(found.of(*BABY)["ecapa-tdnn"]), exhibit.figure.data[0]
    shares = 100 * counts / counts.sum(1, keepdims=True)
    for row, cells in enumerate(heat.meta["cell"]):
        for column, chosen in enumerate(cells):
            place = LABELS.index(chosen["true"]), LABELS.index(chosen["answer"])
            assert (heat.y[row], heat.x[column]) == tuple(words(LABELS[i]) for i in place)
            assert float(heat.z[row][column]) == pytest.approx(shares[place], abs=1e-3)
            assert chosen["of"] == "ecapa-tdnn"
            assert len(CONFUSION.exhibits(found, BABY, chosen)[-1].data) == counts[place]
