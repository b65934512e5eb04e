"""Fit the detector, and evaluate it on held-out sources and on held-out families of sounds.

Each fold is tested by a detector fitted on the others, which share no source with it. Then a
detector is fitted without each family of sounds and tested on it. Cries are also tested at a higher
pitch, compressed, shortened and mixed with other sounds. YAMNet is the baseline throughout. The
thresholds come from the held-out folds and are saved with weights that are fitted on everything.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cry_model.checkpoint import save_checkpoint
from cry_model.detection import WIDTH
from cry_model.detector import CryDetector
from cry_model.records import DetectorRecord, Estimate
from cry_model.results import write_predictions, write_run
from cry_model.sound.audio import Recording
from cry_model.sound.frontend import FrontEnd, resample
from train.data.corpus import Clips, DataError, Item, load_file
from train.data.datasets.detector import CRY, ESC_CRY, FOLDS, OTHER, RAISED_SPEECH, SPEECH, kind_of
from train.data.tagger import RATE, Tagger
from train.fit.detector import Examples, fit_detector
from train.fit.run import Run
from train.scoring import results
from train.scoring.detector import (
    ONSETS,
    STRETCH,
    TABLE,
    TAGGED,
    DetectorScore,
    read_scores,
    summarise,
)

Load = Callable[[Item], Recording]
Chosen = NDArray[np.bool_]
"""Mask of clips, (clips,)."""
CHANGED = 40  # cries per fold that are tested in each condition, at most
PITCHES, LENGTHS, SNR_DB = (1.25, 1.5), (1.0, 0.5), (-5, 0, 5, 10)
CODECS = (("opus", "libopus", 8000), ("mp3", "libmp3lame", 16_000))  # name, encoder, bit/s
CONTEXT, ONSET, FLOOR = 5.0, 2.0, 3e-3  # s in all, s before a short cry, noise RMS

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "words": (SPEECH, RAISED_SPEECH, "words", "crowds"),
    "laughter and mews": ("laughter", "mew", "laughs", "cats"),
    "bells and choirs": ("bells", "choir", "whistles"),
    "instruments": ("instruments", "scenes"),
    "sirens, beeps and birds": ("siren", "beeps", "bird", "horns"),
    "rooster": ("rooster",),
    "dog_bark": ("dog_bark",),
    "games and machines": ("effects",),
}
"""Family -> kinds that sound alike, left out of training together; one family at a time."""

NOTHING = Estimate(0.0, 0.0, 0.0)
UNMEASURED = DetectorRecord(0.5, NOTHING, NOTHING, NOTHING)
"""Placeholder in a detector that is yet to be tested."""


def run_check(
    run: Run,
    examples: Sequence[Examples],
    tagger: Tagger,
    load: Load,
    leave_out: bool,
    external: Sequence[Item] = (),
) -> DetectorScore:
    """Fit and test what ``scores.csv`` lacks, then save a detector fitted on everything and test it
    on ``external``, cries of a corpus not used for fitting. Raise DataError if the folder holds a
    check with other settings or data; TrainingError if the loss is not finite."""
    experiment = run.experiment
    with run.lock(run.results_folder):
        record = fit_missing(run, examples, tagger, load, leave_out)
        with results.trusting(run.results_folder / TABLE):
            found = summarise(read_scores(run.results_folder))
        clips = experiment.data.clips
        facts = {
            "labels": list(experiment.labels),
            "seeds": list(run.seeds),
            "parameters": sum(p.numel() for p in experiment.model(run.seeds[0]).parameters()),
            "environment": results.environment(run.accelerator),
            "left_out": clips.left_out,
            "detector": asdict(found),
        }
        if run.checkpoint:
            everything = np.ones(len(clips.items), dtype=bool)
            model = fit(run, examples, everything, "all recordings")
            training = {
                **experiment.training(),
                "seed": run.seeds[0],
                "licence": experiment.data.corpus.licence,
                "recordings": len(clips.items),
                "environment": facts["environment"],
            }
            config = replace(experiment.checkpoint_config(training), detector=found.record())
            save_checkpoint(run.checkpoint_folder, model, config)
            detector, kinds = CryDetector(model, config), [item.label for item in external]
            reached = [detector.scan(load_file(item)).is_cry for item in external]
            by_label = pd.Series(reached, kinds, dtype=float).groupby(level=0)
            facts["external"] = by_label.mean().to_dict()  # share of each label's cries
        write_run(run.results_folder, {**record, **facts})
    return found


def fit(run: Run, examples: Sequence[Examples], chosen: Chosen, title: str) -> nn.Module:
    """Fit a model on the chosen clips."""
    experiment, seed = run.experiment, run.seeds[0]
    own = [e.among(torch.from_numpy(chosen)) for e in examples]
    model = experiment.model(seed).cpu()
    return fit_detector(model, own, experiment.preset, experiment.accelerator, seed, title)


def fit_missing(
    run: Run, examples: Sequence[Examples], tagger: Tagger, load: Load, leave_out: bool
) -> dict[str, Any]:
    """Fit and test what ``scores.csv`` lacks; return the updated contents of ``run.json``."""
    experiment, folder, (seed,) = run.experiment, run.results_folder, run.seeds
    record = results.resume(folder, experiment.configuration(), TABLE)
    table = read_scores(folder)
    write_run(folder, record)
    clips = experiment.data.clips
    config = replace(experiment.checkpoint_config({}), detector=UNMEASURED)
    done = set() if table.empty else set(zip(table["fold"], table["without"], strict=True))
    for fold, without, out in tasks(clips, leave_out):
        if (fold, without) in done:
            continue
        started, title = time.perf_counter(), without or f"fold {fold}"
        model = fit(run, examples, ~out, f"{experiment.system}, {title}")
        tested = [clips.items[i] for i in np.flatnonzero(out)]
        detector = CryDetector(model, config)
        rows = score_rows(detector, tagger, load, tested, seed, changed=not without)
        rows = pd.DataFrame(rows).assign(fold=fold, without=without)
        table = pd.concat([table, rows], ignore_index=True)
        record.setdefault("wall_seconds", {})[title] = round(time.perf_counter() - started, 1)
        write_predictions(folder, table, TABLE)
        write_run(folder, record)
    return record


def tasks(clips: Clips, leave_out: bool) -> Iterator[tuple[int, str, Chosen]]:
    """Yield (fold, family, mask of test clips); for a fold the family is empty, for a family the
    fold is -1."""
    folds = np.array([item.fold for item in clips.items])
    kinds = np.array([kind_of(item.recording) for item in clips.items])
    for fold in range(FOLDS):
        yield fold, "", folds == fold
    for name, family in FAMILIES.items() if leave_out else ():
        if (out := np.isin(kinds, family)).any():
            yield -1, name, out


def score_rows(
    detector: CryDetector,
    tagger: Tagger,
    load: Load,
    tested: Sequence[Item],
    seed: int,
    changed: bool,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each recording and, with ``changed``, for some cries in every condition.

    Recordings are loaded from the original files, so that the tagger gets the band up to 8 kHz.
    """
    rng = np.random.default_rng(seed)
    others = [item for item in tested if item.label == OTHER]
    left = CHANGED
    for i in rng.permutation(len(tested)):
        item = tested[i]
        wave = _sound(load(item))
        track, tags = detector.scan(Recording(wave, RATE)), tagger.cries(wave, RATE)
        kind, tagged = kind_of(item.recording), float(tags.max())
        facts = {
            "recording": item.recording,
            "kind": kind,
            "group": item.group,
            "label": item.label or "",
            "seconds": round(len(wave) / RATE, 2),
        }
        yield {
            **facts,
            "condition": "",
            "score": track.score,
            "tagger": tagged,
            "stretches": _stretches(torch.from_numpy(track.cells), track.step),
            "tagger_stretches": _stretches(tags, tagger.step),
        }
        heard = item.label == CRY and (kind == ESC_CRY or tagged >= TAGGED)
        if not (changed and heard and left):
            continue
        left -= 1
        at = (float(tags.argmax()) + 1) * tagger.step  # s, centre of the highest-scoring window
        under = _sound(load(others[rng.integers(len(others))]))
        for condition, sound in conditions(wave, at, under, detector.front_end, rng):
            yield {
                **facts,
                "condition": condition,
                "score": detector.scan(Recording(sound, RATE)).score,
                "tagger": float(tagger.cries(sound, RATE).max()),
                "stretches": _onset(detector, sound) if condition == ONSETS else "",
                "tagger_stretches": "",
            }


