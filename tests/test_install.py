"""Check ``pip install .``, its command, and the metadata of README and CITATION.cff."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.conftest import ROOT

tomllib = pytest.importorskip("tomllib")  # Python 3.11
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
LINES = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
ASKED = {Requirement(line.split("#")[0]) for line in LINES if line.split("#")[0].strip()}


def test_version_ranges_match_requirements():
    assert {Requirement(line) for line in PROJECT["dependencies"]} <= ASKED


def test_front_matter_matches_the_installed_gradio():
    front = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert front["sdk"] == "gradio"
    (gradio,) = (one.specifier for one in ASKED if one.name == "gradio")
    assert front["sdk_version"] in gradio
    assert version("gradio") in gradio
    assert (ROOT / front["app_file"]).is_file()
    assert front["python_version"] in SpecifierSet(PROJECT["requires-python"])
    assert front["license"] == "apache-2.0"
    assert len(front["short_description"]) <= 60  # the Hub refuses more


def test_citation_has_this_version_and_the_paper():
    assert (CITATION["version"], CITATION["license"]) == (PROJECT["version"], PROJECT["license"])
    (paper,) = CITATION["references"]
    stated = json.loads((ROOT / "assets" / "paper_reference.json").read_text(encoding="utf-8"))
    assert paper["title"] in stated["source"]
    assert all(author["family-names"] in stated["source"] for author in paper["authors"])


@pytest.mark.slow
def test_wheel_contains_only_cry_model_and_its_command_runs(tmp_path, examples):
    source, site = tmp_path / "source", tmp_path / "venv"
    for name in ("cry_model", "train", "analysis", "assets/checkpoints"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE", "app.py", "assets/paper_reference.json"):
        shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path]
    subprocess.run([*pip, "wheel", *options, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"cry_model"}
    assert sum(name.endswith(".safetensors") for name in names) == 2

    venv.create(site, system_site_packages=True, with_pip=False)
    binary = site / ("Scripts" if sys.platform == "win32" else "bin")
    python = binary / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    own = sysconfig.get_path("purelib", vars={"base": str(site), "platbase": str(site)})
    # The tests may run in a virtual environment, whose packages the new one lacks.
    (Path(own) / "outer.pth").write_text(sysconfig.get_path("purelib"))

    def run(*words):
        return subprocess.check_output([binary / "cry-model", *words], cwd=tmp_path, text=True)

    assert "improved-ecapa-tdnn" in run("models")
    answer = json.loads(run("predict", "--json", str(examples / "synthetic_rhythmic.wav")))
    assert answer["answer"]["kind"] in ("set", "cannot_tell", "maybe_cry", "not_a_cry")
    command = [binary / "cry-model", "predict", "x.wav", "--model", "six-class-features"]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "not in the installed package, which has six-class;" in refused.stderr
