"""Check which folders may import which, that no import is circular, and the import depth."""

import ast
from collections import Counter
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
        "one_baby": "declared metrics prediction records sound",
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
        **dict.fromkeys(
            ["stats", "sound", "downloads", "words", "models", "uploads", "templates"], ""
        ),
        "server": "uploads",
        "session": "models sound",
        "figures": "sound",
        "panels": "downloads figures stats templates",
        "overview": "panels stats templates",
        "report": "overview panels stats",
        "results_page": "figures overview results_studies stats templates",
        "results_studies": "figures stats",
        "tabs": (
            "downloads figures models overview panels session sound stats templates uploads words"
        ),
        "live": "downloads figures models tabs words",
        "benchmark": "sound stats tabs",
        "page": "live models server session stats tabs uploads words",
        "__main__": "benchmark report results_page stats",
    },
}
"""Folder or top-level module -> what it may import; outside of cry_model, all of cry_model, too."""
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
    """Return our modules that a module imports; with ``late``, also inside functions."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree) if late else tree.body:
        if isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
    return names & MODULES.keys() - {module}


def folder(module):
    return ".".join(module.split(".")[:2])


FOLDERS = {folder(m) for m in MODULES if not m.startswith("cry_model")} - {"train", "analysis"}


@pytest.mark.parametrize("name", sorted(FOLDERS | ALLOWED.keys()))
def test_folder_imports_only_allowed_folders(name):
    own = [module for module in MODULES if folder(module) == name]
    assert own, f"{name} is gone"
    found = {folder(other) for module in own for other in imported(module)}
    if not name.startswith("cry_model."):  # all others may import cry_model
        found = {other for other in found if not other.startswith("cry_model")}
    assert found <= ALLOWED[name] | {name, name.split(".")[0]}


def test_no_import_cycles_and_limited_import_depth():
    below = {m: imported(m, late=False) - {m.rpartition(".")[0]} for m in MODULES}
    floors, highest = {}, Counter()
    for module in TopologicalSorter(below).static_order():  # raises CycleError
        package = module.split(".")[0]
        own = [floors[other] for other in below[module] if other.startswith(f"{package}.")]
        floors[module] = 1 + max(own, default=0)
        highest[package] = max(highest[package], floors[module])
    assert highest <= Counter(cry_model=6, train=7, analysis=6)
