"""Replace each value of the bundled configs by a hostile one: a one-line refusal, or an answer."""

import copy
import json
import math
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from cry_model import CheckpointConfig, CheckpointError, CryClassifier, CryDetector, Recording
from cry_model.__main__ import as_text
from cry_model.checkpoint import ASSETS, CONFIG, WEIGHTS
from tests.conftest import ROOT

CHECKPOINTS = sorted(path.parent for path in ASSETS.glob(f"*/{CONFIG}"))
QUICK = ASSETS / "challenge6-features-16khz-feature-mlp"
DELETED = object()
VALUES = (
    0, -1, 0.5, 10**9, 1e308, math.nan, math.inf, 10**400, True, None, DELETED,
    "x", "", "a\nb", "<b>", "\ud800", "x" * 10**5, [], {}, {"x": {}},
    ["x", "x"], ["a_b", "a b"], ["", "x"], [f"{i}" for i in range(1001)],
)  # fmt: skip
FREE = (math.nan, 10**400, "\ud800", "<b>", {}, DELETED)  # for free-form notes
LARGE = (100, 4096, 10**9, 1e308, [f"{i}" for i in range(1000)], ["x"] * 10**6)
HEARD = ("system", "labels", "front_end", "settings")  # all fields that predictions depend on
ROOM = 500 * 2**20  # bytes that refusing or loading a model may take


def places(data, path=()):
    """Yield the path of every value, including objects and lists."""
    if path:
        yield path
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield from places(data[key], (*path, key))


def mutants(checkpoint, values_of):
    """Yield (path, config text) with one value of the config replaced or deleted at the path."""
    data = json.loads((checkpoint / CONFIG).read_text())
    for *above, last in places(data):
        for value in values_of((*above, last)):
            mutant = home = copy.deepcopy(data)
            for key in above:
                home = home[key]
            home[last] = value
            if value is DELETED:
                del home[last]
            yield (*above, last), json.dumps(mutant)


def copied(checkpoint, folder):
    """Copy a checkpoint's config into a new folder and link its weights; return the folder."""
    folder.mkdir()
    (folder / CONFIG).write_bytes((checkpoint / CONFIG).read_bytes())
    (folder / WEIGHTS).symlink_to(checkpoint / WEIGHTS)
    return folder


def answer(folder):
    """Predict one second of sound with a checkpoint, and check that all numbers are valid."""
    second = Recording(0.2 * torch.sin(torch.arange(8000) ** 1.3), 8000)
    classifier = CryClassifier.from_pretrained(folder, detector=False)
    prediction = classifier.predict(second)
    assert all(map(math.isfinite, prediction.probabilities.values()))
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-4)
    if classifier.config.detector is not None:
        scores = CryDetector.from_pretrained(folder).scan(second)
        assert all(map(math.isfinite, scores.probabilities))
    return prediction


@pytest.mark.parametrize(
    ("checkpoint", "every"),  # try each n-th value; n is coprime to their number
    [
        pytest.param(QUICK, 5, id="some"),
        *(pytest.param(p, 1, id=p.name, marks=pytest.mark.slow) for p in CHECKPOINTS),
    ],
)
def test_every_hostile_value_is_refused_or_predicts(checkpoint, every, tmp_path):
    folder = copied(checkpoint, tmp_path / "c")
    answers, outcomes = {}, Counter()
    changed = mutants(checkpoint, lambda path: FREE if "training" in path[:-1] else VALUES)
    for path, text in islice(changed, 0, None, every):
        try:
            config = CheckpointConfig.from_json(text)
            heard = repr([getattr(config, name) for name in HEARD])
            if heard not in answers:
                (folder / CONFIG).write_text(text)
                answers[heard] = answer(folder)
        except CheckpointError as error:
            sentence = str(error)
            assert sentence.isprintable()  # no line breaks
            assert sentence.endswith(".")
            assert len(sentence) < 600
            outcomes["refused"] += 1
            continue
        records = {name: getattr(config, name) for name in ("evaluation", "agreement")}
        told = replace(answers[heard], calibration=config.calibration, **records)
        assert len(as_text(told)) < 10_000, path
        json.dumps([told.to_dict(full=True), config.to_json()], allow_nan=False)
        outcomes["accepted"] += 1
    assert min(outcomes["refused"], outcomes["accepted"]) > 50


def try_large(home):
    """Try large numbers under a memory limit; print the most CPU seconds that a config took."""
    import resource

    folders = {path: copied(path, Path(home) / path.name) for path in CHECKPOINTS}
    for folder in folders.values():  # warm up lazy imports and caches
        answer(folder)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    dearest = 0.0
    for checkpoint, folder in folders.items():
        for path, text in mutants(checkpoint, lambda path: LARGE if path[0] in HEARD else ()):
            (folder / CONFIG).write_text(text)
            begin = time.process_time()
            try:
                answer(folder)
            except CheckpointError as error:
                if "memory" in repr(error.__cause__).lower():
                    raise MemoryError(path) from error
            dearest = max(dearest, time.process_time() - begin)
    print(dearest)


@pytest.mark.slow
def test_large_numbers_are_refused_before_they_take_memory_or_time(tmp_path):
    code = f"from {__name__} import try_large; try_large({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 5
