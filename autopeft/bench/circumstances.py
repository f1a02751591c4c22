"""When, where and with what something was measured."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

from autopeft.api.opening import versions

_ROOT = Path(__file__).parent.parent.parent


def circumstances() -> dict[str, Any]:
    """Return date, commit, versions and hardware; the commit is None outside a checkout."""
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


def _commit() -> str | None:
    """Return the commit, with ``+`` where tracked files other than results differ from it."""
    if not (_ROOT / ".git").exists():
        return None
    found = _git("rev-parse", "--short", "HEAD")
    others = ("--", ".", ":!benchmarks/results")
    return found + ("+" if _git("status", "--porcelain", "--untracked-files=no", *others) else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
