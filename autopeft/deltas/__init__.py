"""Deltas: small trainable changes of one hidden state, one functional form per file.

He et al. (2022), Towards a Unified View of Parameter-Efficient Transfer Learning: every method of
the field changes a hidden state h at some site by Δh, with a functional form (here), a place to
read from and to add to, and a composition (`Part`, carried out by `autopeft.tuner`).

A delta is written for one candidate, in plain torch: ``forward`` maps the state that it reads to
Δh, keeps no state between calls and never branches on data, so that `torch.func.functional_call`
and `torch.vmap` take it as it is. Dropout is applied to what it reads, by the caller.

To add a delta, add a file here that registers its class with `DELTAS`, and its exact size to
`autopeft.deltas.size`. This file and ``size`` need no torch: they price candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from autopeft.records import Scalar
from autopeft.registry import Registry

if TYPE_CHECKING:
    from autopeft.deltas.delta import Delta


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One delta at one module of a backbone.

    Args:
        delta: a name from `DELTAS`.
        module: dotted name of the module it sits at, in the model that carries the head.
        site: the module's site.
        layer: the module's layer; -1 outside the layers.
        fan_in: width of the state that the delta reads.
        fan_out: width of the state that it changes.
        reads: ``"input"`` or ``"output"`` of the module, or the name of a module that runs earlier
            in the same layer, whose input it reads (a parallel adapter reads the block's input).
        changes: ``"input"``, ``"output"``, ``"attention"`` for keys and values before the
            text's, ``"prompt"`` for embeddings among the text's, or ``"logits"`` for the head's.
        settings: of the delta, such as ``{"r": 8}``.
        gate: ``""`` for none, ``"own"``, or the name of a gate shared with other parts.
        gate_reads: what the gate reads, as `reads`; ``""`` for the same as the delta.
        gate_width: width of what the gate reads.
        shares: name of a set of weights shared with other parts; ``""`` for none.
        dropout: of what the delta reads, while training.
    """

    delta: str
    module: str
    site: str
    layer: int
    fan_in: int
    fan_out: int
    reads: str = "input"
    changes: str = "output"
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    gate: str = ""
    gate_reads: str = ""
    gate_width: int = 0
    shares: str = ""
    dropout: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; what keeps its default is left out."""
        default = {"reads": "input", "changes": "output", "settings": {}, "dropout": 0.0}
        default |= {"gate": "", "gate_reads": "", "gate_width": 0, "shares": ""}
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in default or value != default[name]
        }


DELTAS: Registry[type[Delta]] = Registry("delta", "autopeft.deltas")
