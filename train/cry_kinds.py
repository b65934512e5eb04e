"""Six kinds of made-up cry that overlap, as data: ranges from which babies and recordings draw.

They mean nothing. They are set so that averages over a clip tell most, but not all, of them apart;
train/datasets/synthetic6.py says how well.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from train.synthesis import CryStyle, Range


@dataclass(frozen=True)
class CryKind:
    """Least and most of what differs between recordings; each sets CryStyle's field of its name.

    The defaults are what a kind does not care about: they vary as well.
    """

    f0_hz: Range = (380, 620)
    melody_semitones: Range = (3, 8)
    expiration_s: Range = (0.5, 1.3)  # the average one; a single one differs from it by up to 30 %
    rest_s: Range = (0.1, 0.5)  # likewise
    open_quotient: Range = (0.52, 0.72)
    breath: Range = (0.03, 0.2)
    rough_probability: Range = (0.1, 0.6)
    nasality: Range = (0, 0.4)
    mouth: Range = (0.75, 1.05)  # opened widest; half as much at the ends

    def draw(self, baby: int, recording: int) -> CryStyle:
        """The style of one recording (a seed) of one baby (a seed), in that baby's voice.

        A value lies in its range where the mean of two uniform draws puts it: one of the baby,
        which all its recordings share, and one of the recording. So the middle is likeliest.
        """
        names = [field.name for field in fields(self)]
        low, high = np.array([getattr(self, name) for name in names], float).T
        seeds = ([baby, 0], [recording, 1])
        places = np.mean([np.random.default_rng(s).random(len(names)) for s in seeds], axis=0)
        drawn = dict(zip(names, (low + (high - low) * places).tolist(), strict=True))
        for name in ("expiration_s", "rest_s"):
            drawn[name] = (0.7 * drawn[name], 1.3 * drawn[name])
        drawn["mouth"] = (0.5 * drawn["mouth"], drawn["mouth"])
        return CryStyle(name="synthetic6", **drawn).of_baby(baby)


KINDS = (
    CryKind(f0_hz=(350, 530), open_quotient=(0.62, 0.78), expiration_s=(0.3, 0.8)),
    CryKind(f0_hz=(340, 520), open_quotient=(0.48, 0.62), rough_probability=(0.5, 1)),
    CryKind(f0_hz=(400, 580), nasality=(0.5, 1), expiration_s=(1.0, 1.9)),
    CryKind(f0_hz=(410, 590), breath=(0.2, 0.5), rest_s=(0.4, 1)),
    CryKind(f0_hz=(540, 800), open_quotient=(0.46, 0.6), expiration_s=(0.9, 1.8)),
    CryKind(f0_hz=(530, 790), nasality=(0.2, 0.7), rest_s=(0.4, 1)),
)
