"""Drive a real Chromium on the real page; skip, with a reason, if it is not installed."""

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
LONGEST = 60_000  # ms, timeout of every wait
playwright.expect.set_options(timeout=LONGEST)


@dataclass
class Visit:
    """Hold a browser window on the page, with its errors and requests."""

    page: object
    home: str
    errors: list[str] = field(default_factory=list)
    requests: list = field(default_factory=list)

    def upload(self, path: Path) -> None:
        """Choose a file, as through the file dialogue."""
        self.page.locator("#listen input[type=file]").set_input_files(str(path))

    def ask(self, path: Path, kind: str = "") -> None:
        """Choose a file and wait for its answer."""
        self.upload(path)
        self.answered(kind)

    def answered(self, kind: str = "") -> None:
        """Wait for an answer, of the given kind if there is one."""
        self.page.wait_for_selector("#listen [data-listen=root]:not([data-state=sending])")
        of_kind = f'[data-kind="{kind}"]' if kind else ":not(.problem)"
        self.page.wait_for_selector(f"#answer .answer{of_kind}")

    def open(self, fold: str, *figures: str) -> None:
        """Open a fold of figures and wait for them."""
        self.page.get_by_role("button", name=fold).click()
        for figure in figures or FOLDS[fold]:
            self.page.wait_for_selector(f"#{figure}-figure .main-svg")

    def save(self, place) -> tuple[str, bytes]:
        """Click a download control; return the file's name and content."""
        with self.page.expect_download() as download:
            place.click()
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    def sent(self, part: str) -> list:
        """Return the requests whose URL or body contains ``part``."""
        return [r for r in self.requests if part in f"{r.url} {r.post_data}"]

    def check(self) -> None:
        """Require no error, no request to another host, no overflow, and enough contrast."""
        own = (self.home, "data:", "blob:")
        assert self.errors == []
        assert [r.url for r in self.requests if not r.url.startswith(own)] == []
        root = self.page.locator(":root")
        assert root.evaluate("root => root.scrollWidth - root.clientWidth") <= 1
        with contextlib.suppress(playwright.TimeoutError):  # text fading in is faint
            self.page.wait_for_function(f"!({FAINT})().length", polling=500, timeout=5000)
        assert self.page.evaluate(FAINT) == []


@pytest.fixture(scope="session")
def browser_type():
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed; apt-get install chromium, or set CHROMIUM")
    with playwright.sync_playwright() as running:
        yield running.chromium


@pytest.fixture(scope="session")
def microphone(tmp_path_factory):
    """Return the file that the browser's microphone plays; it is read again on each opening."""
    return tmp_path_factory.mktemp("microphone") / "heard.wav"


@pytest.fixture(scope="session")
def browser(browser_type, microphone):
    """Start one Chromium for all visits; each visit has its own profile, in memory."""
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={microphone}"]
    with contextlib.closing(browser_type.launch(executable_path=CHROMIUM, args=flags)) as browser:
        yield browser


def watch(context, home):
    """Open a window of ``context``; ``home`` is the prefix of the URLs that it may request."""
    page = context.new_page()
    page.set_default_timeout(LONGEST)
    seen = Visit(page, home)
    page.on("console", lambda m: m.type == "error" and seen.errors.append(m.text))
    page.on("pageerror", lambda e: seen.errors.append(str(e)))
    page.on("request", lambda r: seen.requests.append(r))
    return seen


def visit_page(context, server):
    """Open the page of ``server`` in a window of ``context``."""
    seen = watch(context, server.url)
    seen.page.goto(server.url)
    seen.page.wait_for_selector("#listen[data-ready]", state="attached")
    return seen


@pytest.fixture
def visit(browser, microphone, server, examples):
    """Return a function to open the page in a new profile: ``visit(width=390, heard=wav)``.

    Each visit is checked at the end of the test.
    """
    with contextlib.ExitStack() as contexts:
        visits = []

        def open_page(heard=None, width=1280, scheme="light", locale="en-US"):
            shutil.copyfile(heard or examples / "synthetic_rhythmic.wav", microphone)
            context = browser.new_context(
                viewport={"width": width, "height": 844},
                color_scheme=scheme,
                locale=locale,
                permissions=["microphone"],
            )
            contexts.enter_context(contextlib.closing(context))
            visits.append(visit_page(context, server))
            return visits[-1]

        yield open_page
        for seen in visits:
            seen.check()


FAINT = """() => {
  const ink = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const luminance = (layers) => {
    for (const layer of layers) { ink.fillStyle = layer; ink.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...ink.getImageData(0, 0, 1, 1).data].map(
      v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (element, property) => {
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.unshift(getComputedStyle(e));
    ink.globalAlpha = 1;
    const behind = luminance(["white", ...chain.map(style => style.backgroundColor)]);
    ink.globalAlpha = chain.reduce((product, style) => product * style.opacity, 1);
    const [low, high] = [behind, luminance([chain.at(-1)[property]])].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const exempt = ":disabled, .toast-wrap"; // toasts are Gradio's
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = [];
  while (words.nextNode()) {
    const { data, parentElement: element } = words.currentNode, inFigure = element.closest("svg");
    if (!data.trim() || element.closest(exempt)) continue;
    if (!element.checkVisibility({ visibilityProperty: true })) continue;
    if (inFigure && !element.closest(".xtick, .ytick, .g-xtitle, .g-ytitle")) continue; // on marks
    const ratio = contrast(element, inFigure ? "fill" : "color");
    if (ratio < 4.5) faint.push([ratio, data, element.outerHTML.slice(0, 90)]);
  }
  return faint;
}"""
"""Script that returns visible text with a contrast below 4.5, the minimum of WCAG 2, level AA."""
