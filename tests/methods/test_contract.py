"""Every method keeps the contract on every backbone that it is not excluded from."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.methods import METHODS
from autopeft.testing.method_suite import CHECKS, MethodContract
from autopeft.testing.peft_loads import check_peft_loads
from autopeft.testing.toy import LONGEST
from tests.tiny import ARCHITECTURES, head_for

QUICK = ("bert", "gpt2")
EXCLUDED = {
    **dict.fromkeys(
        ("prefix", "p_tuning_v2", "mam", "prefix_ln", "prefix_adapter_ln", "unipelt", "unipelt_ap"),
        ("mpnet", "deberta-v2"),
    ),
    "prompt_tuning": ("gpt2", "llama", "t5", "vit"),
    "p_tuning": ("gpt2", "llama", "t5", "vit"),
    "attempt": ("t5", "vit"),
    "soft_template": ("modernbert", "gpt2", "llama", "t5", "vit"),
    "embeddings": ("t5", "vit"),
    "bitfit": ("modernbert", "llama", "t5"),
    "lokr": ("gpt2",),
    "loha": ("gpt2",),
}
"""All that is excluded at 24 tokens; whoever changes a rule has to change this table."""


def _marks(architecture: str) -> list[pytest.MarkDecorator]:
    """Return the marks of an architecture: one process trains all of its contracts, once."""
    together = pytest.mark.xdist_group(architecture)
    return [together] if architecture in QUICK else [together, pytest.mark.slow]


architectures = [pytest.param(name, marks=_marks(name)) for name in ARCHITECTURES]


@cache
def backbone_in(folder: Path, architecture: str) -> Backbone:
    return load_backbone(folder, **head_for(architecture))


@cache
def contract_in(folder: Path, architecture: str, method: str) -> MethodContract:
    rate = {"prompt_tuning": 3e-2, "p_tuning": 1e-3, "compacter++": 5e-3, "tams": 3e-3}.get(
        method, 1e-2
    )
    return MethodContract(backbone_in(folder, architecture), method, learning_rate=rate)


def excluded(architecture: str, method: str) -> bool:
    return architecture in EXCLUDED.get(method, ())


@pytest.mark.parametrize("architecture", architectures)
@pytest.mark.parametrize("method", METHODS.names())
@pytest.mark.parametrize("check", CHECKS)
def test_contract(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str, method: str, check: str
) -> None:
    if excluded(architecture, method):
        pytest.skip(f"{method} is excluded from {architecture}, see test_exclusions")
    contract = contract_in(tiny_folder(architecture), architecture, method)
    getattr(contract, check)(tmp_path)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_exclusions_are_said_beforehand(
    tiny_folder: Callable[[str], Path], architecture: str
) -> None:
    shape = backbone_in(tiny_folder(architecture), architecture).shape
    reasons = {info.name: info.excluded(shape, LONGEST) for info in METHODS}
    assert {name for name, reason in reasons.items() if reason} == {
        name for name in METHODS.names() if excluded(architecture, name)
    }
    assert all(architecture in reason for reason in reasons.values() if reason)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", architectures)
def test_peft_loads_every_adapter_in_a_fresh_process(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    folder = tiny_folder(architecture)
    methods = [name for name in METHODS.names() if not excluded(architecture, name)]
    check_peft_loads((contract_in(folder, architecture, name) for name in methods), tmp_path)
