"""Tables with their titles and sentences: what a terminal, a Markdown file and a page all show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autopeft.report.table import Row, cell

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_NUMBER = re.compile(r"-?\d")
_WHOLE, _LEAST = 32, 10
"""Letters of a cell that a terminal keeps on one line, and of the last column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A title, sentences, a table and commands; all but the title may be missing.

    Args:
        title: in one line.
        level: of the heading; 2 is below the title of the whole.
        text: a paragraph each.
        columns: the keys of `rows` to show, with their headings.
        brief: those of the columns that a terminal shows; all of them if it is empty.
        rows: of the table.
        commands: to paste into a terminal.
    """

    title: str
    level: int = 2
    text: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    brief: Sequence[str] = ()
    rows: Sequence[Row] = ()
    commands: Sequence[str] = ()


def markdown(title: str, sections: Sequence[Section], *, note: str = "") -> str:
    """Return a Markdown page.

    Args:
        title: of the page.
        sections: in order.
        note: a comment for those who would edit the file.
    """
    lines = [f"<!-- {note} -->", ""] if note else []
    lines += [f"# {_inline(title)}", ""]
    for section in sections:
        lines += [f"{'#' * section.level} {_inline(section.title)}", ""]
        for paragraph in section.text:
            lines += [_inline(paragraph), ""]
        lines += _markdown_table(section)
        if section.commands:
            lines += ["```sh", *section.commands, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def print_sections(sections: Sequence[Section], console: Console) -> None:
    """Print sections on a terminal: of the columns the brief ones, the last one wrapped."""
    for section in sections:
        console.print()
        console.print(section.title, style="bold", markup=False, highlight=False)
        for paragraph in section.text:
            console.print(paragraph, markup=False, highlight=False)
        if section.rows:
            console.print(_terminal_table(section, console.width), crop=False)
        for command in section.commands:
            console.print(command, markup=False, highlight=False, soft_wrap=True)


def _terminal_table(section: Section, width: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    keys = [key for key in section.columns if not section.brief or key in section.brief]
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    for key, letters in _widths(section, keys, width).items():
        table.add_column(
            section.columns[key],
            justify="right" if numeric(section, key) else "left",
            min_width=letters,
            max_width=letters,
            overflow="fold",
        )
    for row in section.rows:
        table.add_row(*(Text(cell(row[key])) for key in keys))
    return table


def _widths(section: Section, keys: Sequence[str], width: int) -> dict[str, int]:
    """Return how wide each column has to be: no figure is cut, the last one has what is left."""
    words = {key: max(map(len, section.columns[key].split())) for key in keys}
    longest = {key: max(len(cell(row[key])) for row in section.rows) for key in keys}
    *others, last = keys
    found = {key: max(words[key], min(longest[key], _WHOLE)) for key in others}
    left = max(_LEAST, width - sum(found.values()) - len(others))
    return found | {last: max(words[last], min(longest[last], left))}


def numeric(section: Section, key: str) -> bool:
    """Whether a column has numbers, or texts that begin with one."""
    values = [row[key] for row in section.rows if not isinstance(row[key], bool)]
    values = [value for value in values if value not in (None, "")]
    return bool(values) and all(_NUMBER.match(str(value)) for value in values)


def _markdown_table(section: Section) -> Iterator[str]:
    if not section.rows:
        return
    marks = ("---:" if numeric(section, key) else "---" for key in section.columns)
    yield f"| {' | '.join(section.columns.values())} |"
    yield f"|{'|'.join(marks)}|"
    for row in section.rows:
        yield f"| {' | '.join(_inline(cell(row[key])) for key in section.columns)} |"
    yield ""


def _inline(text: str) -> str:
    """Return text that stays one harmless line of Markdown, in a table too."""
    kept = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(kept.split())
