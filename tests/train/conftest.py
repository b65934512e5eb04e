"""A corpus in the layout of Donate-a-Cry, made by our synthesiser."""

from pathlib import Path

import pytest
import soundfile

from train.datasets.donateacry import LABELS
from train.synthesis import STYLES, synthesise

BABIES, CLIPS = 3, 2  # of each label


@pytest.fixture(scope="session")
def made_up_root(tmp_path_factory) -> Path:
    """``donateacry/<label>/*.wav``: five labels, three babies each, two clips of 3 s a baby."""
    root = tmp_path_factory.mktemp("data")
    styles = list(STYLES)
    for i, label in enumerate(LABELS):
        folder = root / "donateacry" / label
        folder.mkdir(parents=True)
        for n in range(BABIES * CLIPS):
            cry = synthesise(styles[i % len(styles)], 3.0, 8000, seed=100 * i + n)
            baby = f"{i:04d}{n // CLIPS:04d}-0000-0000-0000-{'A' * 17}"
            assert len(baby) == 41
            name = f"{baby[:36]}-143043{n:04d}-1.0-m-04-hu.wav"
            soundfile.write(folder / name, cry.waveform, 8000, subtype="PCM_16")
    return root