def _sound(recording: Recording) -> Tensor:
    """Resample a recording to (samples,) at :data:`~train.data.tagger.RATE`."""
    return resample(recording.waveform, recording.sample_rate, RATE, WIDTH)


def through(wave: Tensor, codec: str, bits: int) -> Tensor:
    """Encode (samples,) at :data:`~train.data.tagger.RATE` with a lossy codec at ``bits`` per
    second and decode it, by FFmpeg. Raise DataError if FFmpeg or its encoder is missing."""
    raw = ["-f", "f32le", "-ar", str(RATE), "-ac", "1"]
    call = ["ffmpeg", "-v", "error"]
    coded = [*call, *raw, "-i", "-", "-c:a", codec, "-b:a", str(bits), "-f", "matroska", "-"]
    sound = wave.numpy().tobytes()
    try:
        for command in (coded, [*call, "-i", "-", *raw, "-"]):
            sound = subprocess.run(command, input=sound, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise DataError(f"The exam needs FFmpeg with {codec}: {error}") from error
    return torch.from_numpy(np.frombuffer(sound, np.float32).copy())


def conditions(
    wave: Tensor, at: float, under: Tensor, front_end: FrontEnd, rng: np.random.Generator
) -> Iterator[tuple[str, Tensor]]:
    """Yield condition and modified wave of a cry at ``at`` s; mixed and short waves have peak 1."""
    for pitch in PITCHES:
        yield f"pitch {pitch:g}", resample(wave, round(100 * pitch), 100, WIDTH)
    for name, codec, bits in CODECS:
        yield f"{name} {bits // 1000} kbit/s", through(wave, codec, bits)
    level, other = (front_end.to_level(sound.unsqueeze(0)).squeeze(0) for sound in (wave, under))
    other = other.repeat(-(-len(level) // len(other)))[: len(level)]
    for snr in SNR_DB:
        mixed = level + 10 ** (-snr / 20) * other
        yield f"{snr} dB", mixed / mixed.abs().max()
    for seconds, name in (*((s, f"{s:g} s") for s in LENGTHS), (CONTEXT - ONSET, ONSETS)):
        middle, half = round(at * RATE), round(seconds * RATE / 2)
        start = max(0, min(len(level) - 2 * half, middle - half))
        part = level[start : start + 2 * half]
        noise = torch.from_numpy(rng.standard_normal(round(CONTEXT * RATE)).astype(np.float32))
        bed, begin = FLOOR * noise, round(ONSET * RATE)
        bed[begin : begin + len(part)] += part[: len(bed) - begin]
        yield name, bed / bed.abs().max()


def _onset(detector: CryDetector, sound: Tensor) -> str:
    """Return the live scores 0.5, 1.0, ... s after the onset, separated by spaces."""
    ends = np.arange(ONSET + 0.5, CONTEXT + 0.01, 0.5)
    return " ".join(f"{detector.probability(sound[: round(end * RATE)], RATE):.3f}" for end in ends)


def _stretches(scores: Tensor, step: float) -> str:
    """Return the maximum score in each :data:`STRETCH` seconds; scores are ``step`` s apart."""
    size = max(1, round(STRETCH / step))
    return " ".join(f"{float(part.max()):.3f}" for part in scores.split(size))
