"""What a page needs that no record says: the data, the backbone, the machine, the command."""

from __future__ import annotations

import dataclasses
import platform
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autopeft.config import SearchConfig
from autopeft.data.source import Source
from autopeft.machine import cores, memory_bytes
from autopeft.tasks.prepare import Prepared

FACTS = "facts.json"
_CPU = Path("/proc/cpuinfo")


def facts(
    source: Source, prepared: Prepared, about: Mapping[str, Any], model: str, command: str | None
) -> dict[str, Any]:
    """Return plain values for `FACTS`.

    Args:
        source: the data as read.
        prepared: the data as split.
        about: the worker's report.
        model: folder or hub name of the backbone.
        command: what does the run again.
    """
    columns, shape, plan = prepared.problem.columns, about["shape"], about["plan"]
    known = {key: about[key] for key in ("rows", "max_length", "longest", "truncated")}
    return {
        "data": {
            "name": source.name,
            "origin": source.origin,
            "text": columns.text,
            "text_pair": columns.text_pair,
            "label": columns.label,
            "labels": list(prepared.problem.labels),
            "notes": [*source.notes, *prepared.problem.reasons, *prepared.notes],
            **known,
        },
        "model": {
            "name": "/".join(Path(model).parts[-2:]) if Path(model).is_dir() else model,
            **{key: shape[key] for key in ("architecture", "layers", "hidden", "total_params")},
        },
        "machine": {
            "device": about["device"],
            "precision": how_trained(plan),
            "processor": processor(),
            "cores": cores(),
            "memory_bytes": memory_bytes(),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
        },
        "command": command,
    }


def how_trained(plan: Mapping[str, Any]) -> str:
    """Return in words how candidates are trained by a plan, as `autopeft.train.precision.Plan`."""
    said = f"{plan['dtype']} backbone, {plan['attention']} attention"
    threads = plan.get("threads")
    if not threads:
        return said
    return f"{said}, 1 thread" if threads == 1 else f"{said}, {threads} threads"


def command(data: Any, given: SearchConfig) -> str | None:
    """Return the command line of a search; None where the data were given as objects.

    Args:
        data: as given.
        given: the settings as given.
    """
    if not isinstance(data, str | Path):
        return None
    words = ["autopeft", "search", str(data)]
    for field in dataclasses.fields(given):
        value = getattr(given, field.name)
        if value == field.default or field.name in ("output", "debug", "fork", "dry_run"):
            continue
        option = f"--{field.name.replace('_', '-')}"
        words += [option] if value is True else [option, _said(value)]
    return shlex.join(words)


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def processor() -> str:
    """Return the processor's name as the system knows it."""
    lines = _CPU.read_text(encoding="utf-8").splitlines() if _CPU.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
