"""Every further tuner of peft as ``peft:<name>``, such as ``peft:hra``.

A record is made when it is asked for: its knobs are the plain fields of the tuner's configuration
class, with that class's defaults and help; its placement names the target modules. Which tuners
keep the contract is found by running it; see `autopeft.methods.peft_table`.

`count` injects the tuner into a skeleton: the backbone's projections alone, on the meta device, so
without weights. A setting that does not fit the backbone is met there, in peft's own words.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from autopeft.errors import IncompatibleMethodError
from autopeft.methods import (
    METHODS,
    Knob,
    LearningRatePrior,
    MethodInfo,
    modules_at,
    names_at,
    needs_sites,
)
from autopeft.methods.lora import PROJECTIONS, TRANSPOSED
from autopeft.methods.peft_table import TUNERS
from autopeft.records import BackboneShape, Candidate, Placement, Scalar

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn

PREFIX = "peft:"
RATE = LearningRatePrior(
    median=2e-3, spread=10.0, source="a guess: LoRA's, spread wider; not measured"
)
ROOMY = 1024
"""A width that every default setting of peft fits."""

_HIDDEN = re.compile(
    "^(inference_mode|bias|fan_in_fan_out|init_weights|progressbar|layers_pattern|save_.*)$"
    "|seed|prng_key"
)
"""Fields that are not for the search: they follow from the backbone, or say what is stored."""


def make(name: str) -> MethodInfo | None:
    """Return the record of ``peft:<tuner>``, None if there is no such tuner."""
    tuner = name.removeprefix(PREFIX)
    entry = TUNERS.get(tuner)
    if entry is None:
        return None
    return MethodInfo(
        name=name,
        family=name,
        description=entry.description,
        paper=entry.paper,
        knobs={} if entry.refused else _Knobs(tuner),
        placement=Placement(sites=("attn.q", "attn.v")),
        sites=PROJECTIONS,
        learning_rate=RATE,
        count=functools.partial(_count, tuner),
        config=_config_of(tuner),
        excluded=lambda shape, _longest: _exclusion(tuner, shape),
        low_precision=entry.low_precision,
        mergeable=entry.mergeable,
    )


def _config_class(tuner: str) -> Any:
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(tuner.upper())]


class _Knobs(Mapping[str, Knob]):
    """The knobs of a tuner, read from peft on first use, so that listing names loads nothing."""

    def __init__(self, tuner: str) -> None:
        self._tuner = tuner

    def __getitem__(self, name: str) -> Knob:
        return _knobs(self._tuner)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_knobs(self._tuner))

    def __len__(self) -> int:
        return len(_knobs(self._tuner))


@functools.cache
def _knobs(tuner: str) -> Mapping[str, Knob]:
    """Return the plain fields of the tuner's configuration class; each keeps its default."""
    knobs: dict[str, Knob] = {}
    for field in dataclasses.fields(_config_class(tuner)):
        default: Any = field.default
        if _HIDDEN.search(field.name) or type(default) not in (bool, int, float, str):
            continue
        text = inspect.cleandoc(field.metadata.get("help", "")) or f"{field.name}, see peft"
        choices = (False, True) if isinstance(default, bool) else None
        knobs[field.name] = Knob(default=default, help=text.splitlines()[0][:80], choices=choices)
    return knobs


def _config_of(
    tuner: str,
) -> Callable[[Candidate, BackboneShape, tuple[str, ...], int | None], PeftConfig]:
    def config(
        candidate: Candidate, shape: BackboneShape, heads: tuple[str, ...], total_steps: int | None
    ) -> PeftConfig:
        del total_steps
        targets = names_at(shape, candidate.placement)
        return _configure(tuner, candidate.knobs, shape.architecture, targets, list(heads))

    return config


def _configure(
    tuner: str,
    knobs: Mapping[str, Scalar],
    architecture: str,
    targets: list[str],
    heads: list[str] | None = None,
) -> PeftConfig:
    cls = _config_class(tuner)
    fields = {field.name for field in dataclasses.fields(cls)}
    fixed = {"fan_in_fan_out": architecture in TRANSPOSED, "progressbar": False}
    made: PeftConfig = cls(
        **knobs,
        **{name: value for name, value in fixed.items() if name in fields},
        target_modules=targets,
        modules_to_save=heads,
    )
    return made


