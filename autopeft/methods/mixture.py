"""Mixture: any of the field's parts together, each of its own size and layers, gated or not.

Adapters after either sublayer or beside the feed-forward, a prefix, updates of q and v, scales and
norms: what UniPELT, MAM and AutoPEFT combine are points of this one space. Gates tell how much of
each part an example gets; `autopeft.methods.hardening` makes plain parts of what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from autopeft.deltas import Part
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import METHODS, Knob, MethodInfo
from autopeft.methods.adapter import SCALE, parallel, serial
from autopeft.methods.ia3 import recipe as scales
from autopeft.methods.ln_tuning import recipe as norms
from autopeft.methods.prefix import prefix_part
from autopeft.methods.recipe import Knobs, at_site, by_example, layers_of, made_of, sits_at
from autopeft.methods.unipelt import BLOCKS, RATE, gated, low_rank
from autopeft.records import BackboneShape, Placement, Scalar, layer_rule

SIZES = (0, 1, 3, 6, 12, 24, 48, 96, 192, 384, 768)
"""Widths and lengths of Zhou et al. (2024), AutoPEFT; 0 leaves a part out."""

NONE = "none"
"""As a layer rule of one part: in no layer."""

_PROJECTIONS = ("attn.q", "attn.k", "attn.v", "attn.qkv")

Make = Callable[[BackboneShape, int, Knobs], Sequence[Part]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of part.

    Args:
        knob: the knob that says how large it is, or whether it is there.
        blocks: where it sits; a placement that names none of them leaves it out.
        make: its parts in one layer.
    """

    knob: str
    blocks: tuple[str, ...]
    make: Make


def _scales(shape: BackboneShape, layer: int, knobs: Knobs) -> list[Part]:
    del knobs
    return scales(shape, _only(layer, "attn.k", "attn.v", "ffn.out"), {})


def _norms(shape: BackboneShape, layer: int, knobs: Knobs) -> list[Part]:
    del knobs
    return norms(shape, _only(layer, "norm"), {})


def _only(layer: int, *sites: str) -> Placement:
    return Placement(sites=sites, layers=f"{layer}-{layer}")


def _after(site: str, knob: str) -> Make:
    return lambda shape, layer, knobs: [serial(shape, layer, site, {"width": knobs[knob]})]


def _beside(shape: BackboneShape, layer: int, knobs: Knobs) -> list[Part]:
    settings = {"width": knobs["parallel"], "scale": knobs["scale"]}
    return [parallel(shape, layer, "ffn.out", settings)]


def _update(site: str) -> Make:
    return lambda shape, layer, knobs: [
        low_rank(at_site(shape, site, layer)[0], int(knobs["lora"]))
    ]


KINDS = {
    "serial": Kind(knob="serial", blocks=("ffn.block",), make=_after("ffn.out", "serial")),
    "serial_attention": Kind(
        knob="serial_attention",
        blocks=("attn.block",),
        make=_after("attn.out", "serial_attention"),
    ),
    "parallel": Kind(knob="parallel", blocks=("ffn.block",), make=_beside),
    "prefix": Kind(
        knob="prefix",
        blocks=("attn.block",),
        make=lambda shape, layer, knobs: [prefix_part(shape, layer, tokens=int(knobs["prefix"]))],
    ),
    "lora_q": Kind(knob="lora", blocks=("attn.block",), make=_update("attn.q")),
    "lora_v": Kind(knob="lora", blocks=("attn.block",), make=_update("attn.v")),
    "ia3": Kind(knob="ia3", blocks=("attn.block", "ffn.block"), make=_scales),
    "norms": Kind(knob="norms", blocks=("attn.block", "ffn.block"), make=_norms),
}
"""Every kind of part by name, in the order in which parts of one module act."""


