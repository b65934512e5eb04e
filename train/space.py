"""Which files a Space needs to show the page. The one place where that is decided."""

from __future__ import annotations

from pathlib import Path

from train.hub import PublishError

ROOT = Path(__file__).parents[1]
FILES = ("app.py", "README.md", "requirements.txt", "LICENSE")
PACKAGES = ("cry_model", "analysis")
CODE = (".py", ".css", ".js", ".j2")
# By name: whatever else somebody keeps there, a recording perhaps, stays at home.
ASSETS = (
    "checkpoints/*/config.json",
    "checkpoints/*/model.safetensors",
    "examples/README.md",
    "examples/synthetic_*.wav",
    "results/**/*.csv",
    "results/**/*.json",
    "search/**/*.csv",
    "search/**/*.json",
    "paper_reference.json",
    "screenshot.png",
)
FOLDERS = tuple(f"{folder}/" for folder in (*PACKAGES, "assets"))
"""What belongs to us in a Space: a file there that is not in the list is out of date."""


def space_files(root: Path = ROOT) -> dict[str, Path]:
    """Path in the Space -> local file, sorted by path.

    Raises:
        PublishError: if ``root`` is not a whole copy of the product.
    """
    missing = [name for name in (*FILES, *FOLDERS) if not (root / name).exists()]
    if missing:
        raise PublishError(f"{root} is not a whole copy of the product: no {', '.join(missing)}.")
    found = [root / name for name in FILES]
    for package in PACKAGES:
        found += [path for path in (root / package).rglob("*") if path.suffix in CODE]
    for pattern in ASSETS:
        found += (root / "assets").glob(pattern)
    names = {path.relative_to(root).as_posix(): path for path in found if path.is_file()}
    # An editor's own copies live in hidden folders.
    return {name: names[name] for name in sorted(names) if "/." not in f"/{name}"}
