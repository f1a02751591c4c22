"""The one custom peft tuner: puts deltas and gates at the modules of a backbone.

Its adapters save, load, count and merge like any of peft's, once ``import autopeft`` has made the
type known (`autopeft.tuner.register`):

    import autopeft
    from peft import PeftModel

    model = PeftModel.from_pretrained(backbone, "run/best")

The public names are imported from here, where they are used: they load torch and peft.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autopeft.tuner.config import AutoPeftConfig
    from autopeft.tuner.delivery import delivered
    from autopeft.tuner.gates import GateMean, reading_gates
    from autopeft.tuner.layer import DeltaLayer
    from autopeft.tuner.model import DeltaModel, draw_from, parts_of
    from autopeft.tuner.pack import Pack, PackLayer

_HOMES = {
    "AutoPeftConfig": "config",
    "DeltaLayer": "layer",
    "DeltaModel": "model",
    "GateMean": "gates",
    "Pack": "pack",
    "PackLayer": "pack",
    "delivered": "delivery",
    "draw_from": "model",
    "parts_of": "model",
    "reading_gates": "gates",
}

__all__ = [
    "AutoPeftConfig",
    "DeltaLayer",
    "DeltaModel",
    "GateMean",
    "Pack",
    "PackLayer",
    "delivered",
    "draw_from",
    "parts_of",
    "reading_gates",
]


def __getattr__(name: str) -> Any:
    """Import a public name; peft comes first, because loading it registers the tuner."""
    if name not in _HOMES:
        raise AttributeError(f"module 'autopeft.tuner' has no attribute {name!r}")
    import peft  # noqa: F401

    return getattr(importlib.import_module(f"autopeft.tuner.{_HOMES[name]}"), name)
