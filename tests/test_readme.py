"""Check README and docs: stated numbers equal the records, commands parse, named files exist."""

import ast
import re
import shlex
from collections import Counter

import pytest
import typer

import analysis.__main__
import cry_model.__main__
import train.__main__
from analysis.stats.claims import MAIN, Verdict, cells_of
from analysis.stats.runs import find_runs
from cry_model.results import read_record
from tests.conftest import ROOT
from train.publish.hub import space_files

RESULTS = ROOT / "assets" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in PAGES}
ANALYSIS = typer.main.get_command(analysis.__main__.app)


def fences(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands():
    """Yield each ``python -m`` command of the code blocks."""
    for name, text in TEXTS.items():
        for block in fences(text, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("python -m "):
                    yield pytest.param(line, id=f"{name}: {line[:60]}")


def test_readme_is_short_and_starts_with_its_two_commands():
    assert len(README.splitlines()) < 200
    first = "\n".join(README.splitlines()[:40])
    assert "```bash\npip install -r requirements.txt && python app.py\n```" in first
    assert "```bash\npip install -r requirements-dev.txt && pytest\n```" in first


def test_readme_findings_match_the_results():
    """Check that no model beats chance on unseen babies, and each does on the other splits."""
    found = find_runs(RESULTS)
    for run in (one for one in found.runs if one.dataset in ("donateacry", "esc10", "synthetic6")):
        unseen = (run.dataset, run.protocol) == ("donateacry", "baby")
        assert run.evaluation.better_than_chance != unseen, (run.dataset, run.protocol, run.system)
    cells = [cell for cell in cells_of(found) if not cell.is_synthetic]
    count = Counter(finding.verdict for cell in cells for finding in cell.findings[MAIN])
    assert (count[Verdict.CONFIRMED], count[Verdict.CONTRADICTED]) == (0, 1)
    told = "No claim of the paper is confirmed by balanced accuracy, and one is contradicted"
    assert told in " ".join(README.split())


CHECKED = ("ensemble", "adapted-student", "student", "feature-mlp")
RUNS = ("clip/feature-mlp", "recording/feature-mlp", *(f"checked/probable/{m}" for m in CHECKED))


@pytest.mark.parametrize("run", RUNS)
def test_readme_has_the_scores_on_the_papers_own_corpus(run):
    text = README[README.index("### The paper's own corpus") : README.index("## Train")]
    record = read_record(RESULTS / "challenge6_cuts" / run / "run.json")
    scores = record["metrics"]["recording"]
    assert f"{scores['metrics']['balanced_accuracy']['value']:.2f}" in text
    if run.startswith("checked"):
        assert f"chance level is {scores['chance']:.2f}" in " ".join(text.split())
        assert "hungry" not in scores["support"]


@pytest.mark.parametrize("line", commands())
def test_every_documented_command_parses(line):
    module, *arguments = shlex.split(line)[2:]
    if module == "cry_model":
        cry_model.__main__.parser().parse_args(arguments)
    elif module == "train":
        assert train.__main__.parse(arguments)
    elif module == "analysis":
        ANALYSIS.commands[arguments[0]].make_context(arguments[0], arguments[1:])
    else:
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file()


def test_readme_python_blocks_parse():
    blocks = fences(README, "python")
    assert blocks
    for block in blocks:
        ast.parse(block)


@pytest.mark.parametrize("name", TEXTS)
def test_every_file_named_in_the_docs_exists(name):
    text, folder = TEXTS[name], next(page.parent for page in PAGES if page.name == name)
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    for link in links:
        assert (folder / link).exists(), link
        if name == "README.md":  # a Space shows it and has only these files
            assert link in space_files()
    for path in re.findall(r"`((?:analysis|assets|cry_model|docs|tests|train)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\bdocs/\w+\.md", text):
        assert (ROOT / path).is_file(), path
