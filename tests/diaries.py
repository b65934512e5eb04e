"""Generate diaries in the format that the page stores."""

import numpy as np

KINDS = ("hungry", "sleepy", "Teeth")


def diary(days, effect=2.0, a_day=4, seed=0, **changed):
    """Return a diary: embeddings cluster by reason; a feed precedes each day's first cry by 1 h."""
    rng = np.random.default_rng(seed)
    centres = effect * rng.standard_normal((len(KINDS), 25))
    kind = rng.choice(len(KINDS), days * a_day, p=(0.5, 0.3, 0.2))
    rows = (centres[kind] + rng.standard_normal((len(kind), 25))).round(3)
    stamps = [
        f"2026-03-{1 + i // a_day:02d}T{3 * (i % a_day) + 2:02d}:00:00+01:00"
        for i in range(len(kind))
    ]
    said = {"said": "Maybe: hungry.", "seconds": 4.5, "probability": 0.97, "spark": "0123456789"}
    said |= {"model": "six-class", "prior": {"hungry": 0.6, "sleepy": 0.4}}
    found = [
        {"id": f"cry-{i}", "at": at, "was": KINDS[k], "embedding": row.tolist(), **said}
        for i, (at, k, row) in enumerate(zip(stamps, kind, rows, strict=True))
    ]
    care = [{"at": f"2026-03-{1 + day:02d}T01:00:00+01:00", "kind": "fed"} for day in range(days)]
    whole = {"format": "infant-cry-diary", "names": {"Teeth": "Teeth"}, "care": care}
    return {**whole, "cries": found, **changed}
