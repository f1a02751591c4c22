"""The page itself: one file with all that it needs, and a policy that lets it reach for no more.

The policy names each script and style by its hash, so whatever else might find its way into the
page is not run. Texts go through the autoescape of jinja2; what the scripts read is JSON in which
no sign can end its element.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from autopeft.report import wording
from autopeft.report.failures import by_cause, methods
from autopeft.report.leaderboard import leaderboard
from autopeft.report.page.about import again_facts, data_facts, settings
from autopeft.report.page.certainty import certainty_figure
from autopeft.report.page.compare import differences, fronts_figures, overview
from autopeft.report.page.curves import curves_figure
from autopeft.report.page.data import labels_figure, lengths_figure
from autopeft.report.page.figure import Figure
from autopeft.report.page.front import cheapest, front_figure
from autopeft.report.page.matter import heat_figure, importance_figure
from autopeft.report.page.mistakes import confusion_figure
from autopeft.report.page.parts import gates_figure
from autopeft.report.page.prices import compared, price_table, prices_figure
from autopeft.report.page.shell import asset, fill, policy, raw
from autopeft.report.page.view import RunView
from autopeft.report.wording import PRICES

FIGURES = (
    *(front_figure, curves_figure, importance_figure, heat_figure, gates_figure),
    *(prices_figure, certainty_figure, labels_figure, lengths_figure, confusion_figure),
)
SECTIONS = {
    "choice": "The choice",
    "front": "The front",
    "curves": "Learning curves",
    "matter": "What mattered",
    "gates": "Gates by layer",
    "costs": "What it costs",
    "certainty": "How sure it is",
    "failures": "Failures",
    "data": "Data",
    "mistakes": "Mistakes",
    "trials": "All trials",
    "again": "Do it again",
}
"""The sections of a run's page, in order: their anchors and titles."""

NOTHING = ""
"""What plotly fills its own style element with before it adds rules by script."""


def render(views: Sequence[RunView]) -> str:
    """Return the page of one run, or of several side by side, as HTML."""
    parts = [_part(view, f"r{place}-" * (len(views) > 1)) for place, view in enumerate(views, 1)]
    fronts = fronts_figures(views) if len(views) > 1 else []
    figures = {figure.name: figure.plot() for figure in fronts}
    for part in parts:
        figures |= {part["prefix"] + name: f.plot() for name, f in part["figures"].items()}
    style, library = asset("page.css"), _library()
    script = asset("theme.js") + asset("page.js")
    return fill(
        "page.html",
        parts=parts,
        titles=SECTIONS,
        single=len(parts) == 1,
        overview=overview(views),
        differences=differences(views),
        fronts=fronts,
        policy=policy(scripts=[library, script], styles=[style, NOTHING]),
        style=raw(style),
        script=raw(script),
        library=raw(library),
        taken=_style_ids(),
        figures=raw(harmless_json(figures)),
        wording=wording,
        data_facts=data_facts,
        again_facts=again_facts,
        settings=settings,
    )


def harmless_json(values: object) -> str:
    """Return JSON that cannot end the script element around it."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _part(view: RunView, prefix: str) -> dict[str, Any]:
    """Return what the template shows of a run."""
    made = (figure(view) for figure in FIGURES)
    figures = {figure.name: figure for figure in made if figure is not None}
    return {
        "view": view,
        "prefix": prefix,
        "figures": figures,
        "model": view.facts.get("model"),
        "notes": view.facts.get("data", {}).get("notes", []),
        "command": view.facts.get("command"),
        "contents": _contents(view, figures),
        "beside": _beside(view),
        "prices": price_table(compared(view)),
        "failures": _failures(view),
        "trials": leaderboard(
            view.records,
            metric=view.metric,
            higher_is_better=view.higher_is_better,
            front=[record.number for record in cheapest(view, PRICES["trainable_params"])],
        ),
        "states": Counter(record.state.value for record in view.records),
    }


def _contents(view: RunView, figures: Mapping[str, Figure]) -> list[tuple[str, str]]:
    """Return the sections that there is something for: their anchors and titles."""
    there = {
        "front": "front" in figures,
        "curves": "curves" in figures,
        "matter": "placement" in figures,
        "gates": "gates" in figures,
        "costs": bool(compared(view)),
        "certainty": "certainty" in figures,
        "data": bool(view.splits or view.facts.get("data")),
        "mistakes": "confusion" in figures,
    }
    return [(name, title) for name, title in SECTIONS.items() if there.get(name, True)]


def _beside(view: RunView) -> list[dict[str, Any]]:
    """Return the choice and what is reported beside it, each with its name."""
    if view.choice is None:
        return []
    named = {"default": "default LoRA", "head": "head alone"}
    rows: list[dict[str, Any]] = []
    runner_up = False
    for row in view.finalists:
        mine = row["number"] == view.choice["number"]
        if mine or row["origin"] in named:
            name = "the choice" if mine else named[row["origin"]]
        elif not runner_up:
            name, runner_up = "runner-up", True
        else:
            continue
        rows.append({**row, "name": name, "mine": mine})
    return sorted(rows, key=lambda row: not row["mine"])


def _failures(view: RunView) -> list[dict[str, Any]]:
    """Return a row per cause: how often, which methods, and what the first of them said."""
    return [
        {
            "cause": cause,
            "count": len(same),
            "methods": methods(same),
            "trials": ", ".join(str(record.number) for record in same[:10])
            + (" …" if len(same) > 10 else ""),
            "first": same[0].message,
        }
        for cause, same in by_cause(view.records)
    ]


@cache
def _library() -> str:
    """Return plotly's script, as its Python package carries it (MIT licence)."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _style_ids() -> list[str]:
    """Return the ids of style elements that plotly's maps add; taken, they are not added.

    Maps are not drawn here, and the policy would refuse their styles with an error each.
    """
    return re.findall(r'getElementById\("([0-9a-f]{64})"\)', _library())
