"""Provide texts in the visitor's language: a JSON file per language, and a script for the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from markupsafe import Markup

from cry_model.records import words


@dataclass(frozen=True)
class Words:
    """Store the sentences of one language by key, with placeholders in braces."""

    texts: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Return the sentence of a key, with its placeholders filled."""
        return self.texts[key].format(**values)

    def label(self, name: str) -> str:
        """Return a label as a heading: ``hug`` -> "Wants to be held"."""
        plain = words(name)
        return self.texts.get(f"label.{name}", plain[:1].upper() + plain[1:])

    def listing(self, names: Sequence[str]) -> str:
        """Join labels to a list: "tired, to be held"."""
        return ", ".join(self.texts.get(f"label.{name}.short", words(name)) for name in names)

    def problem(self, error: Exception) -> str:
        """Return what is wrong with a recording and what to do, by the error's type.

        Types without a sentence fall back to the error's own message, which is English.
        """
        return self.texts.get(f"problem.{type(error).__name__}", str(error))


LANGUAGES: Mapping[str, Words] = {
    path.stem: Words(json.loads(path.read_text(encoding="utf-8")))
    for path in sorted(Path(__file__).parent.glob("*.json"))
}
ENGLISH = LANGUAGES["en"]


def word(key: str, tag: str = "span", attributes: str = "") -> Markup:
    """Write an element whose text the script translates into the visitor's language."""
    element = Markup(f'<{tag} {attributes} data-word="{key}">{{}}</{tag}>')
    return element.format(ENGLISH(key))


def button(key: str, attributes: str) -> Markup:
    """Write a button whose text the script translates into the visitor's language."""
    return word(key, "button", f'type="button" {attributes}')


def language(request: gr.Request) -> Words:
    """Return the first supported language of the visitor's browser; English if there is none."""
    for entry in request.headers.get("accept-language", "").split(","):
        code = entry.split(";")[0].strip().lower().split("-")[0]
        if code in LANGUAGES:
            return LANGUAGES[code]
    return ENGLISH
