"""Time the Analysis tab: from a click on a choice to the last change of the page.

    python tests/browser/click_times.py http://127.0.0.1:7860

Beside a page that runs already, because a test must not depend on the machine.
"""

import statistics
import sys

from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu"]
ROUNDS, SETTLED = 3, 400  # ms without a change
CHANGE = """([id, value, settled]) => new Promise((done) => {
  const start = performance.now();
  let last = start, timer = setTimeout(finish, 5000);
  const observer = new MutationObserver(() => {
    last = performance.now();
    clearTimeout(timer);
    timer = setTimeout(finish, settled);
  });
  function finish() { observer.disconnect(); done(last - start); }
  const all = { subtree: true, childList: true, attributes: true, characterData: true };
  observer.observe(document.body, all);
  const place = document.getElementById(id);
  if (place.tagName === "SELECT") {
    place.value = value;
    place.dispatchEvent(new Event("change", { bubbles: true }));
  } else (place.querySelector(`input[value="${value}"]`) ?? place).click();
})"""
OTHERS = """() => [...document.querySelectorAll(".bar select, .bar fieldset")].map((place) => {
  const all = [...place.querySelectorAll("option, input")];
  const now = all.find((o) => o.selected || o.checked)?.value;
  return [place.id, now, all.map((o) => o.value).find((value) => value !== now)];
}).filter(([, , other]) => other)"""


def main(address: str) -> None:
    """Print the median and the largest time of each view, and of all."""
    every = []
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page()
        page.goto(f"{address}/?tab=analysis")
        page.locator(".overview").wait_for()
        views = page.locator(".views a").evaluate_all("all => all.map((a) => a.textContent)")
        for view in views[1:-1]:
            page.locator(".views a", has_text=view).click()
            page.locator(".analysis[aria-busy=false] .bar").wait_for()
            times = []
            for number in range(ROUNDS):
                for place, now, other in page.evaluate(OTHERS):
                    pair = [page.evaluate(CHANGE, [place, v, SETTLED]) for v in (other, now)]
                    times += pair if number else []  # the first round draws what nobody has seen
            every += times
            print(f"{view}: {statistics.median(times):.0f} ms, at most {max(times):.0f} ms")
        browser.close()
    print(f"all: {statistics.median(every):.0f} ms, at most {max(every):.0f} ms")


if __name__ == "__main__":
    main(sys.argv[1])
