"""The report in a real Chromium that has no network."""

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
    assert page.locator(".plot.js-plotly-plot").count() == 0  # in folds, which are shut
    page.locator(".overview a").first.click()  # opens its own
    page.locator(".plot .main-svg").first.wait_for(timeout=60_000)
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
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
    assert EVIL in page.locator("main").inner_text()
    assert errors == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()
