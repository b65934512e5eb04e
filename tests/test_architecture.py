"""Which folder may import which, and that no module imports itself through others."""

import ast
from functools import cache
from graphlib import TopologicalSorter

import pytest

from tests.conftest import ROOT

LOWER = {
    "cry_model": {
        "sound": "declared",
        "networks": "declared records sound",
        "backends": (
            "calibration checkpoint detection detector fingerprint hub networks prediction sound"
        ),
        "one_baby": "metrics prediction records sound",
        "many": "calibration checkpoint classifier prediction records sound",
    },
    "train": {
        "data": "",
        "scoring": "data",
        "fit": "data scoring",
        "studies": "data fit scoring",
        "publish": "",
        "cli": "data fit publish scoring studies",
        "__main__": "cli data fit publish",
    },
    "analysis": {
        "stats": "",
        "sound": "",
        "downloads": "",
        "words": "",
        "models": "",
        "uploads": "",
        "server": "uploads",
        "session": "models sound",
        "figures": "sound",
        "panels": "downloads figures stats",
        "overview": "panels stats",
        "report": "overview panels stats",
        "results_page": "figures overview results_studies stats",
        "results_studies": "figures stats",
        "tabs": "downloads figures models overview panels session sound stats uploads words",
        "live": "downloads figures models tabs words",
        "benchmark": "sound stats tabs",
        "page": "live models server session stats tabs uploads words",
        "__main__": "benchmark report results_page stats",
    },
}
"""Folder, or module of a package's own floor -> what it may import; all others: cry_model, too."""
ALLOWED = {
    f"{package}.{name}": {f"{package}.{lower}" for lower in below.split()}
    for package, floors in LOWER.items()
    for name, below in floors.items()
}
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


@pytest.mark.parametrize(("package", "most"), {"cry_model": 6, "train": 7, "analysis": 6}.items())
def test_no_package_has_more_floors(package, most):
    assert max(floor(m) for m in MODULES if m.partition(".")[0] == package) <= most
