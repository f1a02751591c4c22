"""What a run was about, as pairs of a name and a value: its data, machine and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopeft.report import wording
from autopeft.report.page.view import RunView

Pairs = list[tuple[str, str]]


def data_facts(view: RunView) -> Pairs:
    """Return sizes, columns, lengths and what was cut."""
    known: Mapping[str, Any] = view.facts.get("data", {})
    pairs = [("read from", known.get("origin"))]
    pairs += [
        (f"rows to {_PURPOSE[split.name]}", wording.count(split.rows)) for split in view.splits
    ]
    pairs += [("classes", str(len(view.labels)) if view.labels else None)]
    pairs += [(f"column of the {what}", known.get(key)) for key, what in _COLUMNS.items()]
    if known.get("max_length"):
        cut, rows = known["truncated"], sum(known["rows"])
        pairs += [
            ("longest text", f"{known['longest']:,} tokens"),
            ("cut to", f"{known['max_length']:,} tokens"),
            ("texts that were cut", f"{cut:,} of {rows:,} to train and select"),
        ]
    return _known(pairs)


def again_facts(view: RunView) -> Pairs:
    """Return where and with what the run was made."""
    model: Mapping[str, Any] = view.facts.get("model", {})
    machine: Mapping[str, Any] = view.facts.get("machine", {})
    choice = view.choice
    layers = (
        f"{model['name']}: {model['architecture']}, {model['layers']} layers × {model['hidden']}, "
        f"{model['total_params']:,} parameters"
        if model
        else None
    )
    cores = f"{machine.get('processor')}, {machine.get('cores')} cores" if machine else None
    return _known(
        [
            ("run folder", view.folder),
            ("backbone", layers),
            ("seed of the run", _text(view.settings.get("seed"))),
            ("seed of what is delivered", None if choice is None else str(choice["seed"])),
            ("device", machine.get("device")),
            ("precision", machine.get("precision")),
            ("processor", cores),
            ("memory", wording.size(machine["memory_bytes"]) if machine else None),
            ("system", machine.get("system")),
            ("Python", machine.get("python")),
            ("time", wording.seconds(view.wall_seconds) if view.wall_seconds else None),
        ]
    )


def settings(view: RunView) -> Pairs:
    """Return the settings and digests that make the run this run."""
    return _known([(name.replace("_", " "), _text(value)) for name, value in view.settings.items()])


_PURPOSE = {"train": "train", "selection": "select", "test": "test"}
_COLUMNS = {"text": "text", "text_pair": "second text", "label": "label"}


def _known(pairs: list[tuple[str, str | None]]) -> Pairs:
    return [(name, value) for name, value in pairs if value is not None]


def _text(value: object) -> str | None:
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value if one is not None)
    return None if value is None else str(value)
