"""Lay out the Diary tab: what cries were, kept in the visitor's browser, and what they teach.

The diary comes to the server with the request that asks what it teaches, and goes with the answer.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.figures.theme import PALETTE
from analysis.stats.paper import read_paper
from analysis.stats.runs import RESULTS
from analysis.stats.side_results import PersonalStudy, read_personal
from analysis.tabs.answer import numbers
from analysis.words import ENGLISH, LANGUAGES, SCRIPT, Words, button, language, word
from cry_model.checkpoint import to_json
from cry_model.one_baby.labelled import Findings, Heads, LabelledCry, read_diary, usable
from cry_model.one_baby.personal import LEAST, PersonalError, Skill
from cry_model.prediction import Prediction
from cry_model.records import Estimate

LOG = logging.getLogger(__name__)
HERE = Path(__file__).parent
SHARED = SCRIPT, HERE.parent / "diary.js"
SCRIPTS = *SHARED, HERE.parent / "panels" / "figure.js", HERE / "diary.js"
NETWORK = "six-class"
"""Whose numbers of a cry are kept: the network that the study was made with."""
PERMUTATIONS = 199
"""Fewer than a study takes: two thousand cries would keep a core busy for a quarter minute."""
BUSY = threading.Semaphore(2)  # reports at a time
Answer = dict[str, str]


def entry(said: str, spark: str, answers: Mapping[str, object]) -> str:
    """Return, as JSON, what the browser may keep of an answer: no sound can be made of it."""
    heard = answers.get(NETWORK)
    told = {**numbers(heard), "model": NETWORK} if isinstance(heard, Prediction) else {}
    return to_json({"said": said, "spark": spark, **told}, None)


def personal_answer(request: dict[str, Any], visitor: gr.Request) -> Answer:
    """Return what a diary teaches of its last cry, as HTML."""
    return _within_reason(lambda: _answer(read_diary(request), language(visitor)))


def personal_report(request: dict[str, Any], visitor: gr.Request) -> Answer:
    """Return whether a diary teaches anything, as HTML."""
    return _within_reason(lambda: _report(read_diary(request), language(visitor)))


def _within_reason(make: Callable[[], str]) -> Answer:
    """Return HTML, or the sentence on why there is none; nothing is kept of it either way."""
    try:
        with BUSY:
            return {"html": make()}
    except PersonalError as error:
        return {"problem": str(error)}
    except Exception as error:  # its message may hold what the visitor wrote
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
    lines.append(_sentence(Findings.of(heads, permutations=PERMUTATIONS), say))
    return f"<h3>{escape(say('personal.title'))}</h3>" + "".join(f"<p>{line}</p>" for line in lines)


def _named(key: str, probabilities: Mapping[str, float], say: Words) -> str:
    return _with_reason(key, max(probabilities, key=probabilities.__getitem__), say)


def _with_reason(key: str, label: str, say: Words, **values: object) -> str:
    """Write a sentence with a reason in it, which the page calls as the parent does."""
    name = escape(say.texts.get(f"label.{label}.short", label))
    place = f'<span data-reason="{escape(label)}">{name}</span>'
    return escape(say(key, label="\0", **values)).replace("\0", place)


def _sentence(found: Findings, say: Words) -> str:
    """Say one of three things of what the sound tells."""
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
        told += " " + escape(say("personal.hour", hour=round(100 * hour)))
    return told


def _report(cries: Sequence[LabelledCry], say: Words) -> str:
    known = usable(cries, NETWORK)
    if len(known) < LEAST or len({cry.label for cry in known}) < 2:
        return f"<p>{escape(say('personal.begin', count=len(known)))}</p>"
    found = Findings.of(Heads.fit(known), permutations=PERMUTATIONS)
    return (
        f'<p class="verdict">{_sentence(found, say)}</p>'
        f"<details><summary>{escape(say('personal.who'))}</summary>"
        f"{_table(found, say)}<p>{escape(say('personal.once'))} {escape(say('personal.runs'))}</p>"
        f'<p class="caption">{escape(_caption(found))}</p></details>'
    )


def _table(found: Findings, say: Words) -> str:
    r = found.sound
    head = "".join(f"<th>{escape(say(f'personal.{key}'))}</th>" for key in ("right", "beats"))
    rows = [
        (escape(say(f"personal.by.{name}")), _of_hundred(skill.accuracy), say(f"personal.{beats}"))
        for name, skill, beats in _skills(found)
    ]
    constant = _with_reason("personal.by.constant", r.constant_label, say)
    rows.append((constant, f"{100 * r.constant_accuracy:.0f}", ""))
    lines = "".join(f"<tr><th>{a}</th><td>{b}</td><td>{c}</td></tr>" for a, b, c in rows)
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _skills(found: Findings) -> list[tuple[str, Skill, str]]:
    """Return what each head knew, and whether that was shown; the hour alone is not tested."""
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
        f"{r.recordings} recordings, less than half an hour apart taken together: {r.cries} cries "
        f"on {r.days} days. One {r.left_out} is left out at a time, since cries of one hour are "
        "alike for other reasons than their cause; brackets are 95% bootstrap intervals over what "
        f"is left out. Balanced accuracy of a constant answer: {r.chance:.2f}."
    ]
    for name, s, _ in _skills(found):
        balanced = s.balanced_accuracy
        parts.append(
            f"{ENGLISH(f'personal.by.{name}')}: balanced accuracy {balanced.value:.2f} "
            f"[{balanced.low:.2f}, {balanced.high:.2f}], p = {s.anytime_p:.2g} however often one "
            f"looks (e-process), {s.permutation_p:.2g} in one look (labels permuted within days)."
        )
    return " ".join(parts)


def study_line(study: PersonalStudy | None, say: Words = ENGLISH) -> str:
    """Say what was measured before this shipped; empty without results."""
    if study is None or study.clear.needed is None:
        return ""
    needed = study.clear.needed
    return say("personal.tests", parents=study.parents, told=study.told, needed=needed)


def skeleton() -> str:
    """Write the tab; the script fills it."""
    study, labels = read_personal(RESULTS), " ".join(sorted(read_paper().labels))
    lines = {code: study_line(study, words) for code, words in LANGUAGES.items()}
    return f"""<section class="diary" data-diary="root" data-state="none"
