"""Decodes a corpus once, through the front end, and keeps it in memory.

A 7 s clip is 0.2 MB at the front end's 8 kHz: whole corpora fit on any device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from cry_model import audio
from cry_model.features import Clip, FrontEnd, Pieces
from train.corpus import Corpus, DataError, Item


@dataclass(frozen=True)
class Clips:
    """The usable recordings of a corpus, ready for the front end.

    Attributes:
        items: which recordings, in the corpus's order.
        labels: (clips,) class indices.
        seconds: of each recording as it lay in the file, before anything was cut off.
        waveforms: for each clip (samples,), what :meth:`~cry_model.features.FrontEnd.prepare` gave.
        left_out: recording -> why it could not be used.
    """

    items: tuple[Item, ...]
    labels: Tensor
    seconds: tuple[float, ...]
    waveforms: tuple[Tensor, ...]
    left_out: dict[str, str]

    def subset(self, indices: Sequence[int]) -> Clips:
        """Some of the clips, in the order of ``indices``."""
        return Clips(
            tuple(self.items[i] for i in indices),
            self.labels[torch.as_tensor(indices, dtype=torch.long)],
            tuple(self.seconds[i] for i in indices),
            tuple(self.waveforms[i] for i in indices),
            self.left_out,
        )

    def pieces(self, front_end: FrontEnd, index: int) -> Pieces:
        """Cuts clip ``index`` as the classifier would."""
        return front_end.cut(Clip(self.waveforms[index], 0.0))


def load_clips(corpus: Corpus, front_end: FrontEnd) -> Clips:
    """Reads every recording; one that cannot be used is left out and named.

    Raises:
        DataError: if none can be used.
    """
    kept, seconds, waveforms, left_out = [], [], [], {}
    for item in tqdm(corpus.items, desc=f"Reading {corpus.name}", unit="clip"):
        try:
            recording = audio.load(item.path)
            waveforms.append(front_end.prepare(recording).waveform)
            seconds.append(recording.duration)
            kept.append(item)
        except audio.AudioError as error:
            left_out[item.recording] = str(error)
    if not kept:
        raise DataError(f"No recording of {corpus.name} could be read.")
    labels = torch.tensor(corpus.indices(kept))
    return Clips(tuple(kept), labels, tuple(seconds), tuple(waveforms), left_out)
