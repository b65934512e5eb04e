"""Which folder may import which, and that no module imports itself through others."""

import ast
from functools import cache
from graphlib import TopologicalSorter

import pytest

from tests.conftest import ROOT

ALLOWED = {
    "cry_model.sound": {"cry_model.declared"},
    "cry_model.networks": {f"cry_model.{name}" for name in ("declared", "records", "sound")},
    "cry_model.backends": {
        f"cry_model.{name}"
        for name in (
            "calibration",
            "checkpoint",
            "detection",
            "detector",
            "fingerprint",
            "hub",
            "networks",
            "prediction",
            "sound",
        )
    },
    "cry_model.one_baby": {
        f"cry_model.{name}" for name in ("metrics", "prediction", "records", "sound")
    },
    "cry_model.many": {
        f"cry_model.{name}"
        for name in ("calibration", "checkpoint", "classifier", "prediction", "records", "sound")
    },
    "train.data": set(),
    "train.scoring": {"train.data"},
    "train.fit": {"train.data", "train.scoring"},
    "train.studies": {"train.data", "train.scoring", "train.fit"},
    "train.publish": set(),
    "train.cli": {f"train.{name}" for name in ("data", "scoring", "fit", "studies", "publish")},
    "train.__main__": {"train.cli", "train.data", "train.fit", "train.publish"},
    "analysis.stats": set(),
    "analysis.sound": set(),
    "analysis.words": set(),
    "analysis.models": set(),
    "analysis.uploads": set(),
    "analysis.server": {"analysis.uploads"},
    "analysis.session": {"analysis.models", "analysis.sound"},
    "analysis.figures": {"analysis.sound"},
    "analysis.panels": {"analysis.figures", "analysis.stats"},
    "analysis.overview": {"analysis.panels", "analysis.stats"},
    "analysis.report": {"analysis.overview", "analysis.panels", "analysis.stats"},
    "analysis.results_page": {
        f"analysis.{name}" for name in ("figures", "overview", "results_studies", "stats")
    },
    "analysis.results_studies": {"analysis.figures", "analysis.stats"},
    "analysis.tabs": {
        f"analysis.{name}"
        for name in (
            "figures",
            "models",
            "overview",
            "panels",
            "session",
            "sound",
            "stats",
            "uploads",
            "words",
        )
    },
    "analysis.live": {
        f"analysis.{name}" for name in ("figures", "models", "panels", "tabs", "words")
    },
    "analysis.benchmark": {f"analysis.{name}" for name in ("sound", "stats", "tabs")},
    "analysis.page": {
        f"analysis.{name}"
        for name in ("live", "models", "server", "stats", "tabs", "uploads", "words")
    },
    "analysis.__main__": {
        f"analysis.{name}" for name in ("benchmark", "report", "results_page", "stats")
    },
}
"""Folder, or module of a package's own floor -> what it may import; all others: cry_model, too."""
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("cry_model", "train", "analysis")
    for path in (ROOT / package).rglob("*.py")
}


def imported(module, late=True):
    """The modules of ours that a module imports; late: inside of functions, too."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree) if late else tree.body:
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name.name}" for name in node.names] + [node.module]
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        yield from (name for name in names if name in MODULES and name != module)


def folder(module):
    package, _, rest = module.partition(".")
    return f"{package}.{rest.split('.')[0]}" if rest else package


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_folder_imports_only_what_lies_below_it(name):
    own = [module for module in MODULES if folder(module) == name]
    assert own, f"{name} is gone"
    found = {folder(other) for module in own for other in imported(module)}
    if not name.startswith("cry_model."):  # all may import what classifies a cry
        found = {other for other in found if not other.startswith("cry_model")}
    assert found <= ALLOWED[name] | {name, name.split(".")[0]}


def test_every_module_is_in_a_folder_that_the_plan_names():
    found = {folder(module) for module in MODULES if not module.startswith("cry_model")}
    assert found <= ALLOWED.keys() | {"train", "analysis"}


def test_no_module_imports_itself_through_others():
    graph = {m: set(imported(m, late=False)) - {m.rpartition(".")[0]} for m in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError


@cache
def floor(module):
    """One above the highest module of its package that it imports at once."""
    within = f"{module.partition('.')[0]}."
    below = set(imported(module, late=False)) - {module.rpartition(".")[0]}
    return 1 + max((floor(m) for m in below if m.startswith(within)), default=0)


@pytest.mark.parametrize(("package", "most"), {"cry_model": 6, "train": 7, "analysis": 8}.items())
def test_no_package_has_more_floors(package, most):
    assert max(floor(m) for m in MODULES if m.partition(".")[0] == package) <= most
