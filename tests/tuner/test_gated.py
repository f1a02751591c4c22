"""Gates: a share of each delta for each example, of its own or together with others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autopeft.deltas.gate import Gate
from autopeft.deltas.size import size
from tests.tuner.common import (
    CLOSE,
    adapted,
    apart,
    config,
    gated,
    inputs,
    layers,
    loaded_from,
    logits,
    parts,
    shared_gates,
    shut,
    tiny,
)

GATED = ("lora", "houlsby", "parallel_adapter", "prefix", "ia3", "ln_tuning")
ALWAYS = 1e9
"""A gate's bias that makes its sigmoid exactly 1."""


def gates(model: torch.nn.Module) -> list[Gate]:
    return [module for module in model.modules() if isinstance(module, Gate)]


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
@pytest.mark.parametrize("method", GATED)
def test_shut_gate_gives_the_backbones_logits(
    tiny_folder: Callable[[str], Path], architecture: str, method: str
) -> None:
    folder = tiny_folder(architecture)
    base, model = tiny(folder), tiny(folder)
    some = gated(parts(model, method))
    opened = adapted(model, some)
    assert len(gates(opened)) == len(some)
    expected = logits(base)
    assert apart(logits(opened), expected) > 1e-3
    shut(opened)
    assert apart(logits(opened), expected) <= (CLOSE if method == "prefix" else 0.0)


@pytest.mark.parametrize("method", GATED)
def test_wide_open_gate_gives_what_there_is_without_one(
    tiny_folder: Callable[[str], Path], method: str
) -> None:
    folder = tiny_folder("bert")
    plain = adapted(tiny(folder), parts(tiny(folder), method))
    opened = adapted(tiny(folder), gated(parts(tiny(folder), method)))
    with torch.no_grad():
        for gate in gates(opened):
            gate.linear.bias.fill_(ALWAYS)
        for name, layer in layers(opened).items():
            deltas = layers(plain)[name].autopeft_deltas["default"].deltas
            layer.autopeft_deltas["default"].deltas.load_state_dict(deltas.state_dict())
    assert apart(logits(opened), logits(plain)) <= CLOSE


def test_gate_sees_real_tokens_only(tiny_folder: Callable[[str], Path]) -> None:
    """One number per example, the mean over the tokens that its mask names."""
    model = tiny(tiny_folder("bert"))
    opened = adapted(model, gated(parts(model, "lora"))[:1])
    (layer,) = layers(opened).values()
    (gate,) = gates(opened)
    seen: dict[str, torch.Tensor] = {}
    gate.register_forward_hook(lambda module, args, value: seen.update(value=value))
    layer.register_forward_pre_hook(lambda module, args: seen.update(read=args[0]))
    batch = inputs()
    logits(opened, batch)
    for row, mask in enumerate(batch["attention_mask"].bool()):
        each = torch.sigmoid(gate.linear(seen["read"][row, mask]))
        assert apart(seen["value"][row, 0, 0], each.mean()) <= 1e-6


def test_mask_may_be_given_by_position(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny(tiny_folder("bert"))
    opened = adapted(model, gated(parts(model, "lora"))).base_model
    batch = inputs()
    with torch.no_grad():
        named = opened(**batch).logits
        placed = opened(batch["input_ids"], batch["attention_mask"]).logits
    assert torch.equal(named, placed)


def test_shared_gate_is_one_gate(tiny_folder: Callable[[str], Path]) -> None:
    folder = tiny_folder("bert")
    base, model = tiny(folder), tiny(folder)
    some = shared_gates(model)
    opened = adapted(model, some)
    assert len(gates(opened)) == len({part.layer for part in some}) == 2
    trained = [n for n, p in opened.named_parameters() if p.requires_grad and ".autopeft_" in n]
    assert sum(opened.get_parameter(name).numel() for name in trained) == size(some)
    calls: list[object] = []
    for gate in gates(opened):
        gate.register_forward_hook(lambda module, args, value: calls.append(module))
    assert apart(logits(opened), logits(base)) > 1e-3
    assert [calls.count(gate) for gate in gates(opened)] == [2, 2]
    shut(opened)
    assert torch.equal(logits(opened), logits(base))


def test_shared_gate_trains(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny(tiny_folder("bert"))
    opened = adapted(model, shared_gates(model))
    before = [gate.linear.weight.clone() for gate in gates(opened)]
    optimizer = torch.optim.SGD([p for p in opened.parameters() if p.requires_grad], lr=0.1)
    opened(**inputs(), labels=torch.tensor([0, 1, 0, 1])).loss.backward()
    optimizer.step()
    assert all(
        not torch.equal(gate.linear.weight, old)
        for gate, old in zip(gates(opened), before, strict=True)
    )


def test_shared_gate_is_saved_and_loaded(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny(tiny_folder("bert"))
    opened = adapted(model, shared_gates(model))
    opened.save_pretrained(tmp_path, save_embedding_layers=False)
    loaded = loaded_from(tmp_path, tiny(tiny_folder("bert")))
    assert torch.equal(logits(loaded), logits(opened))
    assert not any(p.requires_grad for p in loaded.parameters())


def test_shared_gate_follows_its_adapter(tiny_folder: Callable[[str], Path]) -> None:
    """It trains only while its adapter is the active one, and goes with it."""
    model = tiny(tiny_folder("bert"))
    plain = config(parts(model, "lora"), model)
    opened = adapted(model, shared_gates(model))
    opened.add_adapter("other", plain)
    opened.set_adapter("other")
    assert not any(gate.linear.weight.requires_grad for gate in gates(opened))
    opened.set_adapter("default")
    assert all(gate.linear.weight.requires_grad for gate in gates(opened))
    opened.set_adapter("other")
    opened.delete_adapter("default")
    assert gates(opened) == []
