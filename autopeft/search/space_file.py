"""Read the YAML of a space safely, its includes merged, collecting every fault on the way.

Only plain values: object tags are refused, a key written twice is a fault, files are small.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from autopeft.errors import AutoPeftError, SpaceError
from autopeft.search.space_check import check
from autopeft.search.spaces import find_space

MAX_BYTES = 1_000_000
_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null")
}


class _Loader(yaml.SafeLoader):
    """The safe loader, for which 1e-3 is a number as YAML 1.2 has it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


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
    raw = _parse(path, own)
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


def _parse(path: Path, faults: list[str]) -> Any:
    """Return the file's plain values, or None with its faults noted."""
    try:
        if path.stat().st_size > MAX_BYTES:
            faults.append(f"larger than {MAX_BYTES:,} bytes; a space is a few lines")
            return None
        loader = _Loader(path.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        if node is None or node.tag == "tag:yaml.org,2002:null":
            faults.append("is empty; name at least one method under 'methods:'")
            return None
        before = len(faults)
        _walk(node, "", faults, set())
        return None if len(faults) > before else loader.construct_document(node)
    except UnicodeDecodeError as error:
        faults.append(f"is not UTF-8 text (byte {error.start}); save it as UTF-8")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        faults.append(f"{line}{error.problem or error.context}; is it YAML?")
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        faults.append(f"cannot be read: {str(error).splitlines()[0] if str(error) else 'too deep'}")
    return None


def _walk(node: yaml.Node, place: str, faults: list[str], seen: set[int]) -> None:
    """Note object tags, keys written twice and anchors that are used again."""
    line = node.start_mark.line + 1
    if id(node) in seen:
        faults.append(f"{place or 'file'}: an anchor is used again (line {line}); write it out")
        return
    if not isinstance(node, yaml.ScalarNode):
        seen.add(id(node))
    if node.tag not in _PLAIN_TAGS:
        faults.append(f"{place or 'file'}: tag {node.tag!r} (line {line}); only plain values")
        return
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _walk(child, f"{place}[{index}]", faults, seen)
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, child in node.value:
            inner = f"{place}.{key.value}" if place else str(key.value)
            if not isinstance(key, yaml.ScalarNode):
                faults.append(f"{place or 'file'}: a key is not a word (line {line})")
                continue
            if key.value in keys:
                faults.append(f"{inner}: written twice (line {key.start_mark.line + 1})")
            keys.add(key.value)
            _walk(child, inner, faults, seen)
