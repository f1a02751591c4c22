"""Sections as Markdown and as a page: what people wrote stays text."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from autopeft.report.interval import Interval
from autopeft.report.page.sheet import html
from autopeft.report.section import Section, markdown, numeric, print_sections

HOSTILE = '<script>alert("x")</script>|&'
SECTION = Section(
    title=f"One {HOSTILE}",
    text=[f"Two\nlines {HOSTILE}"],
    columns={"name": "method", "front": "front", "score": "test"},
    rows=[
        {"name": HOSTILE, "front": "yes", "score": "-0.5 ± 0.1", "seeds": 1, "flag": True},
        {"name": "b", "front": "", "score": None, "seeds": 1, "flag": False},
    ],
    commands=["autopeft bench quick"],
)


class Tags(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.cells: list[str] = []
        self.policy = ""
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self._open = tag
        about = dict(attrs)
        if about.get("http-equiv") == "Content-Security-Policy":
            self.policy = about["content"] or ""

    def handle_data(self, data: str) -> None:
        if self._open in ("td", "th") and data.strip():
            self.cells.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def test_markdown_keeps_a_table_whatever_its_cells_say() -> None:
    page = markdown("Title", [SECTION], note="made up")
    assert page.startswith("<!-- made up -->\n\n# Title\n\n## One ")
    assert "<script" not in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert table[:2] == ["| method | front | test |", "|---|---|---:|"]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in table)
    assert table[3] == "| b | – | – |"
    assert "```sh\nautopeft bench quick\n```" in page


@pytest.mark.parametrize("width", [60, 80, 300])
def test_a_terminal_cuts_no_figure_and_no_name(width: int) -> None:
    row: dict[str, object] = {
        "name": "trial 12",
        "score": 0.7933,
        "trainable_params": 109_482_240,
        "mean": 0.7812,
    }
    row |= {"spread": 0.01234, "state": "complete", "candidate": "lora r=8 attn.q,attn.v lr=0.002"}
    columns = {key: key.replace("_", " ") for key in row}
    output = io.StringIO()
    console = Console(file=output, width=width)
    print_sections([Section(title="One", columns=columns, rows=[row])], console)
    first = next(line for line in output.getvalue().splitlines() if line.startswith("trial"))
    assert first.split()[:7] == [
        "trial", "12", "0.7933", "109,482,240", "0.7812", "0.01234", "complete",
    ]  # fmt: skip
    last = output.getvalue().partition("complete")[2]
    assert "".join(last.split()) == "lorar=8attn.q,attn.vlr=0.002"


def test_a_backslash_before_a_bar_ends_no_cell() -> None:
    section = Section(title="One", columns={"name": "method"}, rows=[{"name": "a\\|b"}])
    assert markdown("Title", [section]).splitlines()[-1] == "| a\\\\\\|b |"


def test_a_page_has_its_own_script_alone_and_a_policy_that_allows_no_other() -> None:
    tags = Tags()
    page = html("Title", [SECTION])
    tags.feed(page)
    assert tags.names.count("script") == 1
    assert HOSTILE in tags.cells
    assert re.search(r"default-src 'none'; script-src 'sha256-[\w+/=]+'; style-src", tags.policy)
    assert not re.search(r"\b(src|href)=\"(?!#)", page), "nothing is loaded"


def test_intervals_are_text_everywhere_and_drawn_on_one_scale_on_a_page() -> None:
    cells = (
        Interval(low=0.5, value=0.7, high=0.9, text="0.7 [0.5, 0.9]"),
        Interval(low=0.8, value=1.0, high=1.3, text="1.0 [0.8, 1.3]"),
        None,
    )
    rows = [{"name": str(number), "score": cell} for number, cell in enumerate(cells)]
    section = Section(title="One", columns={"name": "method", "score": "test"}, rows=rows)
    assert numeric(section, "score")
    assert "| 0 | 0.7 [0.5, 0.9] |" in markdown("Title", [section])
    page = html("Title", [section])
    drawn = re.findall(r'x1="([\d.]+)" x2="([\d.]+)".*cx="([\d.]+)"', page)
    assert drawn == [("0.0", "50.0", "25.0"), ("37.5", "100.0", "62.5")]
    assert page.count('aria-hidden="true"') == 2, "their numbers are read instead"


@pytest.mark.parametrize(
    ("key", "expected"), [("name", False), ("score", True), ("seeds", True), ("flag", False)]
)
def test_columns_of_numbers_are_told(key: str, expected: bool) -> None:
    assert numeric(SECTION, key) is expected
