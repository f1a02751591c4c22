"""When, where and with what something was measured."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from autopeft.api.facts import processor
from autopeft.api.opening import versions
from autopeft.machine import cores, memory_bytes

_ROOT = Path(__file__).parent.parent.parent
_BF16 = {"BF16": "avx512_bf16", "AMX": "amx_bf16"}
"""Units for bfloat16, by what torch calls them."""


def circumstances() -> dict[str, Any]:
    """Return date, commit, versions and hardware; the commit is None outside a checkout."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"date": now, "commit": _commit(), "versions": versions(), "hardware": hardware()}


def hardware() -> dict[str, Any]:
    """Return processor, its vector instructions, usable cores, memory, and the GPU if any."""
    import torch

    cuda, can = torch.cuda.is_available(), torch.cpu.get_capabilities()
    low = [name for name, flag in _BF16.items() if can.get(flag)]
    return {
        "processor": processor(),
        "instructions": " ".join((torch.backends.cpu.get_cpu_capability(), *low)),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "memory_bytes": memory_bytes(),
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "load_per_core": round(os.getloadavg()[0] / (os.cpu_count() or 1), 2),
    }


def _commit() -> str | None:
    """Return the commit, with ``+`` where tracked files other than results differ from it.

    None without a repository, or without git to ask.
    """
    if not (_ROOT / ".git").exists() or shutil.which("git") is None:
        return None
    found = _git("rev-parse", "--short", "HEAD")
    others = ("--", ".", ":!benchmarks/results")
    return found + ("+" if _git("status", "--porcelain", "--untracked-files=no", *others) else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
