"""What methods say and do on architectures that are built unlike those of the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autopeft.backbone.load import load_backbone
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import feasible_methods
from autopeft.methods.adapt import adapt
from autopeft.records import Candidate
from autopeft.testing.method_suite import CHECKS, MethodContract
from autopeft.testing.toy import LONGEST, make_toy
from tests.tiny import head_for

PREFIXES = {
    "mam", "p_tuning_v2", "prefix", "prefix_adapter_ln", "prefix_ln", "unipelt", "unipelt_ap"
}  # fmt: skip
LAYERED = PREFIXES | {
    "compacter", "compacter++", "houlsby", "mixture", "parallel_adapter", "pfeiffer",
    "scaled_parallel_adapter", "tams",
}  # fmt: skip
"""Methods with parts of their own in every layer."""

Folders = Callable[[str], Path]


@pytest.mark.parametrize(
    ("architecture", "excluded"),
    [
        ("albert", {*LAYERED, "soft_template"}),
        ("rembert", PREFIXES),
        ("convbert", PREFIXES),
        ("megatron-bert", {*PREFIXES, "soft_template"}),
        ("esm", {"soft_template"}),
        ("electra", set()),
        ("mobilebert", set()),
    ],
)
def test_what_cannot_run_is_said(
    tiny_folder: Folders, architecture: str, excluded: set[str]
) -> None:
    backbone = load_backbone(tiny_folder(architecture), **head_for(architecture))
    reasons = feasible_methods(backbone.shape, LONGEST)[1]
    assert reasons.keys() == excluded
    assert all(architecture in reason for reason in reasons.values())
    for method in excluded:
        with pytest.raises(IncompatibleMethodError):
            adapt(backbone, Candidate(method=method, learning_rate=1.0, epochs=1), seed=0)


@pytest.mark.parametrize(
    ("architecture", "method"),
    [
        ("electra", "prompt_tuning"),
        ("electra", "p_tuning"),
        ("mobilebert", "soft_template"),
        ("opt", "houlsby"),
        ("opt", "ln_tuning"),
        ("opt", "lora"),
        ("opt", "unipelt"),
        ("opt", "tams"),
    ],
)
def test_contract(tiny_folder: Folders, tmp_path: Path, architecture: str, method: str) -> None:
    backbone = load_backbone(tiny_folder(architecture), **head_for(architecture))
    contract = MethodContract(backbone, method)
    for check in CHECKS:
        getattr(contract, check)(tmp_path / check)


def test_the_head_reads_the_gap(tiny_folder: Folders) -> None:
    """The last norm of MobileBERT's layers does not make their output."""
    backbone = load_backbone(tiny_folder("mobilebert"), **head_for("mobilebert"))
    candidate = Candidate(
        method="soft_template", learning_rate=1.0, epochs=1, knobs={"template": "w1 {mask}"}
    )
    model = adapt(backbone, candidate, seed=0)
    states: list[torch.Tensor] = []
    last = model.get_submodule("base_model.model.mobilebert.encoder.layer.1")
    last.register_forward_hook(lambda module, inputs, output: states.append(output))
    with torch.no_grad():
        model(**make_toy(backbone.tokenizer).inputs)
    torch.testing.assert_close(states[0][:, 0], states[0][:, 2])
