"""torchaudio imports without its compiled extension, as everywhere else with it."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

BROKEN = """
import sys
class Refuse:
    tries = 0
    def find_spec(self, name, path=None, target=None):
        if name == "torchaudio._extension":
            Refuse.tries += 1
            raise {error}("the extension does not load here")
sys.meta_path.insert(0, Refuse())
from cry_model.torchaudio_compat import import_torchaudio
t = import_torchaudio()
assert Refuse.tries == 1
"""
USE = """
import torch
assert t.functional.resample(torch.ones(100), 2, 1).shape == (50,)
assert t.transforms.MelSpectrogram(8000)(torch.zeros(8000)).shape[0] == 128
assert t.functional.create_dct(13, 40, "ortho").shape == (40, 13)
assert t.functional.highpass_biquad(torch.ones(10), 8000, 100.0).shape == (10,)
"""


@pytest.mark.parametrize(
    ("error", "told"), [("OSError", ""), ("RuntimeError", ""), ("ValueError", "ValueError")]
)
def test_without_the_extension_what_we_use_works_and_another_failure_is_told(error, told):
    code = BROKEN.format(error=error) + USE
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == bool(told), done.stderr
    assert told in done.stderr
