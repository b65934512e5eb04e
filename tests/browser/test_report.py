"""The report in a real Chromium that has no network."""

from pathlib import Path

import pytest

from analysis.report import write_report
from analysis.stats.paper import FULL
from tests.analysis.synthetic_runs import write_run

pytestmark = pytest.mark.browser

EVIL = '"><img src=x onerror=document.title="taken">'  # a folder's name has no slash
EVIL_LABEL = (
    "</script><script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x.png'>"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for protocol in ("clip", "baby"):
        for system in (FULL, "ecapa-tdnn"):
            folder = write_run(root, system, protocol=protocol, dataset=EVIL)
            for path in folder.iterdir():
                path.write_text(path.read_text().replace("burping", EVIL_LABEL))
    out = tmp_path_factory.mktemp("out") / "report.html"
    write_report(root, out)
    return out


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_every_figure_is_drawn_without_a_network(browser, report, scheme, width):
    context = browser.new_context(
        offline=True, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    page, errors, asked = context.new_page(), [], []
    page.on("console", lambda m: m.type in ("error", "warning") and errors.append(m.text))
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: asked.append(r.url))
    page.goto(report.as_uri(), timeout=60_000)
    places = page.locator(".plot")
    count = places.count()
    assert count > 2
    assert page.locator(".plot.js-plotly-plot").count() < count  # drawn when in view
    for number in range(count):
        places.nth(number).scroll_into_view_if_needed()
        places.nth(number).locator(".main-svg").first.wait_for(timeout=60_000)
    word = page.locator(".plot .xtick text").first
    assert word.evaluate("e => getComputedStyle(e).fill") == page.locator("body").evaluate(
        "e => getComputedStyle(e).color"
    )
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "measured" in page.title()
    assert EVIL in page.locator("nav").inner_text()
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def test_a_figure_and_its_data_can_be_taken_away(browser, report):
    context = browser.new_context(offline=True, accept_downloads=True)
    page = context.new_page()
    page.goto(report.as_uri(), timeout=60_000)
    shown = page.locator("#leakage-0-0")
    shown.scroll_into_view_if_needed()
    shown.locator(".main-svg").first.wait_for(timeout=60_000)
    contents = {}
    for name in ("Figure (SVG)", "Figure (PNG)", "Data (CSV)"):
        with page.expect_download(timeout=30_000) as download:
            shown.get_by_text(name).click()
        path = Path(download.value.path())
        contents[name[-4:-1]] = (download.value.suggested_filename, path.read_bytes())
    stems = {name.rpartition(".")[0] for name, _ in contents.values()}
    assert len(stems) == 1
    assert contents["SVG"][1].startswith(b"<svg")
    assert contents["PNG"][1].startswith(b"\x89PNG")
    assert contents["CSV"][1].startswith(b"mark,name,protocol")
    title = shown.locator("h4").inner_text()
    assert title[:30] in contents["SVG"][1].decode()
    context.close()
