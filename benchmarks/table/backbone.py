"""What a replayed search has to know of the backbone: its shape, and what cannot run on it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autopeft.methods import feasible_methods
from autopeft.records import BackboneShape

FILE = "backbone.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A backbone as plain numbers.

    Args:
        shape: without its head, which is the task's, and without the place of its weights.
        excluded: methods that cannot run on it, with the reason.
    """

    shape: BackboneShape
    excluded: Mapping[str, str]

    @classmethod
    def of(cls, model: str, longest: int) -> Backbone:
        """Return what is kept of a model; its weights are not read.

        Args:
            model: folder of the backbone.
            longest: longest input in tokens.
        """
        from autopeft.backbone.load import outline

        auto_class = "AutoModelForSequenceClassification"
        shape, _ = outline(model, auto_class=auto_class, model_options={"num_labels": 2})
        excluded = feasible_methods(shape, longest)[1]
        return cls(
            shape=dataclasses.replace(shape, head_params=0, checkpoint=""), excluded=excluded
        )

    @classmethod
    def read(cls, folder: Path) -> Backbone:
        """Read it from the folder of its cells.

        Raises:
            FileNotFoundError: it was not written there; `benchmarks.table.record` does that.
        """
        if not (folder / FILE).is_file():
            raise FileNotFoundError(
                f"{folder / FILE} is missing; python -m benchmarks.table.record --show writes it"
            )
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return cls(shape=BackboneShape.from_json(values["shape"]), excluded=values["excluded"])

    def write(self, folder: Path) -> None:
        """Write it beside its cells, if it is not there yet."""
        folder.mkdir(parents=True, exist_ok=True)
        values = {"shape": self.shape.to_json(), "excluded": dict(self.excluded)}
        if not (folder / FILE).is_file():
            (folder / FILE).write_text(json.dumps(values) + "\n", encoding="utf-8")
