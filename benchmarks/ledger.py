"""Results that are only ever added to: a JSON list of runs per benchmark.

Every run says when, on what machine, with which versions and at which commit it was measured.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from autopeft.api.opening import versions

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


def circumstances() -> dict[str, Any]:
    """Return date, commit, versions and hardware."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"date": now, "commit": _commit(), "versions": versions(), "hardware": hardware()}


def hardware() -> dict[str, Any]:
    """Return processor, usable cores, memory, and the GPU if there is one."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "load_per_core": round(os.getloadavg()[0] / (os.cpu_count() or 1), 2),
    }


def _processor() -> str:
    """Return the processor's name as Linux tells it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    """Return the commit, with ``+`` where tracked files other than results differ from it."""
    found = _git("rev-parse", "--short", "HEAD")
    others = ("--", ".", ":!benchmarks/results")
    return found + ("+" if _git("status", "--porcelain", "--untracked-files=no", *others) else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
