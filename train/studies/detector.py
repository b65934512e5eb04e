"""Fit the detector, and find out what it is worth on sounds that it never heard.

Each fold of the corpus is fitted without the recordings that it tests. Then, family by family,
the detector is fitted without a whole kind of sound and asked about that: how it will do on sounds
that
are in no corpus of ours. The threshold comes from the folds and goes with the weights, which are
fitted on everything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from cry_model.checkpoint import load_checkpoint, save_checkpoint
from cry_model.detector import DetectionScores, score_windows
from cry_model.frontend import FrontEnd
from cry_model.metrics import bootstrap, mean
from cry_model.records import DetectorRecord, Estimate, percent
from cry_model.results import (
    read_table,
    require_columns,
    require_unique,
    write_predictions,
    write_run,
)
from train.data import synthetic_sounds
from train.data.clips import Clips
from train.data.corpus import DataError
from train.data.datasets.detector import CRY, ESC_CRY, FOLDS, RAISED_SPEECH, SPEECH, kind_of
from train.data.datasets.esc10 import LABELS as ESC10
from train.fit.final import final_fit
from train.fit.run import Run
from train.fit.trainer import train_model
from train.scoring import results

ACCEPTED = 0.95
"""Share of the cries that the threshold lets pass."""


@dataclass(frozen=True)
class DetectorScore:
    """A detector on held-out recordings, one score each.

    Attributes:
        threshold: that which :data:`ACCEPTED` of ESC-10's held-out cries reach. Those are labelled
            by who heard them; in Donate-a-Cry there is a cry wherever a parent pressed a button.
        area: AUC on ESC-10, cries against its nine other classes, in its own folds.
        accepted, false_accepts: share of ESC-10's cries, and of its other sounds, that reach the
            threshold.
        area_all: AUC on everything.
        kinds: kind of recording -> share that reaches the threshold.
        mixed: decibels that a cry lies above another sound -> share that still reaches it.
        unheard: kinds that a detector was fitted without -> share of them that it accepts.
    """

    threshold: float
    area: Estimate
    accepted: Estimate
    false_accepts: Estimate
    area_all: Estimate
    kinds: dict[str, float] = field(default_factory=dict)
    mixed: dict[str, float] = field(default_factory=dict)
    unheard: dict[str, float] = field(default_factory=dict)

    def record(self) -> DetectorRecord:
        """Return what of it goes with the weights."""
        return DetectorRecord(
            self.threshold, self.accepted, self.false_accepts, self.area, dict(self.unheard)
        )


def summarise(table: pd.DataFrame) -> DetectorScore:
    """Scores the rows of ``scores.csv``.

    Args:
        table: recording, kind, group, label, score; ``without`` names the kinds that the detector
        was
            fitted without (empty for the folds), ``snr_db`` is empty where nothing was mixed.
    """
    folds = table[table["without"] == ""]
    plain = folds[folds["snr_db"] == ""]
    esc = plain[plain["kind"].isin(ESC10)]
    cries, others = esc[esc["label"] == CRY], esc[esc["label"] != CRY]
    threshold = lower_quantile(cries["score"])
    passes = plain.assign(passes=plain["score"] >= threshold)
    mixed = folds[folds["snr_db"] != ""]
    mixed = mixed.assign(passes=mixed["score"] >= threshold, snr_db=mixed["snr_db"].astype(float))
    unheard = table[table["without"] != ""]
    unheard = unheard.assign(passes=unheard["score"] >= threshold)
    return DetectorScore(
        threshold=threshold,
        area=_area(esc),
        accepted=_share(cries, threshold),
        false_accepts=_share(others, threshold),
        area_all=_area(plain),
        kinds=_by(passes, "kind"),
        mixed={f"{snr:g}": share for snr, share in _by(mixed, "snr_db").items()},
        unheard=_by(unheard, "without"),
    )


def lower_quantile(scores: pd.Series) -> float:
    """Return the greatest threshold that at least :data:`ACCEPTED` of the scores reach."""
    ranked = np.sort(scores.to_numpy())
    return float(ranked[len(ranked) - int(np.ceil(ACCEPTED * len(ranked)))])


def describe(score: DetectorScore) -> str:
    """Return the numbers as a few lines of text."""
    rows: list[tuple[str, Estimate]] = [
        ("ESC-10, area under the ROC curve", score.area),
        ("ESC-10, cries accepted", score.accepted),
        ("ESC-10, other sounds accepted", score.false_accepts),
        ("everything, area under the ROC curve", score.area_all),
    ]
    lines = [f"threshold {score.threshold:.3f}"]
    lines += [f"  {name:38} {e.value:.3f}  [{e.low:.3f}, {e.high:.3f}]" for name, e in rows]
    for name, shares in (
        ("accepted", score.kinds),
        ("a cry so many dB above another sound is accepted", score.mixed),
        ("accepted by a detector that was fitted without them", score.unheard),
    ):
        if shares:
            lines.append(f"  {name}: " + ", ".join(f"{k} {percent(v)}" for k, v in shares.items()))
    return "\n".join(lines)


def _by(table: pd.DataFrame, column: str) -> dict[str, float]:
    return table.groupby(column, sort=False)["passes"].mean().to_dict()


def _share(table: pd.DataFrame, threshold: float) -> Estimate:
    return mean((table["score"] >= threshold).to_numpy(dtype=float), table["group"].tolist())


def _area(table: pd.DataFrame) -> Estimate:
    labels, score = (table["label"] == CRY).to_numpy(np.int64), table["score"].to_numpy()
    both = np.column_stack([-score, score])  # of two classes, both areas are the same
    return bootstrap("macro_auc", labels, both, table["group"].tolist())


TABLE = "scores.csv"
SNR_DB = (-5, 0, 5, 10, 20)  # of the mixtures that are tested
MIXED = 60  # cries a fold

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "rooster": ("rooster",),
    "chainsaw": ("chainsaw",),
    "voices": (SPEECH, RAISED_SPEECH, "babble", "laughter"),
    "tones": ("siren", "beeps", "music", "bird"),
    "mewing": ("mew",),
    "everything made": tuple(synthetic_sounds.KINDS),
    **{kind: (kind,) for kind in ESC10 if kind not in (ESC_CRY, "rooster", "chainsaw")},
    "made noise": ("fan", "hum", "room", "engine", "bang"),
}
"""What is left out in turn, the hardest first: what sounds alike goes together."""


def run_check(run: Run, leave_out: bool = True) -> DetectorScore:
    """Fits everything that is not in ``scores.csv`` yet, and ships the detector.

    Args:
        run: of the corpus ``detector``.
        leave_out: whether kinds of sound are left out in turn.

    Raises:
        DataError: if the folder holds a check with other settings or data, or there are several
            processes.
        TrainingError: if the loss is not a number.
    """
    if run.accelerator.num_processes > 1:
        raise DataError("The detector is small: fit it in one process, without accelerate launch.")
    experiment = run.experiment
    front_end = FrontEnd(experiment.preset.front_end).to(run.accelerator.device)
    with run.lock(run.results_folder):
        record = fit_missing(run, front_end, leave_out)
        with results.trusting(run.results_folder / TABLE):
            found = summarise(read_scores(run.results_folder))
        facts = {
            "labels": list(experiment.labels),
            "seeds": list(run.seeds),
            "parameters": sum(p.numel() for p in experiment.model(run.seeds[0]).parameters()),
            "environment": results.environment(run.accelerator),
            "left_out": experiment.data.clips.left_out,
            "detector": asdict(found),
        }
        write_run(run.results_folder, {**record, **facts})
        if run.checkpoint:
            final_fit(run, front_end)
            model, config = load_checkpoint(run.checkpoint_folder)
            save_checkpoint(run.checkpoint_folder, model, replace(config, detector=found.record()))
    return found


def fit_missing(run: Run, front_end: FrontEnd, leave_out: bool) -> dict[str, Any]:
    """Fits and tests what is not in ``scores.csv`` yet; the record of all that is, with times."""
    experiment, folder, (seed,) = run.experiment, run.results_folder, run.seeds
    record = results.resume(folder, experiment.configuration(), TABLE)
    table = read_scores(folder)
    write_run(folder, record)
    done = set() if table.empty else set(zip(table["fold"], table["without"], strict=True))
    for number, (fold, without) in enumerate(tasks(experiment.units, leave_out)):
        if (fold, without) in done:
            continue
        started = time.perf_counter()
        learnt, tested = divide(experiment.units, fold, without)
        # Each has a state of its own to go on from after a crash.
        model = train_model(run, learnt, front_end, seed, number)
        rows = pd.DataFrame(score_rows(model, front_end, tested, seed, mix=not without))
        table = pd.concat([table, rows.assign(fold=fold, without=without)], ignore_index=True)
        seconds = round(time.perf_counter() - started, 1)
        record.setdefault("wall_seconds", {})[without or f"fold {fold}"] = seconds
        write_predictions(folder, table, TABLE)
        write_run(folder, record)
        run.state(seed, number).delete()
    return record


def read_scores(folder: Path) -> pd.DataFrame:
    """Read ``scores.csv``; an empty table if there is none yet.

    Raises:
        DataError: if the file is damaged.
    """
    path = folder / TABLE
    if not path.exists():
        return pd.DataFrame()
    with results.trusting(path):
        table = read_table(path)
        require_columns(table, ("recording", "kind", "group", "label"), numbers=("fold", "score"))
        require_unique(table, "fold", "without", "recording")
        return table


def tasks(clips: Clips, leave_out: bool) -> Iterator[tuple[int, str]]:
    """Fold and family left out: one of them, the other being -1 or empty."""
    yield from ((fold, "") for fold in range(FOLDS))
    kinds = {kind_of(item.recording) for item in clips.items}
    if leave_out:
        yield from ((-1, name) for name, family in FAMILIES.items() if kinds & set(family))


def divide(clips: Clips, fold: int, without: str) -> tuple[Clips, Clips]:
    """Return what to learn from, and what to test on."""
    if without:
        out = [kind_of(item.recording) in FAMILIES[without] for item in clips.items]
    else:
        out = [item.fold == fold for item in clips.items]
    return clips.subset(np.flatnonzero(~np.array(out))), clips.subset(np.flatnonzero(out))


def score_rows(
    model: nn.Module, front_end: FrontEnd, tested: Clips, seed: int, mix: bool
) -> Iterator[dict[str, Any]]:
    """Return a row for each recording, and with ``mix`` for cries with another sound under them."""
    for item, wave in zip(tested.items, tested.waveforms, strict=True):
        facts = {
            "recording": item.recording,
            "kind": kind_of(item.recording),
            "group": item.group,
            "label": item.label,
        }
        yield {**facts, "snr_db": "", "score": score(model, front_end, wave)}
    if not mix:
        return
    rng = np.random.default_rng(seed)
    cries = [i for i, item in enumerate(tested.items) if item.label == CRY]
    others = [i for i, item in enumerate(tested.items) if item.label != CRY]
    for i in rng.permutation(cries)[:MIXED]:
        item, wave = tested.items[i], front_end.to_level(tested.waveforms[i][None])[0]
        for snr in SNR_DB:
            under = front_end.to_level(tested.waveforms[rng.choice(others)][None])[0]
            under = under.repeat(-(-len(wave) // len(under)))[: len(wave)]
            mixture = wave + 10 ** (-snr / 20) * under
            yield {
                "recording": f"{item.recording}@{snr}",
                "kind": kind_of(item.recording),
                "group": item.group,
                "label": item.label,
                "snr_db": snr,
                "score": score(model, front_end, mixture),
            }


@torch.inference_mode()
def score(model: nn.Module, front_end: FrontEnd, wave: Tensor) -> float:
    """Return what :attr:`~cry_model.detector.DetectionScores.score` of the shipped detector would
    be."""
    device = next(model.parameters()).device
    starts, probabilities = score_windows(model, front_end, wave.to(device), 0)
    seconds, duration = front_end.config.piece_seconds, len(wave) / front_end.config.sample_rate
    return DetectionScores(
        tuple(starts), seconds, tuple(probabilities.tolist()), duration, 0.5
    ).score
