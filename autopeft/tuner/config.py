"""The configuration of an adapter made of deltas, as ``adapter_config.json`` holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from peft import PeftConfig, PeftType

from autopeft.deltas import Part
from autopeft.errors import ModelError
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
        return tuple(map(_part, self.parts))

    def recorded(self) -> set[str]:
        """Return the modules whose inputs other parts read."""
        read = {name for part in self.placed() for name in (part.reads, part.gate_reads)}
        return read - {"", "input", "output"}


def _part(values: Mapping[str, Any]) -> Part:
    """Return the part that a configuration describes.

    Raises:
        ModelError: it says something that this version does not know. peft takes the `TypeError`
            of an unknown field for one of the configuration itself, and would try for ever.
    """
    unknown = sorted(set(values) - {known.name for known in fields(Part)})
    if unknown:
        raise ModelError(
            f"the adapter has parts with {unknown[0]!r}, which this version of autopeft does not "
            "know: a later one wrote it; update autopeft"
        )
    return Part(**values)
