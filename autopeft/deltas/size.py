"""How many parameters a part trains: exact, from plain numbers, without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from autopeft.deltas import Part


def _low_rank(part: Part) -> int:
    r = int(part.settings["r"])
    return r * part.fan_out if part.settings.get("freeze_a") else r * (part.fan_in + part.fan_out)


def _bottleneck(part: Part) -> int:
    return int(part.settings["width"]) * (part.fan_in + part.fan_out + 1) + part.fan_out


def _prefix(part: Part) -> int:
    tokens, inner = int(part.settings["tokens"]), int(part.settings.get("inner", 0))
    if inner == 0:
        return 2 * tokens * part.fan_out
    return tokens * part.fan_out + (part.fan_out + 1) * inner + (inner + 1) * 2 * part.fan_out


def _hypercomplex(part: Part) -> int:
    return part.fan_in + 3 * int(part.settings["width"]) + 2 * part.fan_out


def _kronecker(part: Part) -> int:
    return int(part.settings["terms"]) * (part.fan_in + part.fan_out) // int(part.settings["side"])


def _soft_prompt(part: Part) -> int:
    return int(part.settings["tokens"]) * part.fan_out


def _mixed_prompt(part: Part) -> int:
    return _soft_prompt(part) + 2 * (int(part.settings["inner"]) + 1) * part.fan_out


def _cloze(part: Part) -> int:
    return int(part.settings["soft"]) * part.fan_out


def _kronecker_product(part: Part) -> int:
    rows, columns = int(part.settings["rows"]), int(part.settings["columns"])
    k, n, r = part.fan_out // rows, part.fan_in // columns, int(part.settings["r"])
    return rows * columns + (r * (k + n) if part.settings["low"] else k * n)


def _lowrank_sparse(part: Part) -> int:
    return _low_rank(part) + int(part.settings["entries"])


def _dynamic_lowrank(part: Part) -> int:
    return 2 * _low_rank(part) + int(part.settings["r"]) ** 2 * (part.fan_in + 1)


def _searched_cell(part: Part) -> int:
    width = int(part.settings["width"])
    ends = 2 * width * (part.fan_in + 1) + part.fan_out * (width + 1)
    return ends + 9 * width * (11 * width + 5)


SIZES: dict[str, Callable[[Part], int]] = {
    "low_rank": _low_rank,
    "low_rank_within": _low_rank,
    "weight_decomposed": lambda part: _low_rank(part) + part.fan_out,
    "hadamard": lambda part: 2 * _low_rank(part),
    "random_projection": lambda part: int(part.settings["r"]) + part.fan_out,
    "bottleneck": _bottleneck,
    "scale": lambda part: part.fan_out,
    "bias": lambda part: part.fan_out,
    "norm": lambda part: part.fan_out * (1 + bool(part.settings["bias"])),
    "prefix": _prefix,
    "soft_prompt": _soft_prompt,
    "mixed_prompt": _mixed_prompt,
    "cloze": _cloze,
    "at_mask": lambda _: 0,
    "cut": lambda _: 0,
    "verbaliser": lambda _: 0,
    "hypercomplex": _hypercomplex,
    "kronecker": _kronecker,
    "kronecker_product": _kronecker_product,
    "lowrank_sparse": _lowrank_sparse,
    "dynamic_lowrank": _dynamic_lowrank,
    "searched_cell": _searched_cell,
}
"""Of one part, its gate and what it shares with others apart."""

SHARED_SIZES: dict[str, Callable[[Part], int]] = {
    "hypercomplex": lambda part: int(part.settings["n"]) ** 3,
    "kronecker": lambda part: 2 * int(part.settings["terms"]) * int(part.settings["side"]),
    "searched_cell": lambda _: 9 * 6,
}
"""Of the weights shared by all parts with the same `Part.shares`."""


def size(parts: Iterable[Part]) -> int:
    """Return the number of trained parameters of parts, gates and shared weights included."""
    total = 0
    once: dict[tuple[str, str], int] = {}
    for part in parts:
        total += SIZES[part.delta](part)
        if part.gate == "own":
            total += part.gate_width + 1
        elif part.gate:
            once["gate", part.gate] = part.gate_width + 1
        if part.shares:
            once["shared", part.shares] = SHARED_SIZES[part.delta](part)
    return total + sum(once.values())
