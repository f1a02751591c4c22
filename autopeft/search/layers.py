"""Layer rules and sites on a backbone: what they name, and the one way to write it."""

from __future__ import annotations

from autopeft.records import (
    BLOCK_SITES,
    BackboneShape,
    Placement,
    layer_indices,
    layer_rule,
    placed,
)

MASK = "mask"
"""In the place of a rule in a space file: every layer is chosen or not, one by one."""

_MANY = 100_000  # more layers than any backbone has: a rule that names none of them is malformed


def is_rule(rule: str) -> bool:
    """Return whether `rule` is well-formed and names a layer of some backbone."""
    word, _, bits = rule.partition(":")
    try:
        layer_indices(rule, len(bits) if word == MASK else _MANY)
    except ValueError:
        return False
    return True


def canonical(rule: str, layers: int) -> str | None:
    """Return the one way to write `rule` on a backbone of `layers` layers, see `layer_rule`.

    None: the rule names no layer of this backbone, or is a mask for another one.
    """
    try:
        return layer_rule(layer_indices(rule, layers), layers)
    except ValueError:
        return None


def places_named(shape: BackboneShape, sites: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of all modules at `sites`, whatever the layer, and of the blocks."""
    modules = (module.name for module in placed(shape, Placement(sites=sites)))
    return (*modules, *(site for site in BLOCK_SITES if site in sites))
