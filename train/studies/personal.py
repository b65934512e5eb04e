"""Evaluate the personal model: its false-alarm rate, and the number of cries until it succeeds.

Only the part on Donate-a-Cry uses real babies, and few of its installations have several recordings
and reasons. The cry kinds of synthetic babies carry no meaning. Simulated parents have no audio,
only embeddings with the covariance of a synthetic baby's.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, combine_pvalues
from tqdm import tqdm

from cry_model import CryClassifier
from cry_model.checkpoint import to_json
from cry_model.one_baby.personal import DAY, LEAST, LEVEL, PersonalError, PersonalModel
from cry_model.sound.audio import AudioError
from train.data.corpus import DataError
from train.data.synthesis import KINDS, synthesise

Array = NDArray[np.float64]
Rng = np.random.Generator
SHARES = (0.5, 0.3, 0.2)
"""Frequencies of three reasons, on average over parents."""
CRIES_A_DAY = 3.0  # on average, at least one
NIGHTS = 200  # simulated under the null hypothesis
MOST = 200  # cries simulated with real differences
EFFECTS, CORRECT = (0.5, 1.0, 2.0), (0.6, 0.8, 1.0)
MARKS = (10, 20, 40, 60, 80, 100, 150, 200)  # numbers of cries at which power is reported
POWER = 0.8
BABIES, CRIES, REASONS = 12, 48, 4  # synthetic babies, cries and reasons of each
RATE, SECONDS = 16_000, 4.0
FIRST_SEED = 1_000_000  # above every seed of the corpus synthetic6
UPLOADS = ("donateacry/*/*.wav", "donateacry_ios/*.flac", "donateacry_android/*.3gp")
NAME = re.compile(r"(.{36})-(\d{10})[\d.]*-.*-(..)")
FULL = {"hu": "hungry", "ti": "sleepy", "dc": "uncomfortable", "dk": ""}
"""App code -> the shipped model's name of the reason; empty: the parent does not know."""


class Diary(NamedTuple):
    """One baby's labelled cries."""

    rows: Array  # (n, width)
    labels: tuple[str, ...]
    times: Array  # (n,) s
    prior: Sequence[Mapping[str, float]] | None = None

    def until(self, last: int) -> PersonalModel:
        """Fit the first ``last`` recordings; raise PersonalError if they have only one label."""
        prior = None if self.prior is None else self.prior[:last]
        return PersonalModel.fit(self.rows[:last], self.labels[:last], self.times[:last], prior)


def rate(hits: Sequence[bool]) -> Mapping[str, float]:
    """Return the count and share of hits, with its exact 95% interval (Clopper and Pearson)."""
    count, of = int(sum(hits)), len(hits)
    ends = binomtest(count, of).proportion_ci()
    share = {"share": count / of, "low": float(ends.low), "high": float(ends.high)}
    return {"count": count, "of": of, **share}


def first_better(diary: Diary) -> int | None:
    """Return the number of cries when a parent who looks every night is first told "better".

    Recordings in the diary must be at least half an hour apart. Return None if this never happens.
    """
    model = diary.until(len(diary.labels))
    ends = np.searchsorted(model.days, np.unique(model.days), side="right")
    won = np.maximum.accumulate(model.wealth())
    for last in ends[won >= 1 / LEVEL].tolist():
        seen = diary.until(last)
        right = (seen.answers().argmax(1) == seen.truth).mean()
        if last >= LEAST and right > np.bincount(seen.truth).max() / last:
            return last
    return None


def simulate(
    rng: Rng,
    covariance: Array,
    effect: float,
    correct: float,
    cries: int,
    nights: int,
    drift: float,
) -> Diary:
    """Simulate a parent's diary.

    Cries of a day share a random offset with half the standard deviation of a single cry. Each day
    has its own reason frequencies. Neither is skill, and a test must not count it as such.

    Args:
        rng: random generator.
        covariance: of a baby's embeddings within a reason, (width, width).
        effect: distance between two reasons' centres, in standard deviations along the line that
            joins them, averaged over pairs.
        correct: share of labels that are certainly right; the others are drawn at random.
        cries: maximum number of cries in the diary.
        nights: maximum number of nights in the diary.
        drift: RMS size, in standard deviations, of a day-night cycle of the embeddings, common to
            all reasons; if not 0, reasons depend on the hour as well.
    """
    count = np.maximum(1, rng.poisson(CRIES_A_DAY, nights)).clip(max=24)
    day = np.repeat(np.arange(nights), count)[:cries]
    hour = np.concatenate([np.sort(rng.choice(24, c, replace=False)) for c in count])[:cries]
    kinds, root = len(SHARES), np.linalg.cholesky(covariance)
    width = len(root)
    centres = rng.standard_normal((kinds, width)) @ root.T
    lines = np.array([centres[i] - centres[j] for i in range(kinds) for j in range(i)])
    squared = (lines**2).sum(1)
    far = np.mean(squared / np.sqrt(((lines @ covariance) * lines).sum(1)))
    light = np.cos(2 * np.pi * hour / 24)
    odds = np.log(rng.dirichlet(10 * np.array(SHARES), nights) + 1e-9)[day]
    odds[:, 0] += (drift != 0) * 1.5 * light
    reason = (odds + rng.gumbel(size=odds.shape)).argmax(1)
    told = np.where(rng.random(len(day)) < correct, reason, rng.choice(kinds, len(day), p=SHARES))
    noise = rng.standard_normal((len(day), width)) + 0.5 * rng.standard_normal((nights, width))[day]
    way = rng.standard_normal(width) * np.sqrt(2 / width)
    noise += drift * light[:, None] * way
    rows = centres[reason] * effect / far + noise @ root.T
    return Diary(rows, tuple(f"reason {k}" for k in told), day * DAY + hour * 3600.0)


