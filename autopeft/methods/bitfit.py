"""BitFit: every bias of the backbone, and nothing else."""

from __future__ import annotations

from autopeft.deltas import Part
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import METHODS, LearningRatePrior, MethodInfo
from autopeft.methods.recipe import Knobs, made_of
from autopeft.records import BackboneShape, Placement


def recipe(shape: BackboneShape, placement: Placement | None, knobs: Knobs) -> list[Part]:
    """Return an offset beside every bias of the backbone, those of norms included.

    Raises:
        IncompatibleMethodError: it has none.
    """
    del placement, knobs
    if not shape.biases:
        raise IncompatibleMethodError(f"this {shape.architecture} has no biases")
    return [
        Part(delta="bias", module=name, site="", layer=-1, fan_in=width, fan_out=width)
        for name, width in shape.biases
    ]


METHODS.register(
    MethodInfo(
        **made_of("bitfit", recipe, {}),
        family="bias",
        description="trains every bias of the backbone",
        paper="Ben Zaken et al. (2022), BitFit: Simple Parameter-efficient Fine-tuning for "
        "Transformer-based Masked Language-models",
        sites=(),
        learning_rate=LearningRatePrior(
            median=4e-3, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (paper: 1e-4..1e-3)"
        ),
        mergeable=True,
    )
)
