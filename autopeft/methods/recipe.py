"""Methods as recipes: from plain numbers to the parts that the tuner places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autopeft.deltas import Part
from autopeft.deltas.size import size
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import Knob, modules_at
from autopeft.records import BackboneShape, Candidate, ModuleShape, Placement, Scalar, layer_indices

if TYPE_CHECKING:
    from autopeft.tuner import AutoPeftConfig

Knobs = Mapping[str, Scalar]
Recipe = Callable[[BackboneShape, Placement | None, Knobs], Sequence[Part]]
"""From a backbone, a placement and knobs, all parts of an adapter.

Raises IncompatibleMethodError where the backbone lacks what the recipe needs.
"""


def made_of(
    method: str,
    recipe: Recipe,
    knobs: Mapping[str, Knob],
    placement: Placement | None = None,
) -> dict[str, Any]:
    """Return the fields of a `MethodInfo` that follow from a recipe.

    Args:
        method: its name.
        recipe: makes the parts.
        knobs: of the method; with their defaults the recipe is tried on a backbone, to see whether
            the method can run there.
        placement: the default one.
    """
    defaults = {name: knob.default for name, knob in knobs.items()}

    def count(shape: BackboneShape, place: Placement | None, knobs: Knobs) -> int:
        return size(recipe(shape, place or placement, knobs))

    def config(
        candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
    ) -> AutoPeftConfig:
        from autopeft.tuner import AutoPeftConfig

        del total_steps
        parts = recipe(shape, candidate.placement, candidate.knobs)
        return AutoPeftConfig(
            method=method, parts=[part.to_json() for part in parts], modules_to_save=list(heads)
        )

    def excluded(shape: BackboneShape, longest: int) -> str | None:
        del longest
        try:
            recipe(shape, placement, defaults)
        except IncompatibleMethodError as error:
            return str(error)
        return None

    return {
        "name": method,
        "knobs": knobs,
        "placement": placement,
        "count": count,
        "config": config,
        "excluded": excluded,
        "recipe": recipe,
    }


def part_at(delta: str, module: ModuleShape, **fields: Any) -> Part:
    """Return a part at a module, reading its input and changing its output unless told else."""
    values = {"fan_in": module.fan_in, "fan_out": module.fan_out, **fields}
    return Part(delta=delta, module=module.name, site=module.site, layer=module.layer, **values)


def layers_of(shape: BackboneShape, placement: Placement | None) -> tuple[int, ...]:
    """Return the layers that a placement names, all without one.

    Raises:
        IncompatibleMethodError: it names none of this backbone.
    """
    try:
        return layer_indices(placement.layers if placement else "all", shape.layers)
    except ValueError as error:
        raise IncompatibleMethodError(str(error)) from error


def sits_at(placement: Placement | None, site: str) -> bool:
    """Return whether a placement names a site; without one, a method is at all of its sites."""
    return placement is None or site in placement.sites


def at_site(shape: BackboneShape, site: str, layer: int) -> tuple[ModuleShape, ...]:
    """Return the modules at a site of one layer, for a fused projection that one.

    Raises:
        IncompatibleMethodError: there are none.
    """
    return modules_at(shape, Placement(sites=(site,), layers=f"{layer}-{layer}"))


def by_example(shape: BackboneShape, module: ModuleShape) -> ModuleShape:
    """Return a module, once it is sure that all it reads are the states (B, S, width) of examples.

    Longformer's attention reads (S, B, width); that of DeBERTa-v2 without projections of their own
    for positions runs those of queries and keys on these too. What a gate averages, or another part
    reads, would be of no example.

    Raises:
        IncompatibleMethodError: it reads something else too.
    """
    architecture, site = shape.architecture, module.site
    if architecture == "longformer" and site in ("attn.q", "attn.k", "attn.v"):
        reason = "longformer's attention reads the examples side by side"
    elif architecture == "deberta-v2" and site in ("attn.q", "attn.k") and not _apart(shape):
        reason = f"deberta-v2 runs {site} on positions too"
    else:
        return module
    raise IncompatibleMethodError(f"{reason}, so no gate and no other part can read at {site}")


def _apart(shape: BackboneShape) -> bool:
    """Return whether positions have projections of their own in the attention."""
    return any(name.endswith(("pos_key_proj", "pos_query_proj")) for name, _ in shape.biases)
