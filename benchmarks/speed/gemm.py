"""How near a training comes to what its matrix products alone would take."""

from __future__ import annotations

from typing import Any

from autopeft.records import BackboneShape
from autopeft.train.precision import matmul_rates
from autopeft.train.session import Session

WIDTHS = {"cpu": 1024, "cuda": 8192}
"""Of the square product that is timed, by device: wide enough to keep it busy."""

_FIRST = ("attn.q", "attn.k", "attn.v", "attn.qkv")


def products(shape: BackboneShape) -> int:
    """Return the floating-point operations per token of training LoRA in all layers.

    Counted are the products with the frozen weights of the layers, two operations per weight:
    forward, and backward to what they read, but for the first projections, whose input needs no
    gradient. What attention multiplies, the adapters and the head come on top, uncounted.
    """
    weights = {
        module.name: (module.layer, module.site, module.fan_in * module.fan_out)
        for module in shape.modules
        if module.layer >= 0 and module.site != "norm"
    }
    forward = sum(size for _, _, size in weights.values())
    first = sum(size for layer, site, size in weights.values() if layer == 0 and site in _FIRST)
    return 2 * (forward + forward - first)


def limit(session: Session) -> dict[str, Any]:
    """Return how many candidate-examples per second the products alone would allow.

    Of the training rows' own tokens: padding counts against who pads.
    """
    tokens = float(session.train.lengths.mean())
    rate = matmul_rates(session.device, WIDTHS[session.device.type])[session.plan.dtype]
    return {
        "operations_per_second": rate,
        "tokens_per_example": tokens,
        "examples_per_second": rate / (products(session.delivered.shape) * tokens),
    }
