"""What the layers of an adapted model pass to each other during one forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from autopeft.tuner.prompt import Room


@dataclass(slots=True)
class Call:
    """One forward pass. All layers and the attention of a model hold the same object.

    The mask stays until the next pass begins, because gradient checkpointing runs layers again on
    the way back; so with checkpointing, a pass goes back before the next one begins.

    Attributes:
        masks: by ``"encoder"`` and ``"decoder"``, real tokens (B, S); missing where all are real.
        inputs: by module, the input that later parts read.
        prefixes: by attention module, keys and values before those of the text, and the gate.
        room: where the soft prompt stands in the sequence; None without one, and between passes.
    """

    masks: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    prefixes: dict[str, tuple[Tensor, Tensor, Tensor | None]] = field(default_factory=dict)
    room: Room | None = None
