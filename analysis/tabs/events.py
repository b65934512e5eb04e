"""Name what the events of all tabs have in common, and how the address follows the page."""

from __future__ import annotations

from typing import Any

import gradio as gr

# Without the queue, whose places may be taken by recordings.
EVENT: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# The address says what is shown, so that it can be passed on, and Back goes back.
NAME_TAB = """() => {{
  // Gradio reports the first tab as chosen, too, before the address was read.
  if ("{tab}" === "listen" && !window.addressRead) return;
  const address = new URL(location.href);
  if (address.searchParams.get("tab") === "{tab}") return;
  address.search = "?tab={tab}";
  history.pushState(history.state, "", address);
}}"""
FOLLOW_BACK = """() => {
  window.addressRead = true;
  addEventListener("popstate", () => {
    const tab = new URLSearchParams(location.search).get("tab") || "listen";
    document.querySelector(`#tabs > .tab-wrapper [data-tab-id="${tab}"]`)?.click();
  });
}"""


def name_in_address(tab: gr.Tab) -> None:
    """Have the page's address name a tab when it is chosen."""
    tab.select(None, js=NAME_TAB.format(tab=tab.id), api_visibility="private")
