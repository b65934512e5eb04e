"""What the model card of a gate says, section by section, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from cry_model.checkpoint import CheckpointConfig
from cry_model.records import words
from cry_model.registry import get_system
from train.card_text import citation, interval, table, training_text


def gate_sections(config: CheckpointConfig, parameters: int, repo_id: str) -> Iterator[str]:
    """The text of the card; see :func:`train.model_card.model_card`.

    Args:
        config: with the record of a gate.
        parameters: how many numbers were fitted.
        repo_id: where it will be, "user/name".
    """
    system, front_end, gate = get_system(config.system).title, config.front_end, config.gate
    if gate is None:
        raise ValueError("This checkpoint is no gate.")
    yield "# Is it a baby crying?"
    yield (
        "**Not a medical device, and no baby monitor.** Nobody should rely on it to hear a child."
    )
    yield (
        f"A small {system} ({config.system}), {parameters:,} parameters, that tells a baby's cry "
        f"from other sounds. It looks at {front_end.piece_seconds:g} s at a time, from "
        f"{front_end.low_hz:g} to {front_end.high_hz:g} Hz, each look levelled on its own. A "
        f"recording holds a cry where the mean of the looks reaches {gate.threshold:.3f}."
    )
    yield (
        "## Measured\n\nOn ESC-10 in its own five folds, cries against its nine other classes, by "
        "fits that had heard neither the recordings nor others of the same source:\n\n"
        + table(
            ("ESC-10", "value", "95 % interval over sources"),
            [
                ("area under the ROC curve", *interval(gate.area)),
                ("cries taken for cries", *interval(gate.accepted)),
                ("other sounds taken for cries", *interval(gate.false_accepts)),
            ],
        )
    )
    if gate.unheard:
        yield (
            "## Sounds of a kind that it never heard\n\nFitted without a whole kind of sound, it "
            "took this share of that kind for cries:\n\n"
            + table(
                ("kind", "taken for a cry"),
                [(words(kind), f"{share:.3f}") for kind, share in gate.unheard.items()],
            )
        )
    yield training_text(config)
    yield (
        "## Limits\n\nLaughter, cats and sirens were made by formulas, not recorded. A baby's "
        "babble was not tested at all. A cry far below another sound is missed."
    )
    yield f"""## Load it

```python
from cry_model import CryGate, audio

gate = CryGate.from_pretrained("{repo_id}", revision="main")  # or a tag, or a commit
track = gate.scan(audio.load("recording.wav"))
track.is_cry, track.spans  # seconds
```"""
    yield citation()