def _count(
    tuner: str, shape: BackboneShape, placement: Placement | None, knobs: Mapping[str, Scalar]
) -> int:
    """Return what requires a gradient once the tuner sits in a skeleton of the backbone.

    Raises:
        IncompatibleMethodError: it cannot be built there with these knobs; the reason is peft's.
    """
    refused = _exclusion(tuner, shape)
    if refused is not None:
        raise IncompatibleMethodError(refused)
    modules_at(shape, placement)
    counted = _injected(tuner, shape, placement, tuple(sorted(knobs.items())))
    if isinstance(counted, str):
        raise IncompatibleMethodError(counted)
    return counted


@functools.lru_cache(maxsize=4096)
def _injected(
    tuner: str,
    shape: BackboneShape,
    placement: Placement | None,
    knobs: tuple[tuple[str, Scalar], ...],
) -> int | str:
    """Return the number of trained parameters, or why the tuner cannot be built."""
    size = TUNERS[tuner].size
    if size is not None:
        return sum(size(module, dict(knobs)) for module in modules_at(shape, placement))
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    from autopeft.methods.adapt import freeze_settings

    try:
        targets = names_at(shape, placement)
        config = _configure(tuner, dict(knobs), shape.architecture, targets)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: nn.Module = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](
                _skeleton(shape), config, "default"
            )
    except Exception as error:  # of whatever kind: the tuner's authors chose it
        return f"peft's {tuner} cannot be built on {shape.architecture}: {_line(error)}"
    freeze_settings(model)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _skeleton(shape: BackboneShape) -> nn.Module:
    """Return the projections of a backbone under their own names, without any weights."""
    import torch
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    root = nn.Module()
    root.config = {"model_type": shape.architecture}  # type: ignore[assignment]
    with torch.device("meta"):
        for module in shape.modules:
            if module.site == "norm":
                continue
            *above, leaf = module.name.split(".")
            parent = root
            for name in above:
                if name not in dict(parent.named_children()):
                    parent.add_module(name, nn.Module())
                parent = parent.get_submodule(name)
            if shape.architecture in TRANSPOSED:
                made: nn.Module = Conv1D(module.fan_out, module.fan_in)
            else:
                made = nn.Linear(module.fan_in, module.fan_out, bias=bool(module.bias))
            parent.add_module(leaf, made)
    return root.requires_grad_(False)


@functools.lru_cache(maxsize=256)
def _exclusion(tuner: str, shape: BackboneShape) -> str | None:
    """Return why no setting would help: the table's reason, or modules that peft cannot take.

    The latter is tried with the defaults on roomy modules, since what does not fit narrow ones may
    with other knobs.
    """
    entry, architecture = TUNERS[tuner], shape.architecture
    if entry.refused:
        return f"peft's {tuner} fails on {architecture}: {entry.refused}"
    if entry.linear_only and architecture in TRANSPOSED:
        return f"peft's {tuner} takes no transposed projections, as {architecture} has"
    missing = needs_sites(*PROJECTIONS)(shape, 1)
    if missing is not None:
        return missing
    modules = tuple(
        dataclasses.replace(module, fan_in=ROOMY, fan_out=ROOMY, bias=module.bias and ROOMY)
        for module in shape.modules
        if module.site != "norm"
    )
    roomy = dataclasses.replace(shape, modules=modules)
    defaults = tuple(sorted((name, knob.default) for name, knob in _knobs(tuner).items()))
    counted = _injected(tuner, roomy, Placement(sites=PROJECTIONS), defaults)
    if counted == 0:
        return f"peft's {tuner} finds nothing to adapt in {architecture}"
    return counted if isinstance(counted, str) else None


METHODS.register_prefix(
    PREFIX, make, tuple(f"{PREFIX}{name}" for name, entry in TUNERS.items() if not entry.refused)
)
