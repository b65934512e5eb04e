"""torchaudio imports without its compiled extension, as everywhere else with it."""

import subprocess
import sys

from tests.conftest import ROOT

CODE = """
import sys
import torch
from cry_model.frontend import import_torchaudio

class Refuse:
    error, tries = None, 0
    def find_spec(self, name, path=None, target=None):
        if name == "torchaudio._extension":
            Refuse.tries += 1
            raise Refuse.error("the extension does not load here")

def again():
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]
    return import_torchaudio()

sys.meta_path.insert(0, Refuse())
for number, Refuse.error in enumerate((OSError, RuntimeError), 1):
    t = again()
    assert Refuse.tries == number
    assert t.functional.resample(torch.ones(100), 2, 1).shape == (50,)
    assert t.transforms.MelSpectrogram(8000)(torch.zeros(8000)).shape[0] == 128
    assert t.functional.create_dct(13, 40, "ortho").shape == (40, 13)
    assert t.functional.highpass_biquad(torch.ones(10), 8000, 100.0).shape == (10,)
print("usable")
Refuse.error = ValueError
again()
"""


def test_without_the_extension_what_we_use_works_and_another_failure_is_told():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "usable\n", done.stderr
    assert done.stderr.endswith("ValueError: the extension does not load here\n")
