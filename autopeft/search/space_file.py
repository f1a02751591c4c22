"""Read the YAML of a space, its includes merged, collecting every fault on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autopeft.errors import AutoPeftError, SpaceError
from autopeft.plain_yaml import parse
from autopeft.search.space_check import check
from autopeft.search.spaces import find_space


def read_space(path: Path) -> dict[str, Any]:
    """Return the plain values of a space file with its includes merged beneath it.

    Raises:
        SpaceError: all faults of the file and of what it includes.
    """
    faults: list[str] = []
    values = _read(path, faults, (), top=True)
    if not faults and not values.get("methods"):
        faults.append("methods: names none; see: autopeft methods")
    if faults:
        raise SpaceError(str(path), faults)
    return values


def _read(path: Path, faults: list[str], parents: tuple[Path, ...], *, top: bool) -> dict[str, Any]:
    prefix = "" if top else f"{path.name}: "
    own: list[str] = []
    raw = parse(path, own, empty="name at least one method under 'methods:'")
    if raw is not None:
        own += check(raw)
    faults += [prefix + fault for fault in own]
    if not isinstance(raw, dict):
        return {}
    merged: dict[str, Any] = {}
    for name in _included(raw):
        child = _child(name, path, faults, prefix, (*parents, path.resolve()))
        if child is not None:
            values = _read(child, faults, (*parents, path.resolve()), top=False)
            merged = {} if faults else merge(merged, values)
    if faults:  # the values may not have the shape that merging needs
        return {}
    return merge(merged, {key: value for key, value in raw.items() if key != "include"})


def _child(
    name: str, path: Path, faults: list[str], prefix: str, above: tuple[Path, ...]
) -> Path | None:
    try:
        child = find_space(name, beside=path.parent)
    except AutoPeftError as error:
        reason = "; ".join(error.faults) if isinstance(error, SpaceError) else str(error)
        faults.append(f"{prefix}include: {name!r}: {reason}")
        return None
    if child.resolve() in above:
        chain = " -> ".join([*(p.name for p in above), child.name])
        faults.append(f"{prefix}include: {name!r} includes itself ({chain})")
        return None
    return child


def _included(raw: Mapping[str, Any]) -> list[str]:
    given = raw.get("include", [])
    names = given if isinstance(given, list) else [given]
    return [name for name in names if isinstance(name, str)]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it: methods key by key, everything else whole.

    Methods that `over` names come first, in its order: the order is the order of trial.
    """
    merged = {**base, **over}
    if "methods" in base or "methods" in over:
        below, above = base.get("methods") or {}, over.get("methods") or {}
        names = [*above, *(name for name in below if name not in above)]
        merged["methods"] = {
            name: {**(below.get(name) or {}), **(above.get(name) or {})} for name in names
        }
    return merged
