"""Sections as a page of their own: tables that can be sorted, one file, nothing loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autopeft.report.interval import on_one_scale
from autopeft.report.page.shell import asset, fill, policy, raw
from autopeft.report.section import Section, numeric
from autopeft.report.table import cell


def html(title: str, sections: Sequence[Section]) -> str:
    """Return the page of sections; its policy allows its own style and script, and nothing else."""
    style = asset("page.css") + asset("sheet.css")
    script = asset("theme.js") + asset("sheet.js")
    return fill(
        "sheet.html",
        title=title,
        sections=[_shown(number, section) for number, section in enumerate(sections)],
        policy=policy(scripts=[script], styles=[style]),
        style=raw(style),
        script=raw(script),
    )


def _shown(number: int, section: Section) -> dict[str, Any]:
    """Return what the template shows of a section."""
    keys = list(section.columns)
    drawn = {key: on_one_scale([row[key] for row in section.rows]) for key in keys}
    return {
        "id": f"s{number}",
        "title": section.title,
        "level": section.level,
        "text": section.text,
        "commands": section.commands,
        "columns": [
            {"head": head, "numeric": numeric(section, key)}
            for key, head in section.columns.items()
        ],
        "named": keys.index("name") if "name" in keys else 0,
        "rows": [
            {
                "cells": [{"text": cell(row[key]), "bar": drawn[key][place]} for key in keys],
                "front": row.get("front") in (True, "yes"),
            }
            for place, row in enumerate(section.rows)
        ],
    }
