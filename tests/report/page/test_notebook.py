"""In a notebook: the page's figures in real colours, and a table in which nothing is markup."""

from __future__ import annotations

import json

from autopeft.report.page.front import front_figure
from autopeft.report.page.notebook import colours, plotly_figure, summary_html
from tests.report.page.made_up import view


def test_every_colour_of_the_front_is_a_real_one() -> None:
    figure = front_figure(view())
    assert figure is not None
    found = plotly_figure(figure)
    assert {trace.name for trace in found.data} == {trace["name"] for trace in figure.data}
    text = found.to_json()
    assert '"@' not in text
    assert colours()["accent"] in text
    assert found.layout.title.text == figure.title
    json.loads(text)


def test_hostile_names_stay_text() -> None:
    row = {"candidate": "<script>alert(1)</script>", "±": None, "test": 0.912345}
    found = summary_html(title="<b>", reason="a & b", rows=[row], folder="runs/x")
    assert "<script>" not in found
    assert "&lt;script&gt;" in found
    assert "<b>&lt;b&gt;</b>" in found
    assert "a &amp; b" in found
    assert "<td>0.9123</td>" in found
    assert "<td>–</td>" in found
