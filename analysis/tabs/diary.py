"""Lay out the Diary tab: labelled cries kept in the visitor's browser, and what they teach.

The diary reaches the server with a request for what it teaches, and is deleted after the answer.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup, escape

from analysis.figures.theme import PALETTE
from analysis.stats.paper import read_paper
from analysis.stats.runs import RESULTS
from analysis.stats.side_results import PersonalStudy, read_personal
from analysis.tabs import SHARED, macros, scripts
from analysis.tabs.answer import numbers
from analysis.words import ENGLISH, LANGUAGES, Words, language
from cry_model.checkpoint import to_json
from cry_model.one_baby.labelled import Findings, Heads, LabelledCry, read_diary, usable
from cry_model.one_baby.personal import LEAST, PersonalError, Skill
from cry_model.prediction import Prediction
from cry_model.records import Estimate

LOG = logging.getLogger(__name__)
DIARY = macros("tabs/diary.html.j2")
NETWORK = "six-class"
"""Model whose numbers of a cry are kept: the network that the study used."""
PERMUTATIONS = 199
"""Fewer than in a study: two thousand cries would keep a core busy for a quarter minute."""
BUSY = threading.Semaphore(2)  # answers and reports at a time
Answer = dict[str, str]


def entry(said: str, spark: str, answers: Mapping[str, object]) -> str:
    """Return, as JSON, what the browser may keep of an answer; it allows no audio to be rebuilt."""
    heard = answers.get(NETWORK)
    told = {**numbers(heard), "model": NETWORK} if isinstance(heard, Prediction) else {}
    return to_json({"said": said, "spark": spark, **told}, None)


def personal_answer(request: dict[str, Any], visitor: gr.Request) -> Answer:
    """Return the personal model's answer to a diary's last cry, as HTML."""
    return _within_reason(lambda: _answer(read_diary(request), language(visitor)))


def personal_report(request: dict[str, Any], visitor: gr.Request) -> Answer:
    """Return, as HTML, whether a personal model of the diary is better than chance."""
    return _within_reason(lambda: _report(read_diary(request), language(visitor)))


def _within_reason(make: Callable[[], str]) -> Answer:
    """Return HTML, or a sentence on why there is none; no data is kept either way."""
    try:
        with BUSY:
            return {"html": make()}
    except PersonalError as error:
        return {"problem": str(error)}
    except Exception as error:  # its message may contain what the visitor wrote
        LOG.error("A diary could not be answered: %s.", type(error).__name__)
        return {"problem": ENGLISH("diary.wrong")}


def _answer(cries: Sequence[LabelledCry], say: Words) -> str:
    known = usable(cries, NETWORK)
    new = next((cry for cry in cries if not cry.label and cry.embedding), None)
    if new is None or len(known) < LEAST:
        return ""
    heads = Heads.fit(known)
    lines = [_named("personal.sound", heads.sound.predict(new.embedding, new.prior), say)]
    if heads.context is not None:
        hours = Heads.hours([*known, new])[-1]
        lines.append(_named("personal.context", heads.context.predict(hours), say))
    lines.append(_sentence(heads.report(PERMUTATIONS), say))
    return DIARY.answer(lines, say)


def _named(key: str, probabilities: Mapping[str, float], say: Words) -> Markup:
    return _with_reason(key, max(probabilities, key=probabilities.__getitem__), say)


def _with_reason(key: str, label: str, say: Words, **values: object) -> Markup:
    """Write a sentence that contains a reason, for which the page may insert the parent's name."""
    name = say.texts.get(f"label.{label}.short", label)
    place = Markup('<span data-reason="{}">{}</span>').format(label, name)
    return escape(say.texts[key]).format(label=place, **values)


def _sentence(found: Findings, say: Words) -> Markup:
    """State which of three results the sound gives."""
    r = found.sound
    told = _with_reason(
        f"personal.{r.state.replace(' ', '_')}",
        r.constant_label,
        say,
        cries=r.cries,
        needed=r.needed,
        right=round(100 * r.skill.accuracy.value),
        guess=round(100 * r.constant_accuracy),
    )
    hour = r.time_of_day.accuracy.value
    if r.state == "better" and hour >= r.skill.accuracy.value:
        told += " " + say("personal.hour", hour=round(100 * hour))
    return told


def _report(cries: Sequence[LabelledCry], say: Words) -> str:
    known = usable(cries, NETWORK)
    if len(known) < LEAST or len({cry.label for cry in known}) < 2:
        return Markup("<p>{}</p>").format(say("personal.begin", count=len(known)))
    found = Heads.fit(known).report(PERMUTATIONS)
    rows = [
        (say(f"personal.by.{name}"), _of_hundred(skill.accuracy), say(f"personal.{beats}"))
        for name, skill, beats in _skills(found)
    ]
    constant = _with_reason("personal.by.constant", found.sound.constant_label, say)
    rows.append((constant, f"{100 * found.sound.constant_accuracy:.0f}", ""))
    return DIARY.report(_sentence(found, say), rows, _caption(found), say)


def _skills(found: Findings) -> list[tuple[str, Skill, str]]:
    """Return each head's skill, and whether it is significant; the hour alone is not tested."""
    heads = {"sound": found.sound, "context": found.context}
    tested = [
        (name, report.skill, "yes" if report.state == "better" else "not_yet")
        for name, report in heads.items()
        if report is not None
    ]
    return [*tested, ("time", found.sound.time_of_day, "untested")]


def _of_hundred(share: Estimate) -> str:
    return f"{100 * share.value:.0f} ({100 * share.low:.0f}–{100 * share.high:.0f})"


def _caption(found: Findings) -> str:
    """Write the numbers for researchers, in English."""
    r = found.sound
    parts = [
        f"{r.recordings} recordings; those less than half an hour apart count as one: {r.cries} "
        f"cries on {r.days} days. One {r.left_out} is left out at a time, since cries of one hour "
        "are alike for reasons other than their cause. Brackets: 95% bootstrap intervals over what "
        f"is left out. Balanced accuracy of a constant answer: {r.chance:.2f}."
    ]
    for name, s, _ in _skills(found):
        balanced = s.balanced_accuracy
        parts.append(
            f"{ENGLISH(f'personal.by.{name}')}: balanced accuracy {balanced.value:.2f} "
            f"[{balanced.low:.2f}, {balanced.high:.2f}], p = {s.anytime_p:.2g} however often you "
            f"look (e-process), {s.permutation_p:.2g} in one look (labels permuted within days)."
        )
    return " ".join(parts)


def study_line(study: PersonalStudy | None, say: Words = ENGLISH) -> str:
    """State what the study found before release; empty without results."""
    if study is None or study.clear.needed is None:
        return ""
    needed = study.clear.needed
    return say("personal.tests", parents=study.parents, told=study.told, needed=needed)


def skeleton() -> str:
    """Write the tab, which the script fills."""
    study = read_personal(RESULTS)
    lines = {code: study_line(study, words) for code, words in LANGUAGES.items()}
    labels = " ".join(sorted(read_paper().labels))
    return DIARY.skeleton(json.dumps(lines), json.dumps(PALETTE), labels)


def build_diary_tab() -> None:
    """Lay out the tab inside the current page."""
    gr.HTML(
        skeleton(),
        js_on_load=scripts(*SHARED, "panels/figure.js", "tabs/diary.js"),
        server_functions=[personal_report],
        elem_id="diary",
    )