def kind_of(part: Part) -> str:
    """Return the kind of a part that a mixture could have made, else the name of its delta.

    On a fused projection one update stands for both q and v; it counts as that of q.
    """
    if part.delta == "bottleneck":
        if part.reads != "output":
            return "parallel"
        return "serial_attention" if part.site == "attn.out" else "serial"
    if part.delta == "low_rank":
        return "lora_v" if part.site == "attn.v" else "lora_q"
    return {"scale": "ia3", "norm": "norms"}.get(part.delta, part.delta)


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return the parts that the knobs give a size, in the layers that placement and knobs name.

    Raises:
        IncompatibleMethodError: there is none: that would be the head alone. Or a gate would read
            what is of no example, see `autopeft.methods.recipe.by_example`.
    """
    everywhere = layers_of(shape, placement)
    parts: dict[tuple[str, str, str], Part] = {}
    for name, kind in KINDS.items():
        if not knobs[kind.knob] or not any(sits_at(placement, block) for block in kind.blocks):
            continue
        chosen = _layers(shape, str(knobs[f"{name}_layers"]))
        for layer in (layer for layer in everywhere if layer in chosen):
            for part in kind.make(shape, layer, knobs):
                place = (part.module, part.delta, part.reads)
                parts.setdefault(place, _behind_gate(part, str(knobs["gates"]), shape))
    if not parts:
        names = ", ".join(dict.fromkeys(kind.knob for kind in KINDS.values()))
        raise IncompatibleMethodError(
            f"a mixture of nothing is the head alone; give one of {names}"
        )
    return list(parts.values())


def _layers(shape: BackboneShape, rule: str) -> tuple[int, ...]:
    return () if rule == NONE else layers_of(shape, Placement(sites=(), layers=rule))


def _behind_gate(part: Part, gates: str, shape: BackboneShape) -> Part:
    """Return the part with its gate; norms have none, as they may run before all it could read."""
    if gates == "none" or part.delta == "norm":
        return part
    if part.site in _PROJECTIONS:
        by_example(shape, at_site(shape, part.site, part.layer)[0])
    if gates == "own" and part.delta != "scale":
        return gated(part)
    first = by_example(shape, at_site(shape, "attn.v", part.layer)[0])
    return replace(
        part,
        gate=f"{'ia3' if gates == 'own' else 'layer'}_{part.layer}",
        gate_reads="input" if part.site in _PROJECTIONS else first.name,
        gate_width=first.fan_in,
    )


def knobs_of(parts: Sequence[Part], layers: int) -> dict[str, Scalar]:
    """Return the knobs with which a mixture without gates has these parts: `recipe` inverted.

    Args:
        parts: ungated, of the kinds of a mixture.
        layers: of the backbone.

    Raises:
        ValueError: no mixture has them: one kind has several sizes.
    """
    knobs: dict[str, Scalar] = {name: knob.default for name, knob in KNOBS.items()}
    knobs |= {"serial": 0, "lora": 0, "gates": NONE}
    for name, kind in KINDS.items():
        found = [part for part in parts if kind_of(part) == name]
        sizes = {_size(part) for part in found}
        if len(sizes) > 1:
            raise ValueError(f"{name} has several sizes: {sorted(sizes)}")
        if found:
            knobs[kind.knob] = sizes.pop()
            knobs[f"{name}_layers"] = layer_rule({part.layer for part in found}, layers)
        for part in found:
            knobs["scale"] = part.settings.get("scale", knobs["scale"])
    for name in {"lora_q", "lora_v"} - {kind_of(part) for part in parts}:
        knobs[f"{name}_layers"] = NONE if knobs["lora"] else "all"
    return knobs


def _size(part: Part) -> int | bool:
    names = {"bottleneck": "width", "prefix": "tokens", "low_rank": "r"}
    return int(part.settings[names[part.delta]]) if part.delta in names else True


def _width(default: int, about: str) -> Knob:
    return Knob(default=default, choices=SIZES, help=f"{about}; 0 for none")


def _switch(about: str) -> Knob:
    return Knob(default=False, choices=(False, True), help=about)


KNOBS = {
    "serial": _width(48, "width of an adapter after the feed-forward"),
    "serial_attention": _width(0, "width of an adapter after the attention"),
    "parallel": _width(0, "width of an adapter beside the feed-forward"),
    "prefix": _width(0, "length of a prefix"),
    "lora": Knob(
        default=8,
        choices=(0, 1, 2, 4, 8, 16, 32, 64),
        help="rank of updates of q and v; 0 for none",
    ),
    "ia3": _switch("whether keys, values and inner activations are rescaled"),
    "norms": _switch("whether the norms are trained"),
    "gates": Knob(
        default="own",
        choices=(NONE, "own", "shared"),
        help="none, one per part, or one per layer, which reads the layer's attention input",
    ),
    "scale": SCALE,
} | {
    f"{name}_layers": Knob(default="all", help=f"layer rule of {name} alone, or none")
    for name in KINDS
}

UNGATED = {**KNOBS, "gates": replace(KNOBS["gates"], default=NONE)}
"""What runs behind gates runs without, so these tell whether a backbone can have a mixture."""

METHODS.register(
    MethodInfo(
        **{
            **made_of("mixture", recipe, KNOBS, BLOCKS),
            "excluded": made_of("mixture", recipe, UNGATED, BLOCKS)["excluded"],
        },
        family="gated",
        description="any of adapters, prefix, LoRA, IA³ and norms together, gated or not",
        paper="Mao et al. (2022), UniPELT, for the gates; Zhou et al. (2024), AutoPEFT: Automatic "
        "Configuration Search for Parameter-Efficient Fine-Tuning, for the space",
        sites=BLOCKS.sites,
        learning_rate=RATE,
        native=False,
    )
)
