"""README and docs: what is generated equals what is committed, and what they name is there."""

import ast
import re
import shlex
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import analysis.__main__
import cry_model.__main__
import train.__main__
from analysis.readme_table import BEGIN, END, write_table
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import find_runs
from cry_model.run_files import read_record
from tests.analysis.made_up_runs import write_run
from tests.conftest import ROOT
from train.publish.hub import space_files

RESULTS = ROOT / "assets" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in PAGES}
PARSERS = {
    "cry_model": cry_model.__main__.parser,
    "train": train.__main__.parser,
    "analysis": analysis.__main__.parser,
}


def fences(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands():
    """Each command of our own in a fence."""
    for name, text in TEXTS.items():
        for block in fences(text, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("python -m "):
                    yield pytest.param(line, id=f"{name}: {line[:60]}")


def test_readme_is_short_and_its_two_commands_come_first():
    assert len(README.splitlines()) < 200
    first = "\n".join(README.splitlines()[:40])
    assert "```bash\npip install -r requirements.txt && python app.py\n```" in first
    assert "```bash\npip install -r requirements-dev.txt && pytest\n```" in first


def test_the_table_of_readme_is_that_of_the_results(tmp_path):
    out = tmp_path / "README.md"
    out.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write_table(RESULTS, out)
    written = out.read_text(encoding="utf-8")
    assert written.startswith(f"before\n{BEGIN}\n\n| balanced accuracy |")
    assert written.endswith(f"\n{END}\nafter\n")
    table = written[written.index(BEGIN) : written.index(END)]
    assert table in README, "run python -m analysis table"


def test_a_model_that_was_not_measured_has_a_dash(tmp_path):
    write_run(tmp_path / "results", "ecapa-tdnn")
    (tmp_path / "page.md").write_text(f"{BEGIN}\n{END}", encoding="utf-8")
    write_table(tmp_path / "results", tmp_path / "page.md")
    rows = (tmp_path / "page.md").read_text(encoding="utf-8").splitlines()
    assert "| ResNet18 | - |" in rows
    assert "| chance level | 0.333 |" in rows


@pytest.mark.parametrize("text", ["no place", BEGIN, f"{END}\n{BEGIN}\n"])
def test_a_page_without_a_place_for_the_table_stays_as_it_is(text, tmp_path):
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match="no place for the table"):
        write_table(RESULTS, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == text


def test_what_readme_found_is_so():
    """No model is better than chance on unseen babies; on the other splits each is."""
    corpora = ("donateacry", "esc10", "synthetic6")
    for run in (run for run in find_runs(RESULTS).runs if run.dataset in corpora):
        unseen = (run.dataset, run.protocol) == ("donateacry", "baby")
        assert run.evaluation.better_than_chance != unseen, (run.dataset, run.protocol, run.system)
    text = README[README.index("### The paper's own corpus") : README.index("## Train")]
    for protocol in ("clip", "recording"):
        record = read_record(RESULTS / "challenge6_cuts" / protocol / "feature-mlp" / "run.json")
        found = record["metrics"]["recording"]["metrics"]["balanced_accuracy"]["value"]
        assert f"{found:.2f}" in text
    for model in ("adapted-student", "student", "feature-mlp"):
        record = read_record(
            RESULTS / "challenge6_cuts" / "checked" / "probable" / model / "run.json"
        )
        scores = record["metrics"]["recording"]
        assert f"{scores['metrics']['balanced_accuracy']['value']:.2f}" in text
        assert f"chance level is {scores['chance']:.2f}" in " ".join(text.split())
        assert "hungry" not in scores["support"]
    page = " ".join(TEXTS["results.md"].split())
    assert ("0 are confirmed, 1 contradicted" in page) == ("one is contradicted" in README)


@pytest.mark.parametrize("line", commands())
def test_every_command_is_one_that_there_is(line):
    module, *arguments = shlex.split(line)[2:]
    if module in PARSERS:
        PARSERS[module]().parse_args(arguments)
    else:
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file()


def test_the_python_of_readme_is_python():
    blocks = fences(README, "python")
    assert blocks
    for block in blocks:
        ast.parse(block)


@pytest.mark.parametrize("name", TEXTS)
def test_every_file_that_a_page_names_is_there(name):
    text, folder = TEXTS[name], next(page.parent for page in PAGES if page.name == name)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    for link in links:
        assert (folder / link).exists(), link
        if name == "README.md":  # a Space shows it, and has no other files
            assert link in space_files()
    for path in re.findall(r"`((?:analysis|assets|cry_model|docs|tests|train)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\bdocs/\w+\.md", text):
        assert (ROOT / path).is_file(), path


def test_the_front_matter_is_a_space_of_this_gradio():
    front = yaml.safe_load(README.split("---\n")[1])
    assert front["sdk"] == "gradio"
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = [Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]
    gradio = next(one.specifier for one in asked if one.name == "gradio")
    assert front["sdk_version"] in gradio
    assert version("gradio") in gradio
    assert Path(ROOT / front["app_file"]).is_file()
    project = re.search(r'requires-python = "(.*)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert front["python_version"] in SpecifierSet(project[1] if project else ">=3.10")
    assert front["license"] == "apache-2.0"
    assert len(front["short_description"]) <= 60  # the Hub refuses more
