"""Methods: one file per family, each registering `MethodInfo` records with `METHODS`.

To add a method, add a file here that registers its record; listings, YAML validation, help and
the contract suite find it. Module level holds metadata only: torch and peft are imported inside
the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autopeft.errors import IncompatibleMethodError
from autopeft.records import (
    BackboneShape,
    Candidate,
    ModuleShape,
    Placement,
    Scalar,
    placed,
)
from autopeft.registry import Registry

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig, PeftModel

    from autopeft.deltas import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """One setting of a method.

    Args:
        default: the field's default.
        choices: allowed values of a categorical knob; None for a numeric one.
        low: smallest allowed value of a numeric knob.
        high: largest allowed value of a numeric knob.
        log: whether a numeric knob is searched on a logarithmic scale.
        help: what it does, in a phrase.
    """

    default: Scalar
    help: str
    choices: tuple[Scalar, ...] | None = None
    low: float | None = None
    high: float | None = None
    log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRatePrior:
    """A log-normal prior: most good values lie between median/spread and median·spread."""

    median: float
    spread: float = 5.0
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodInfo:
    """What the program knows of a method before it trains.

    Args:
        name: as used in YAML and on the command line.
        family: methods of one family are compared with each other at the first rung.
        description: one phrase.
        paper: authors, year, title.
        knobs: settings by name.
        placement: the default placement; None if the method has no sites to choose.
        sites: sites that a placement of this method may name.
        learning_rate: the prior of its learning rate.
        count: exact number of trained parameters without the head, from
            (shape, placement, knobs), before anything is loaded.
        config: builds a fresh peft config from (candidate, shape, names of head modules, optimizer
            steps of the whole training or None); None for methods that are not peft adapters (see
            `trains_base`).
        trains_base: ``"all"`` (full), ``"none"``, ``"embeddings"``…: which base parameters it
            trains.
        native: whether its artifact loads with plain peft.
        mergeable: whether it can be merged into the backbone's weights.
        low_precision: whether a 16-bit frozen backbone under fp32 trained parameters works.
        excluded: from (shape, longest input in tokens), the reason why the method cannot run on
            a backbone, or None if it can.
        recipe: for a method made of our own deltas, its parts from (shape, placement, knobs); see
            `autopeft.methods.recipe`. None for a method that trains through peft's own tuner.
        needs_total_steps: whether `config` must be told the number of optimizer steps.
        penalty: from the adapted model, a scalar to add to every batch's loss.
        after_step: called with (adapted model, optimizer steps done: 1 after the first) between
            ``optimizer.step()`` and ``optimizer.zero_grad()``.
        before_save: called with the adapted model before its artifact is written; what it sets on
            the model's peft config is undone afterwards.
    """

    name: str
    family: str
    description: str
    paper: str
    knobs: Mapping[str, Knob]
    placement: Placement | None
    sites: tuple[str, ...]
    learning_rate: LearningRatePrior
    count: Callable[[BackboneShape, Placement | None, Mapping[str, Scalar]], int]
    config: Callable[[Candidate, BackboneShape, tuple[str, ...], int | None], PeftConfig] | None
    excluded: Callable[[BackboneShape, int], str | None]
    trains_base: str = "none"
    native: bool = True
    mergeable: bool = False
    low_precision: bool = True
    recipe: Callable[..., Sequence[Part]] | None = None
    needs_total_steps: bool = False
    penalty: Callable[[PeftModel], torch.Tensor] | None = None
    after_step: Callable[[PeftModel, int], None] | None = None
    before_save: Callable[[PeftModel], None] | None = None


METHODS: Registry[MethodInfo] = Registry("method", "autopeft.methods")


def modules_at(shape: BackboneShape, placement: Placement | None) -> tuple[ModuleShape, ...]:
    """Return the modules that a placement names.

    Raises:
        IncompatibleMethodError: there are none on this backbone.
    """
    found = () if placement is None else placed(shape, placement)
    if not found:
        sites = "no sites" if placement is None else _worded(placement)
        present = ", ".join(sorted({module.site for module in shape.modules}))
        raise IncompatibleMethodError(
            f"{shape.architecture} has no module at {sites}; its sites are {present}"
        )
    return found


def _worded(placement: Placement) -> str:
    sites = ", ".join(placement.sites)
    return sites if placement.layers == "all" else f"{sites} of layers {placement.layers}"


def names_at(shape: BackboneShape, placement: Placement | None) -> list[str]:
    """Return the dotted names of the modules that a placement names, see `modules_at`."""
    return [module.name for module in modules_at(shape, placement)]


def needs_sites(*sites: str) -> Callable[[BackboneShape, int], str | None]:
    """Return an `excluded` rule: the backbone must have a module at one of the sites."""

    def excluded(shape: BackboneShape, longest: int) -> str | None:
        del longest
        if placed(shape, Placement(sites=sites)):
            return None
        return f"{shape.architecture} has no module at {', '.join(sites)}"

    return excluded


def feasible_methods(
    shape: BackboneShape, longest: int
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return the names of the methods that run on a backbone, and why the others do not.

    Args:
        shape: the backbone.
        longest: longest input in tokens.
    """
    reasons = {info.name: info.excluded(shape, longest) for info in METHODS}
    feasible = tuple(name for name, reason in reasons.items() if reason is None)
    return feasible, {name: reason for name, reason in reasons.items() if reason is not None}
