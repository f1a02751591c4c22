"""What methods say and do on architectures that are built unlike those of the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autopeft.backbone.load import load_backbone
from autopeft.errors import IncompatibleMethodError
from autopeft.methods import METHODS, feasible_methods
from autopeft.methods.adapt import adapt
from autopeft.methods.artifact import load_artifact, merge, save_artifact
from autopeft.records import Candidate, Placement
from autopeft.testing.method_suite import CHECKS, MethodContract
from autopeft.testing.toy import LONGEST, make_toy
from tests.tiny import head_for, tiny_model

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


def test_bias_of_a_module_of_several_layers(tiny_folder: Folders, tmp_path: Path) -> None:
    """ConvBERT's separable convolution has no weight of its own, and a bias (width, 1)."""
    backbone = load_backbone(tiny_folder("convbert"), **head_for("convbert"))
    candidate = Candidate(method="bitfit", learning_rate=1.0, epochs=1)
    model, toy = adapt(backbone, candidate, seed=0), make_toy(backbone.tokenizer)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".offset"):
                parameter.normal_()
        expected = model(**toy.inputs).logits
        save_artifact(model, tmp_path, candidate)
        for other in (load_artifact(backbone, tmp_path), merge(model)):
            torch.testing.assert_close(other(**toy.inputs).logits, expected)


def test_a_model_that_pads_itself_knows_its_padding(tmp_path: Path) -> None:
    """Longformer attends in whole windows: what it adds is no text."""
    folder = tiny_model("longformer", tmp_path / "model", attention_window=[4, 4])
    backbone = load_backbone(folder, **head_for("longformer"))
    knobs = {"serial": 2, "lora": 0}
    for method, given in (("tams", {}), ("mixture", knobs)):
        candidate = Candidate(method=method, learning_rate=1.0, epochs=1, knobs=given)
        model, toy = adapt(backbone, candidate, seed=0), make_toy(backbone.tokenizer)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith(".up"):
                    parameter.normal_()
            found = [model(**inputs).logits for inputs in (toy.inputs, toy.padded)]
        torch.testing.assert_close(*found, rtol=0, atol=1e-5)


def test_beside_an_attention_that_positions_go_through(
    tiny_folder: Folders, tmp_path: Path
) -> None:
    """What is beside DeBERTa's attention reads the text, not the positions that follow it."""
    folder = tiny_model("deberta-v2", tmp_path / "model", share_att_key=True)
    backbone = load_backbone(folder, **head_for("deberta-v2"))
    candidate = Candidate(
        method="parallel_adapter",
        learning_rate=1.0,
        epochs=1,
        placement=Placement(sites=("attn.block",)),
    )
    model, toy = adapt(backbone, candidate, seed=0), make_toy(backbone.tokenizer)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".up"):
                parameter.normal_()
        torch.testing.assert_close(model(**toy.inputs).logits, model(**toy.padded).logits)
    with pytest.raises(IncompatibleMethodError, match="longformer's attention reads"):
        shape = load_backbone(tiny_folder("longformer"), **head_for("longformer")).shape
        METHODS.get("parallel_adapter").count(shape, candidate.placement, {"width": 4})
