"""Results that are only ever added to: a JSON list of runs per benchmark.

Every run says when, on what machine, with which versions and at which commit it was measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autopeft.bench.circumstances import circumstances

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def read(file: Path) -> list[dict[str, Any]]:
    """Return the runs kept in a file; none if there is no such file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []


def append(file: Path, run: Mapping[str, Any]) -> None:
    """Add a run; the file is replaced as a whole, so that an interruption leaves the old one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    runs = [*read(file), {**run, **circumstances()}]
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(file)
