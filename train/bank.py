"""The waveforms of a fit on its device, and what is drawn from them."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn

from train.clips import Clips
from train.draws import uniform


class Bank:
    """All clips on the device, one after the other, and how often to draw each.

    Labels are (clips, classes) one-hot rows; those of unlabelled clips are zero. With ``balance``
    1 every class is drawn equally often, and the unlabelled as if they were one more; with 0
    every clip is. The class of a clip is what its item says: where only a teacher labels, that is
    the teacher's opinion, while the row stays zero.
    """

    def __init__(self, clips: Clips, classes: int, balance: float, device: torch.device) -> None:
        lengths = torch.tensor([len(w) for w in clips.waveforms])
        self.samples = torch.cat(clips.waveforms).to(device)
        self.lengths = lengths.to(device)
        self.offsets = (lengths.cumsum(0) - lengths).to(device)
        padded = nn.functional.one_hot(clips.labels % (classes + 1), classes + 1)
        self.targets = padded[:, :classes].float().to(device)
        names = [item.label for item in clips.items]
        counts = Counter(names)
        frequency = torch.tensor([counts[name] for name in names], dtype=torch.float64)
        # A searched distribution function rather than torch.multinomial, which sums in an order of
        # its own choosing on CUDA.
        self.distribution = frequency.pow(-balance).cumsum(0).to(device)

    def draw(
        self, count: int, length: int, rng: torch.Generator, tries: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Random pieces (count, length) and their targets (count, classes).

        A clip shorter than the piece is repeated, from a random point on. With ``tries`` above 1
        there are so many pieces of each clip, one after the other: (count * tries, length).
        """
        place = torch.rand(count, generator=rng, device=rng.device, dtype=torch.float64)
        chosen = torch.searchsorted(self.distribution, place * self.distribution[-1], right=True)
        chosen = chosen.clamp_max(len(self.lengths) - 1)
        sizes = self.lengths[chosen].unsqueeze(1)
        room = torch.where(sizes > length, sizes - length + 1, sizes)
        starts = (uniform(0, 1, (count, tries), rng) * room).long()
        at = (starts.unsqueeze(2) + torch.arange(length, device=rng.device)) % sizes.unsqueeze(2)
        waves = self.samples[self.offsets[chosen].view(-1, 1, 1) + at]
        return waves.flatten(0, 1), self.targets[chosen]
