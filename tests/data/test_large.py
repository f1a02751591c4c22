"""Large cells and many rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autopeft.data.load import load

RISE_BYTES = 700 * 2**20


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_ten_megabyte_cell_is_read(tmp_path: Path, name: str) -> None:
    path, cell = tmp_path / name, "word " * 2_000_000
    row = f'"{cell}",1' if name == "a.csv" else f'{{"text": "{cell}", "label": 1}}'
    head = "text,label\n" if name == "a.csv" else ""
    path.write_text(f"{head}{row}\n")
    assert load(path).splits["train"][0] == {"text": cell, "label": 1}


@pytest.mark.slow
def test_a_million_rows_are_prepared_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    filler = "word " * 40
    with path.open("w") as lines:
        lines.write("text,label\n")
        lines.writelines(f"{filler}{row},{row % 3}\n" for row in range(1_000_000))
    code = (
        "import resource\n"
        "import datasets\n"
        "from autopeft.data.load import load\n"
        "from autopeft.tasks.problem import infer\n"
        "from autopeft.tasks.prepare import prepare\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak()\n"
        f"source = load({str(path)!r})\n"
        "prepared = prepare(source, infer(source), seed=0)\n"
        "print(peak() - before, len(prepared.train), len(prepared.selection))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rise, train, selection = map(int, done.stdout.split())
    assert (train, selection) == (990_000, 5_000)
    assert rise < RISE_BYTES
