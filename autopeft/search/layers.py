"""Layer rules on a backbone: what they name, and the one way to write it."""

from __future__ import annotations

from autopeft.records import BackboneShape, Placement, layer_indices, placed

_MANY = 100_000  # more layers than any backbone has: a rule that names none of them is malformed


def is_rule(rule: str) -> bool:
    """Return whether `rule` is well-formed and names a layer of some backbone."""
    try:
        layer_indices(rule, _MANY)
    except ValueError:
        return False
    return True


def canonical(rule: str, layers: int) -> str | None:
    """Return the one way to write `rule` on a backbone of `layers` layers.

    Of several rules that name the same layers, ``all`` comes before ``top:K`` before ``bottom:K``
    before ``A-B``. None: the rule names no layer of this backbone.
    """
    try:
        chosen = layer_indices(rule, layers)
    except ValueError:
        return None
    if len(chosen) == layers:
        return "all"
    if chosen[-1] == layers - 1:
        return f"top:{len(chosen)}"
    if chosen[0] == 0:
        return f"bottom:{len(chosen)}"
    return f"{chosen[0]}-{chosen[-1]}"


def modules_named(shape: BackboneShape, sites: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of all modules at `sites`, whatever the layer."""
    return tuple(m.name for m in placed(shape, Placement(sites=sites)))
