"""Hardening: gates rounded, parts left out, and what is left trained as a mixture without gates."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt, with_defaults
from autopeft.methods.artifact import ADAPTER_CONFIG, load_artifact, save_artifact
from autopeft.methods.hardening import harden, hardened
from autopeft.methods.mixture import kind_of, recipe
from autopeft.records import Candidate, Placement
from autopeft.testing.method_suite import MethodContract
from autopeft.testing.peft_loads import check_peft_loads
from autopeft.testing.toy import make_toy
from autopeft.tuner import parts_of
from tests.search.made_up import backbone as made_up

HEAD = {"auto_class": "AutoModelForSequenceClassification", "model_options": {"num_labels": 2}}
UNIPELT = with_defaults(
    METHODS.get("unipelt"), Candidate(method="unipelt", learning_rate=1e-2, epochs=2)
)
BLOCKS = Placement(sites=("attn.block", "ffn.block"))


@pytest.fixture
def bert(tiny_folder: Callable[[str], Path]) -> Backbone:
    return load_backbone(tiny_folder("bert"), **HEAD)


def gated(layers: int = 3):
    return METHODS.get("unipelt").recipe(made_up(layers), BLOCKS, UNIPELT.knobs)


def all_off(parts) -> dict[tuple[int, str], float]:
    return {(part.layer, kind_of(part)): 0.2 for part in parts if part.gate}


def test_parts_whose_gate_is_on_are_left_without_gate() -> None:
    parts = gated()
    means = all_off(parts) | {(0, "prefix"): 0.7, (2, "serial"): 0.5, (1, "lora_v"): 0.9}
    left = harden(parts, means)
    assert {(part.layer, kind_of(part)) for part in left} == {
        (0, "prefix"), (2, "serial"), (1, "lora_v"),
    }  # fmt: skip
    assert not any(part.gate or part.gate_reads or part.gate_width for part in left)
    ungated = {part.module: replace(part, gate="", gate_width=0) for part in parts}
    assert all(part == ungated[part.module] for part in left)


def test_at_least_one_part_is_kept() -> None:
    parts = gated()
    left = harden(parts, all_off(parts) | {(1, "serial"): 0.3})
    assert [(part.layer, kind_of(part)) for part in left] == [(1, "serial")]


def test_what_has_no_gate_stays() -> None:
    knobs = with_defaults(
        METHODS.get("mixture"),
        Candidate(method="mixture", learning_rate=1.0, epochs=1, knobs={"norms": True}),
    ).knobs
    parts = recipe(made_up(2), BLOCKS, knobs)
    left = harden(parts, all_off(parts))
    assert {part.delta for part in left} == {"norm"}


def test_a_gate_without_a_mean_is_told() -> None:
    parts = gated()
    means = all_off(parts)
    del means[1, "lora_q"]
    with pytest.raises(ValueError, match="no gate mean for lora_q in layer 1"):
        harden(parts, means)


@pytest.mark.parametrize("fused", [False, True])
def test_a_hardened_mixture_is_a_candidate_with_the_same_parts(fused: bool) -> None:
    shape = made_up(4, fused=fused)
    info = METHODS.get("unipelt")
    assert info.recipe is not None
    parts = info.recipe(shape, BLOCKS, UNIPELT.knobs)
    for seed in range(20):
        draw = torch.rand(len(parts), generator=torch.Generator().manual_seed(seed)).tolist()
        means = {(p.layer, kind_of(p)): value for p, value in zip(parts, draw, strict=True)}
        candidate = hardened(UNIPELT, parts, means, 4)
        again = recipe(shape, candidate.placement, candidate.knobs)
        assert sorted(map(str, again)) == sorted(map(str, harden(parts, means)))
        assert (candidate.learning_rate, candidate.epochs) == (1e-2, 2)
        assert Candidate.from_json(json.loads(json.dumps(candidate.to_json()))) == candidate


def test_a_hardened_candidate_trains_saves_and_loads(bert: Backbone, tmp_path: Path) -> None:
    parts = parts_of(adapt(bert, UNIPELT, seed=0))
    means = all_off(parts) | {(0, "serial"): 0.8, (1, "prefix"): 0.6, (1, "lora_q"): 0.6}
    candidate = hardened(UNIPELT, parts, means, bert.shape.layers)
    model = adapt(bert, candidate, seed=0)
    toy = make_toy(bert.tokenizer)
    own = [p for n, p in model.named_parameters() if p.requires_grad and "autopeft" in n]
    optimizer = torch.optim.AdamW(own, lr=1e-2)
    losses = []
    for _ in range(10):
        loss = torch.nn.functional.cross_entropy(model(**toy.inputs).logits, toy.labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    save_artifact(model, tmp_path, candidate)
    with torch.no_grad():
        loaded = load_artifact(bert, tmp_path)(**toy.inputs).logits
        assert (loaded - model(**toy.inputs).logits).abs().max() < 1e-5


@pytest.mark.slow
def test_where_only_updates_are_left_plain_peft_loads_them(bert: Backbone, tmp_path: Path) -> None:
    parts = parts_of(adapt(bert, UNIPELT, seed=0))
    means = all_off(parts) | {(0, "lora_q"): 0.8, (1, "lora_q"): 0.6, (1, "lora_v"): 0.6}
    candidate = hardened(UNIPELT, parts, means, bert.shape.layers)
    contract = MethodContract(bert, "mixture", knobs=candidate.knobs)
    contract.info = replace(contract.info, native=True)
    check_peft_loads([contract], tmp_path)
    written = json.loads(
        (tmp_path / "bert" / "mixture" / ADAPTER_CONFIG).read_text(encoding="utf-8")
    )
    assert written["peft_type"] == "LORA"
    assert len(written["target_modules"]) == 3
