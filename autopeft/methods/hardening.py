"""Hardening: a gated mixture becomes plain parts, to be trained again.

Gates that depend on the example cannot be merged and cost time at every prediction. Rounded to on
or off, they leave a smaller adapter of plain parts, and where only low-rank updates, scales or
norms are left, one that plain peft loads. What is left is a `mixture` without gates, with a layer
rule per kind of part, so it is trained, priced and delivered as any other candidate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from autopeft.deltas import Part
from autopeft.methods.mixture import kind_of, knobs_of
from autopeft.methods.unipelt import BLOCKS
from autopeft.records import Candidate

THRESHOLD = 0.5

Means = Mapping[tuple[int, str], float]
"""By layer and kind of part, the mean of its gate over examples."""


def harden(parts: Sequence[Part], means: Means) -> list[Part]:
    """Return the parts whose gate is on in the mean, without gates.

    A gate that is on becomes 1, not its mean: the part is trained again, and its size adapts. Where
    every gate is off and nothing is ungated, the part with the highest one is kept.

    Args:
        parts: of a gated recipe.
        means: for every gated part, see `autopeft.methods.mixture.kind_of`.

    Raises:
        ValueError: a gated part has no mean.
    """
    gated = {(part.layer, kind_of(part)) for part in parts if part.gate}
    missing = sorted(gated - means.keys())
    if missing:
        layer, kind = missing[0]
        raise ValueError(f"no gate mean for {kind} in layer {layer}")
    on = {place for place in gated if means[place] >= THRESHOLD}
    if not on and all(part.gate for part in parts):
        on = {max(sorted(gated), key=lambda place: means[place])}
    return [
        replace(part, gate="", gate_reads="", gate_width=0)
        for part in parts
        if not part.gate or (part.layer, kind_of(part)) in on
    ]


def hardened(candidate: Candidate, parts: Sequence[Part], means: Means, layers: int) -> Candidate:
    """Return the candidate that trains a hardened mixture.

    Args:
        candidate: the gated one, whose training settings are kept.
        parts: of it.
        means: as of `harden`.
        layers: of the backbone.

    Raises:
        ValueError: a gated part has no mean, or the parts are not those of a mixture.
    """
    return replace(
        candidate,
        method="mixture",
        knobs=knobs_of(harden(parts, means), layers),
        placement=BLOCKS,
    )
