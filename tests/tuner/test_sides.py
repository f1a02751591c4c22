"""A backbone of two sides, and one without tokens: prefixes everywhere, gates over what is real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from autopeft.backbone.load import load_backbone
from autopeft.methods.adapt import adapt
from autopeft.records import Candidate
from autopeft.testing.toy import toy_for
from tests.tiny import head_for
from tests.tuner.common import CLOSE, apart, logits, randomised, shut

Folders = Callable[[str], Path]


def made(folder: Path, architecture: str, method: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return an adapted model with weights far from their start, and a batch for it."""
    backbone = load_backbone(folder, **head_for(architecture))
    model = adapt(backbone, Candidate(method=method, learning_rate=1.0, epochs=1), seed=0)
    batch = toy_for(backbone).inputs
    return (model if method == "head_only" else randomised(model, seed=1)), batch


@pytest.mark.parametrize("architecture", ["t5", "vit"])
@pytest.mark.parametrize("method", ["unipelt", "unipelt_ap"])
def test_shut_gates_leave_the_backbone_as_it_was(
    tiny_folder: Folders, architecture: str, method: str
) -> None:
    folder = tiny_folder(architecture)
    model, batch = made(folder, architecture, method)
    plain = logits(made(folder, architecture, "head_only")[0], batch)
    assert apart(logits(model, batch), plain) > 1e-2
    shut(model)
    assert apart(logits(model, batch), plain) <= CLOSE


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_prefix_acts_on_each_side(tiny_folder: Folders, side: str) -> None:
    folder = tiny_folder("t5")
    model, batch = made(folder, "t5", "prefix")
    before = logits(model, batch)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if f".{side}." in name and "autopeft_deltas" in name and name.endswith("values"):
                parameter.add_(1.0)
    assert apart(logits(model, batch), before) > 1e-3


def test_gates_of_a_decoder_go_by_its_own_mask(tiny_folder: Folders) -> None:
    """Without inputs of its own, a classifier's decoder reads the text once more."""
    model, batch = made(tiny_folder("t5"), "t5", "unipelt")
    expected = logits(model, batch)
    shifted = batch["input_ids"].roll(1, dims=1)
    shifted[:, 0] = 0  # what a decoder of T5 starts with
    own = {**batch, "decoder_input_ids": shifted}
    masked = {**own, "decoder_attention_mask": batch["attention_mask"]}
    assert apart(logits(model, masked), expected) <= CLOSE
    assert apart(logits(model, own), expected) > 1e-4, "all that a decoder is given is real"


@pytest.mark.parametrize("labels", [torch.zeros(32).long(), torch.zeros(32, 2)])
def test_labels_of_texts_are_no_inputs_of_a_decoder(tiny_folder: Folders, labels: Tensor) -> None:
    model, batch = made(tiny_folder("t5"), "t5", "unipelt")
    expected = logits(model, batch)
    assert apart(logits(model, {**batch, "labels": labels}), expected) <= CLOSE
