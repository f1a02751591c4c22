"""The configuration of an adapter made of deltas, as ``adapter_config.json`` holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peft import PeftConfig, PeftType

from autopeft.deltas import Part
from autopeft.tuner.register import PEFT_TYPE


@dataclass
class AutoPeftConfig(PeftConfig):  # type: ignore[misc]
    """Which deltas sit where.

    Args:
        method: the name of the method that made the recipe.
        parts: one mapping per delta, see `autopeft.deltas.Part`.
        modules_to_save: names of the head's modules, trained in full.
        target_modules: every module that a part sits at or reads from; follows from `parts`.
    """

    method: str = ""
    parts: list[dict[str, Any]] = field(default_factory=list)
    modules_to_save: list[str] | None = None
    target_modules: list[str] | None = None
    exclude_modules: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = getattr(PeftType, PEFT_TYPE)
        named = {part.module for part in self.placed()} | self.recorded()
        self.target_modules = sorted(named)

    def placed(self) -> tuple[Part, ...]:
        """Return the parts."""
        return tuple(Part(**part) for part in self.parts)

    def recorded(self) -> set[str]:
        """Return the modules whose inputs other parts read."""
        read = {name for part in self.placed() for name in (part.reads, part.gate_reads)}
        return read - {"", "input", "output"}
