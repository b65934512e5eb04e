"""A real Chromium on the real page. Skips, with a reason, where Chromium is not installed."""

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
FOLDS = {"What I listened to": ("sound",), "For researchers": ("map", "branch", "differential")}
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


@dataclass
class Visit:
    """A browser window on the page, and what went wrong in it."""

    page: object
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def upload(self, path: Path) -> None:
        """Chooses a file, as through the file dialogue."""
        self.page.locator("#listen input[type=file]").set_input_files(str(path))

    def answered(self, kind: str = "") -> None:
        """Waits for an answer, of one kind if it is named."""
        place = "#listen [data-listen=root]:not([data-state=sending])"
        self.page.wait_for_selector(place, timeout=60_000)
        of_kind = f'[data-kind="{kind}"]' if kind else ":not(.problem)"
        self.page.wait_for_selector(f"#answer .answer{of_kind}", timeout=60_000)

    def words(self) -> str:
        """What stands before the folds."""
        return self.page.locator("#answer .card").inner_text()

    def open(self, fold: str, *figures: str) -> None:
        """Opens a fold of figures and waits for them."""
        self.page.get_by_role("button", name=fold).click()
        for figure in figures or FOLDS[fold]:
            self.page.wait_for_selector(f"#{figure}-figure .main-svg", timeout=60_000)

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        page = "document.documentElement"
        return self.page.evaluate(f"{page}.scrollWidth - {page}.clientWidth")


@pytest.fixture(scope="session")
def browser_type():
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed; apt-get install chromium, or set CHROMIUM")
    with playwright.sync_playwright() as running:
        yield running.chromium


@pytest.fixture(scope="session")
def microphone(tmp_path_factory):
    """The file that the browser's microphone plays; it is read anew whenever one is opened."""
    return tmp_path_factory.mktemp("microphone") / "heard.wav"


@pytest.fixture(scope="session")
def browser(browser_type, microphone):
    """One Chromium for all visits, each of which has a profile of its own, in memory."""
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
    with contextlib.closing(browser_type.launch(executable_path=CHROMIUM, args=flags)) as browser:
        yield browser


def visit_page(context, server):
    """Open the page of ``server`` in a window of ``context``."""
    page = context.new_page()
    result = Visit(page)
    page.on("console", lambda m: m.type == "error" and result.errors.append(m.text))
    page.on("pageerror", lambda e: result.errors.append(str(e)))
    page.on(
        "request",
        lambda r: r.url.startswith((server.url, "data:", "blob:")) or result.outside.append(r.url),
    )
    page.goto(server.url)
    page.wait_for_selector("#listen[data-ready]", state="attached")
    return result


@pytest.fixture
def visit(browser, microphone, server, examples):
    """Opens the page in a new profile; ``visit(width=390, scheme="dark", heard=wav)``."""
    with contextlib.ExitStack() as visits:

        def open_page(heard=None, width=1280, height=844, scheme="light", locale="en-US"):
            shutil.copyfile(heard or examples / "synthetic_rhythmic.wav", microphone)
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                locale=locale,
                permissions=["microphone"],
            )
            visits.enter_context(contextlib.closing(context))
            return visit_page(context, server)

        yield open_page


def picture(seen, tmp_path, name):
    """Keep a screenshot where somebody asked for them."""
    folder = Path(os.environ.get("CRY_SCREENSHOTS", tmp_path))
    seen.page.screenshot(path=folder / f"{name}.png", full_page=True)


CONTRAST = """(selector_property) => {
  const [selector, property] = selector_property;
  const element = document.querySelector(selector);
  const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = c => (c.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3]));
  const full = c => c.length > 3 ? c : [...c, 1];
  let background = [255, 255, 255], opacity = 1;
  const chain = [];
  for (let e = element; e; e = e.parentElement) chain.unshift(e);
  for (const e of chain) {
    const style = getComputedStyle(e);
    background = over(full(parse(style.backgroundColor)), background);
    opacity *= Number(style.opacity);
  }
  const colour = full(parse(getComputedStyle(element)[property]));
  colour[3] *= opacity;
  const luminance = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const [a, b] = [luminance(over(colour, background)), luminance(background)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def contrast(page, selector: str, colour: str = "color") -> float:
    """WCAG contrast ratio of the first such element's text against what is behind it."""
    return page.evaluate(CONTRAST, [selector, colour])
