"""Full fine-tuning: every weight of the backbone."""

from __future__ import annotations

from collections.abc import Mapping

from autopeft.methods import METHODS, LearningRatePrior, MethodInfo
from autopeft.records import BackboneShape, Placement, Scalar


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    del placement, knobs
    return shape.total_params


METHODS.register(
    MethodInfo(
        name="full",
        family="full",
        description="trains every weight of a private copy of the backbone",
        paper="Devlin et al. (2019), BERT: Pre-training of Deep Bidirectional Transformers",
        knobs={},
        placement=None,
        sites=(),
        learning_rate=LearningRatePrior(
            median=5e-5, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (paper: 2e-5..5e-5)"
        ),
        count=_count,
        config=None,
        excluded=lambda _shape, _longest: None,
        trains_base="all",
        native=False,
        low_precision=False,
    )
)
