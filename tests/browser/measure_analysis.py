"""``python -m tests.browser.measure_analysis``: how quickly the Analysis tab answers.

The page is that of the repository with all of its results, in a Chromium. A time runs from a click
to the last change of the page before it stays as it is for half a second, a frame later: what the
visitor waits for, the server, the way and the drawing in one.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.measure_live import spread
from tests.server import ROOT, serve

QUIET = 500  # ms
# Started before the click, so that what a click changes at once is seen.
NOTE_CHANGES = """() => {
  window.changed = null;
  window.observer?.disconnect();
  window.observer = new MutationObserver(() => { window.changed = performance.now(); });
  window.observer.observe(document.body, {subtree: true, childList: true, characterData: true});
  window.clicked = null;
  const note = () => { window.clicked = performance.now(); };
  document.addEventListener("pointerdown", note, {capture: true, once: true});
}"""
SETTLED = f"""() => window.clicked !== null && window.changed !== null
  && performance.now() - Math.max(window.changed, window.clicked) > {QUIET}"""
TIME = "() => Math.max(0, window.changed - window.clicked) + 1000 / 60"


def timed(page: Page, what: Locator) -> float:
    """Milliseconds from a click until the page has changed for the last time."""
    page.evaluate(NOTE_CHANGES)
    what.click()
    page.wait_for_function(SETTLED, timeout=30_000)
    return float(page.evaluate(TIME))


def selectors(page: Page) -> dict[str, list[float]]:
    """Selector that can be seen -> the times of another choice, and of the first again."""
    found: dict[str, list[float]] = {}
    for box in page.locator("[id$=-choices]:visible input[role=combobox]").all():
        times: list[float] = []
        for _ in range(2):
            box.click()
            options = page.locator("li[role=option][aria-selected=false]")
            if options.count():
                times.append(timed(page, options.first))
            else:
                page.keyboard.press("Escape")
        if times:
            found[box.get_attribute("aria-label") or ""] = times
    for switch in page.locator("[id$=-choices]:visible input[type=checkbox]").all():
        name = switch.locator("xpath=ancestor::label").inner_text().strip()
        found[name] = [timed(page, switch), timed(page, switch)]
    return found


def measure(url: str, page: Page, visits: int) -> dict[str, object]:
    """First paints in ``visits`` fresh pages, then every selector of every sub-tab in the last."""
    first: list[float] = []
    for _ in range(visits):
        page.goto(url)
        page.wait_for_selector("#recording input[type=file]", state="attached")
        page.wait_for_timeout(2 * QUIET)
        first.append(timed(page, page.get_by_role("tab", name="Analysis", exact=True)))
        page.wait_for_selector(".exhibit .main-svg:visible")
    tabs, arrived, chosen = page.locator("#panels [role=tab]:visible"), {}, {}
    for number in range(tabs.count()):
        title = tabs.nth(number).inner_text().strip()
        if number:
            arrived[title] = timed(page, tabs.nth(number))
        chosen[title] = {name: spread(times) for name, times in selectors(page).items()}
    return {"first_paint_ms": spread(first), "sub_tab_ms": arrived, "selector_ms": chosen}


def main() -> None:
    """Measures, prints JSON and writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=5, help="fresh pages for the first paint")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as running:
        folder = Path(name)
        with serve(folder, ROOT) as server:
            context = running.chromium.launch_persistent_context(
                folder / "profile",
                executable_path=CHROMIUM,
                headless=True,
                args=list(FLAGS),
                viewport={"width": 1280, "height": 1000},
            )
            record = measure(server.url, context.new_page(), args.visits)
            context.close()
    record = {"machine": platform.machine(), "python": platform.python_version(), **record}
    text = json.dumps(record, indent=2)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