data-study="{escape(json.dumps(lines))}" data-colours="{escape(json.dumps(PALETTE))}"
data-labels="{labels}">
<p>{word("diary.about")}</p>
<div class="offered">{button("tonight.keep", 'class="main" data-do="keep"')}</div>
<div class="kept"><div data-diary="care"></div>
<div data-diary="report" aria-live="polite"></div>
{word("diary.log", "h3", 'id="diary-plot-heading"')}
<div id="diary-plot"><div class="plot" role="img" data-diary="plot"></div></div>
<ul class="cries" data-diary="rows"></ul>
<p class="keys">{button("diary.more", 'hidden data-do="more"')}</p>
<details><summary>{word("diary.reasons")}</summary><div data-diary="reasons"></div></details>
<p class="keys">{button("diary.picture", 'data-do="picture"')}{button("diary.csv", 'data-do="csv"')}
{button("diary.save", 'data-do="save"')}{button("diary.delete", 'data-do="delete"')}</p></div>
<p class="keys">{button("diary.load", 'data-do="load"')}
<input type="file" hidden accept=".json,application/json" data-diary="file"></p>
<p role="status" aria-live="polite" data-diary="status"></p>
<p class="small">{word("diary.kept")} <span data-diary="study"></span>
{word("personal.medical")}</p>
</section>"""


def build_diary_tab() -> None:
    """Lay out the tab inside the current page."""
    gr.HTML(
        skeleton(),
        js_on_load="".join(path.read_text(encoding="utf-8") for path in SCRIPTS),
        server_functions=[personal_report],
        elem_id="diary",
    )
