"""Prefix tuning: trained keys and values before those of the text, in every layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.prompt import model_settings
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import PrefixTuningConfig

LONGEST_PREFIX = 50
WITHOUT_CACHE = ("distilbert", "mpnet", "deberta", "deberta-v2", "modernbert")


def _count(shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]) -> int:
    """Return ``tokens · layers · 2 · kv_width`` (keys and values)."""
    del placement
    return int(knobs["tokens"]) * shape.layers * 2 * shape.kv_width


def _config(
    candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
) -> PrefixTuningConfig:
    """Return a config without the re-parametrisation, which would train a hundred times more."""
    from peft import PrefixTuningConfig

    del total_steps
    return PrefixTuningConfig(
        num_virtual_tokens=int(candidate.knobs["tokens"]),
        prefix_projection=False,
        **model_settings(shape, heads),
    )


def _excluded(shape: BackboneShape, longest: int) -> str | None:
    if shape.architecture in WITHOUT_CACHE or shape.kind == "encoder-decoder":
        return f"{shape.architecture} takes no past keys and values, which carry peft's prefix"
    if shape.positions is not None and longest + LONGEST_PREFIX > shape.positions:
        return (
            f"peft's prefix shifts positions: up to {LONGEST_PREFIX} of prefix and {longest} of "
            f"text exceed the {shape.positions} positions of {shape.architecture}"
        )
    return None


METHODS.register(
    MethodInfo(
        name="prefix_tuning",
        family="prefix",
        description="trains keys and values before those of the text, in every layer",
        paper="Li & Liang (2021), Prefix-Tuning: Optimizing Continuous Prompts for Generation",
        knobs={
            "tokens": Knob(default=10, low=1, high=LONGEST_PREFIX, log=True, help="prefix length")
        },
        placement=None,
        sites=(),
        learning_rate=LearningRatePrior(
            median=2e-2, spread=4.0, source="MiniLM, 500 rows of subj, 3 epochs (T-Few: 1e-2)"
        ),
        count=_count,
        config=_config,
        excluded=_excluded,
    )
)