def false_alarms(covariance: Array, parents: int, drift: float, nights: int) -> Mapping[str, Any]:
    """Return how often "better" is ever reported when sounds and reasons are independent."""
    rng, wealthy, told = np.random.default_rng(1), [], []
    for _ in tqdm(range(parents), desc="Nothing to find", unit="parent"):
        diary = simulate(rng, covariance, 0.0, 1.0, 24 * nights, nights, drift)
        wealthy.append(bool(diary.until(len(diary.labels)).wealth().max() >= 1 / LEVEL))
        told.append(wealthy[-1] and first_better(diary) is not None)
    return {"nights": nights, "drift": drift, "better": rate(told), "e_process": rate(wealthy)}


def power(covariance: Array, effect: float, correct: float, parents: int) -> Mapping[str, Any]:
    """Return after how many cries "better" is reported when reasons differ."""
    rng, after, right = np.random.default_rng(2), [], []
    for _ in tqdm(range(parents), desc=f"d = {effect}, {correct:.0%} right", unit="parent"):
        diary = simulate(rng, covariance, effect, correct, MOST, MOST, 0.0)
        after.append(first_better(diary) or np.inf)
        model = diary.until(MOST)
        right.append((model.answers().argmax(1) == model.truth).mean())
    needed = float(np.quantile(after, POWER, method="inverted_cdf"))
    return {
        "effect": effect,
        "labels_correct": correct,
        "cries_for_80_percent": None if needed == np.inf else int(needed),
        "better": {str(mark): rate([a <= mark for a in after]) for mark in MARKS},
        "accuracy_of_all": float(np.mean(right)),
    }


def synthetic_babies(classifier: CryClassifier) -> list[Diary]:
    """Embed synthetic babies with four kinds of cry each, at four cries a day."""
    found = []
    for baby in tqdm(range(BABIES), desc="Synthetic babies", unit="baby"):
        rows, labels = [], []
        for cry in range(CRIES):
            kind, seed = (cry % REASONS + baby) % len(KINDS), FIRST_SEED + 1000 * baby + cry
            peak = np.random.default_rng([seed, 2]).uniform(-24, -3)
            style = replace(KINDS[kind].draw(1000 + baby, seed), level_dbfs=peak)
            sound = synthesise(style, SECONDS, RATE, seed)
            rows.append(classifier.predict(sound.waveform, RATE).embedding)
            labels.append(f"kind {kind}")
        mixed = np.random.default_rng(baby).permutation(CRIES)
        times = np.arange(CRIES) * DAY / 4
        mixed_labels = tuple(labels[i] for i in mixed)
        found.append(Diary(np.array(rows, np.float64)[mixed], mixed_labels, times))
    return found


def covariance_within(diaries: Sequence[Diary]) -> Array:
    """Return the pooled covariance within a baby and a reason, (width, width)."""
    rest = []
    for diary in diaries:
        labels = np.array(diary.labels)
        rest += [own - own.mean(0) for k in set(labels) for own in [diary.rows[labels == k]]]
    found = np.cov(np.concatenate(rest).T)
    return found + 1e-4 * np.trace(found) / len(found) * np.eye(len(found))


def on_synthetic(diaries: Sequence[Diary], correct: float) -> Mapping[str, Any]:
    """Evaluate the synthetic babies; with ``correct`` 0, all labels are drawn at random."""
    rng, after, right, balanced = np.random.default_rng(3), [], [], []
    for diary in diaries:
        kinds = sorted(set(diary.labels))
        wrong = rng.random(CRIES) >= correct
        labels = tuple(np.where(wrong, rng.choice(kinds, CRIES), diary.labels).tolist())
        noisy = diary._replace(labels=labels)
        after.append(first_better(noisy))
        skill = noisy.until(CRIES).report(0).skill
        right.append(skill.accuracy.value)
        balanced.append(skill.balanced_accuracy.value)
    soon = [a for a in after if a is not None]
    return {
        "labels_correct": correct,
        "babies": len(diaries),
        "cries_each": CRIES,
        "better": rate([a is not None for a in after]),
        "median_cries_until_better": float(np.median(soon)) if soon else None,
        "accuracy": float(np.mean(right)),
        "balanced_accuracy": float(np.mean(balanced)),
        "chance": 1 / REASONS,
    }


