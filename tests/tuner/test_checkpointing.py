"""Gradient checkpointing: layers run again on the way back, and give the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.tuner.common import adapted, gated, inputs, layers, parts, shared_gates, tiny

METHODS = ("lora", "ia3", "ln_tuning", "prefix", "houlsby", "parallel_adapter", "mam", "unipelt")
LABELS = torch.tensor([0, 1, 0, 1])


def step(model: torch.nn.Module) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return logits and gradients of a step whose dropout a seed decides."""
    model.zero_grad()
    torch.manual_seed(3)
    output = model(**inputs(), labels=LABELS)
    output.loss.backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None for p in trained.values())
    return output.logits.detach(), {name: p.grad.clone() for name, p in trained.items()}


def assert_equal_with_checkpoints(model: torch.nn.Module, *, reentrant: bool) -> None:
    model.train()
    expected, gradients = step(model)
    model.activation_checkpointing_enable(
        activation_checkpointing_kwargs={"use_reentrant": reentrant}
    )
    runs = []
    layer = next(iter(layers(model).values()))
    layer.register_forward_pre_hook(lambda module, args: runs.append(module))
    got, again = step(model)
    assert len(runs) == 2, "the layer ran only once, so nothing was checkpointed"
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
    assert again.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(again[name], gradient, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_logits_and_gradients_are_equal(
    tiny_folder: Callable[[str], Path], architecture: str, method: str, reentrant: bool
) -> None:
    model = tiny(tiny_folder(architecture))
    some = parts(model, method)
    with torch.random.fork_rng():
        assert_equal_with_checkpoints(adapted(model, some), reentrant=reentrant)


@pytest.mark.parametrize("kind", ["gated_prefix", "shared_gate", "dropout"])
def test_gates_and_dropout_too(tiny_folder: Callable[[str], Path], kind: str) -> None:
    model = tiny(tiny_folder("bert"))
    some = {
        "gated_prefix": lambda: gated(parts(model, "prefix")),
        "shared_gate": lambda: shared_gates(model),
        "dropout": lambda: parts(model, "lora", dropout=0.1),
    }[kind]()
    with torch.random.fork_rng():
        assert_equal_with_checkpoints(adapted(model, some), reentrant=False)
