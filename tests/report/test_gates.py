"""Gates as a table and as a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from autopeft.records import Candidate
from autopeft.report.gates import conclusion, grid, rows, svg

GATES = (
    {"layer": 0, "part": "lora_q", "mean": 0.25, "spread": 0.01},
    {"layer": 0, "part": "serial", "mean": 0.5, "spread": 0.02},
    {"layer": 1, "part": "lora_q", "mean": 0.75, "spread": 0.03},
)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_table_has_a_row_per_layer_the_head_first() -> None:
    assert grid(GATES) == [
        {"name": "layer 1", "lora_q": "0.750 ±0.030", "serial": ""},
        {"name": "layer 0", "lora_q": "0.250 ±0.010", "serial": "0.500 ±0.020"},
    ]


def test_programs_get_a_row_per_gate() -> None:
    found = rows(GATES)
    assert [row["name"] for row in found] == ["0.lora_q", "0.serial", "1.lora_q"]
    assert [row["on"] for row in found] == [False, True, True]
    assert found[2]["mean"] == 0.75


def test_the_picture_has_a_coloured_cell_per_gate() -> None:
    root = ElementTree.fromstring(svg(GATES, title="a < b"))
    cells = [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    colours = {rect.findtext(f"{SVG}title", "").split()[0]: rect.get("fill") for rect in cells}
    assert colours["0.500"] == "rgb(255,255,255)"
    assert len(set(colours.values())) == 3
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"a < b", "lora q", "serial", "layer 0", "layer 1", "0.25", "0.75"} <= set(texts)
    boxes = {(rect.get("x"), rect.get("y")) for rect in cells}
    assert len(boxes) == 3
    for rect in cells:
        assert float(rect.get("x", "")) + float(rect.get("width", "")) <= float(
            root.get("width", "")
        )


def test_the_conclusion_tells_what_hardening_leaves() -> None:
    lines = conclusion(
        metric="accuracy",
        score=0.9,
        trainable_params=1_000,
        hardened=Candidate(method="mixture", learning_rate=0.001, epochs=3, knobs={"serial": 48}),
        hardened_params=250,
    )
    assert "accuracy 0.9000" in lines[0] and "1,000" in lines[0]
    assert "mixture serial=48" in lines[1] and "(25%)" in lines[1]
