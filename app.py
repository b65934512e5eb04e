"""Serve the web page, locally or as a Hugging Face Space."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path


def results_folder(arguments: Sequence[str] | None = None) -> Path | None:
    """Return the results folder to show beside the bundled results, or None if none is given."""
    parser = argparse.ArgumentParser(description="Serve the page.")
    parser.add_argument(
        "--results",
        type=Path,
        default=os.environ.get("CRY_RESULTS") or None,
        help="a results folder of `python -m train`, shown beside ours; default: CRY_RESULTS",
    )
    folder = parser.parse_args(arguments).results
    if folder is not None and not folder.is_dir():
        parser.error(f"There is no results folder {folder}; name another one.")
    return folder


def main() -> None:
    """Build the page from the bundled models and the one that CRY_MODEL names, and serve it."""
    other = results_folder()
    print("Loading libraries and models; the address follows in some seconds.", flush=True)
    gc.disable()  # while loading, which makes no garbage: saves a fifth of the time
    from analysis.models import load_detector, load_models
    from analysis.page import build_page, launch_options, warm_up
    from analysis.server import leave_no_traces
    from analysis.stats.runs import RESULTS, find_runs, join_runs
    from analysis.uploads import upload_folder

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # shut down as on Ctrl-C
    leave_no_traces()
    with contextlib.suppress(KeyboardInterrupt), upload_folder():
        (models, note), detector = load_models(os.environ.get("CRY_MODEL")), load_detector()
        found = find_runs(RESULTS)
        if other is not None:
            if not (own := find_runs(other)).runs:
                print(f"There are no finished runs in {other}; only ours are shown.", flush=True)
            found = join_runs(found, own)
        page = build_page(models, note, detector, found)
        page.launch(prevent_thread_lock=True, **launch_options())
        gc.freeze()
        gc.enable()
        try:
            warm_up(models, detector, found)
            threading.Event().wait()
        finally:
            page.close()


if __name__ == "__main__":
    main()
