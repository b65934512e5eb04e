"""Write results folders in the format of ``train fit``, with simulated predictions."""

import json

import numpy as np
import pandas as pd

from analysis.panels.base import CellKey
from cry_model import results as schema
from cry_model.results import ordered, probability_columns, recording_means, write_predictions
from train.scoring import results

BABY, CLIP = CellKey("donateacry", "baby"), CellKey("donateacry", "clip")
LABELS = ("burping", "hungry", "tired")
FOLDS = 3
PRESET = {"name": "best", "epochs": 30, "batch": 32, "front_end": {"kind": "log-mel"}}


def recordings(count=90, babies=30, seed=0):
    """Return recordings, babies and labels of a corpus; ``hungry`` is the majority label."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "recording": [f"r{i:03d}" for i in range(count)],
            "group": [f"{i:03d}" for i in rng.integers(babies, size=count)],  # 007 must stay text
            "label": rng.choice(LABELS, count, p=[0.15, 0.6, 0.25]),
        }
    )


def answers(corpus, skill, seed, fit_seed, pieces=2):
    """Return predictions of one seed; ``skill`` is added to the true label's logit."""
    rng = np.random.default_rng((seed, fit_seed))
    table = corpus.loc[corpus.index.repeat(pieces)].reset_index(drop=True)
    truth = np.eye(len(LABELS))[[LABELS.index(label) for label in table["label"]]]
    logits = rng.normal(size=truth.shape) + skill * truth
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    fold_of = {g: int(g) % FOLDS for g in corpus["group"]}
    return table.assign(
        clip=[f"{r}#{i % pieces}" for i, r in enumerate(table["recording"])],
        fold=table["group"].map(fold_of),
        seed=fit_seed,
        **dict(zip(probability_columns(LABELS), shares.T, strict=True)),
    )


def write_run(
    root, system, skill=1.0, seeds=(0,), dataset="donateacry", protocol="baby", noise=None, **preset
):
    """Write one run below ``root``, scored as a real one; return its folder."""
    folder = root / dataset / protocol / system
    noise = sum(map(ord, system)) if noise is None else noise
    corpus = recordings()
    table = pd.concat([answers(corpus, skill, noise, seed) for seed in seeds], ignore_index=True)
    write_predictions(folder, ordered(table, LABELS))
    table = recording_means(results.existing_predictions(folder), LABELS)
    facts = {"dataset": dataset, "protocol": protocol, "folds": FOLDS}
    scores = {"recording": schema.score(table, LABELS, **facts)}
    record = {
        "configuration": {**facts, "system": system, "preset": {**PRESET, **preset}},
        "wall_seconds": {f"seed {s}, fold {f}": 60.0 for s in seeds for f in range(FOLDS)},
        "labels": list(LABELS),
        "seeds": list(seeds),
        "parameters": 1000,
        "multiply_adds_5s": 2000,
        "environment": {"device": "cpu", "precision": "float32"},
    }
    schema.write_run(folder, record, scores)
    return folder


def change_record(folder, **fields):
    """Set fields in the ``run.json`` of a run; merge a dict that is not empty into the old one."""
    record = json.loads((folder / "run.json").read_text())
    for name, value in fields.items():
        added = {**record.get(name, {}), **value} if isinstance(value, dict) and value else value
        record[name] = added
    (folder / "run.json").write_text(json.dumps(record))


def change_table(folder, change):
    path = folder / "predictions.csv"
    change(pd.read_csv(path, dtype={"group": str})).to_csv(path, index=False)