def installations(root: Path) -> Mapping[str, list[tuple[float, str, Path]]]:
    """List labelled uploads by installation: time (UTC), reason, file, without duplicates.

    Raise DataError if there are no uploads."""
    found: dict[str, dict[float, tuple[float, str, Path]]] = defaultdict(dict)
    for pattern in UPLOADS:
        for path in sorted(root.glob(pattern)):
            if named := NAME.fullmatch(path.stem):
                app, time, reason = named.groups()
                reason = FULL.get(reason.lower(), reason.lower())
                found[app.lower()].setdefault(float(time), (float(time), reason, path))
    if not found:
        raise DataError(f"There are no Donate-a-Cry uploads in {root}; give another --data-root.")
    labelled = ((app, [one for one in own.values() if one[1]]) for app, own in found.items())
    return {app: sorted(own) for app, own in sorted(labelled)}


def on_donateacry(classifier: CryClassifier, root: Path) -> Mapping[str, Any]:
    """Evaluate each installation with enough labelled recordings of two reasons or more."""
    every, results = installations(root), []
    fit = {a: own for a, own in every.items() if len(own) >= LEAST and len({o[1] for o in own}) > 1}
    for number, own in enumerate(fit.values(), start=1):
        kept = []
        for time, reason, path in own:
            try:
                kept.append((time, reason, classifier.predict(path)))
            except AudioError:
                continue
        times, labels, heard = (tuple(column) for column in zip(*kept, strict=True))
        rows = np.array([p.embedding for p in heard], np.float64)
        cries = sum(p.is_cry is not False for p in heard)
        facts = {"number": number, "uploads": len(own), "with_a_cry": cries, "used": len(kept)}
        try:
            prior = [p.probabilities for p in heard]
            report = Diary(rows, labels, np.array(times), prior).until(len(kept)).report()
            results.append({**facts, **report.to_dict()})
        except PersonalError as error:
            results.append({**facts, "state": str(error)})
    return {
        "installations": len(every),
        "with_eight_labelled_uploads": sum(len(own) >= LEAST for own in every.values()),
        "of_two_reasons": len(fit),
        "each": results,
        "pooled": pooled([one for one in results if "skill" in one]),
    }


def pooled(results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Pool the installations: correct predictions, and single-look p-values (Fisher's method)."""
    cries = np.array([one["cries"] for one in results])
    right = np.array([one["skill"]["accuracy"]["value"] for one in results])
    constant = np.array([one["constant_accuracy"] for one in results])
    pvalues = [one["skill"]["permutation_p"] for one in results]
    wealth = [one["skill"]["evidence"] for one in results]
    return {
        "tested": len(results),
        "cries": int(cries.sum()),
        "right": round(float(right @ cries)),
        "right_by_constant_answers": round(float(constant @ cries)),
        "fisher_p": float(combine_pvalues(pvalues).pvalue),
        "greatest_evidence": float(max(wealth)),
    }


def run_study(checkpoint: Path, root: Path, out: Path, parents: int) -> Mapping[str, Any]:
    """Run the study, half an hour on one core at most; write ``results/personal/study.json``."""
    silent = CryClassifier.from_pretrained(checkpoint, detector=False)
    diaries = synthetic_babies(silent)
    covariance = covariance_within(diaries)
    found = {
        "checkpoint": checkpoint.name,
        "parents": parents,
        "cries_a_day": CRIES_A_DAY,
        "shares": SHARES,
        "spectrum": np.linalg.eigvalsh(covariance)[::-1] / np.trace(covariance),
        "false_alarms": [
            false_alarms(covariance, parents, 0.0, NIGHTS),
            false_alarms(covariance, parents // 4, 1.0, NIGHTS // 4),
        ],
        "power": [power(covariance, d, c, parents // 2) for d in EFFECTS for c in CORRECT],
        "synthetic_babies": [on_synthetic(diaries, c) for c in (0.0, *CORRECT)],
        "donateacry": on_donateacry(CryClassifier.from_pretrained(checkpoint), root),
    }
    target = out / "results" / "personal" / "study.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(to_json(rounded(found)) + "\n", encoding="utf-8")
    return found


def rounded(found: Mapping[str, Any]) -> dict[str, Any]:
    """Convert arrays to lists and round numbers to four decimals, for JSON."""
    text = json.dumps(found, default=lambda array: array.tolist())
    return json.loads(text, parse_float=lambda number: round(float(number), 4))
