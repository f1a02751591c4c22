"""Packs: what the methods' contract does not show of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.backbone.share import checksum
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt, private_copy, with_defaults
from autopeft.records import Candidate, Placement
from autopeft.train.module import training_mode
from autopeft.tuner import Pack, draw_from
from tests.tuner.common import CLOSE, inputs

HEAD: dict[str, Any] = {
    "auto_class": "AutoModelForSequenceClassification",
    "model_options": {"num_labels": 2},
}


@pytest.fixture
def bert(tiny_folder: Callable[[str], Path]) -> Backbone:
    return load_backbone(tiny_folder("bert"), **HEAD)


def member(
    backbone: Backbone,
    method: str,
    *,
    seed: int = 0,
    placement: Placement | None = None,
    **knobs: Any,
) -> nn.Module:
    """Return an adapted model, far from where its training would begin."""
    candidate = Candidate(
        method=method, learning_rate=1.0, epochs=1, placement=placement, knobs=knobs
    )
    model = adapt(backbone, with_defaults(METHODS.get(method), candidate), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def packed(backbone: Backbone, members: Sequence[nn.Module], seed: int | None = None) -> Pack:
    generators = [] if seed is None else [drawing(seed) for _ in members]
    return Pack(private_copy(backbone), members, backbone.heads, generators).eval()


def drawing(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_equal_to_alone(backbone: Backbone, members: Sequence[nn.Module]) -> None:
    batch = inputs()
    with torch.no_grad():
        together = packed(backbone, members)(**batch)
        for own, one in zip(together, members, strict=True):
            assert (own - one(**batch).logits).abs().max().item() <= CLOSE


def test_ranks_and_scales_may_differ(bert: Backbone) -> None:
    settings = ((8, 16, False), (8, 4, False), (2, 16, False), (2, 16, True), (8, 16, False))
    members = [
        member(bert, "lora", seed=seed, r=r, alpha=alpha, rslora=rslora)
        for seed, (r, alpha, rslora) in enumerate(settings)
    ]
    assert_equal_to_alone(bert, members)


def test_layers_and_sites_may_differ(bert: Backbone) -> None:
    places = (
        Placement(sites=("attn.q", "attn.v")),
        Placement(sites=("ffn.in",), layers="1-1"),
        Placement(sites=("attn.v", "attn.out"), layers="0-0"),
    )
    assert_equal_to_alone(bert, [member(bert, "lora", placement=place) for place in places])


def test_methods_may_differ(bert: Backbone) -> None:
    names = ("unipelt", "prefix", "mam", "compacter", "bitfit", "ln_tuning", "head_only", "tarp")
    assert_equal_to_alone(bert, [member(bert, name, seed=i) for i, name in enumerate(names)])


def test_prefixes_of_several_lengths_do_not_see_each_other(bert: Backbone) -> None:
    members = [member(bert, "prefix", seed=n, tokens=n) for n in (1, 4, 9)]
    assert_equal_to_alone(bert, [*members, member(bert, "lora")])


def test_prompts_of_one_length_share_a_pass_and_others_are_refused(bert: Backbone) -> None:
    info = METHODS.get("attempt")
    tokens = int(info.knobs["tokens"].default)
    members = [member(bert, "attempt", seed=seed) for seed in range(2)]
    assert_equal_to_alone(bert, members)
    with pytest.raises(ValueError, match="prompts of one length"):
        packed(bert, [*members, member(bert, "attempt", tokens=tokens + 1)])
    with pytest.raises(ValueError, match="prompts of one length"):
        packed(bert, [*members, member(bert, "lora")])


def test_each_draws_its_dropout_as_it_would_alone(bert: Backbone) -> None:
    members = [
        member(bert, "lora", seed=1, dropout=0.1),
        member(bert, "lora", seed=2, dropout=0.0),
        member(bert, "lora", seed=3, dropout=0.1, r=2),
        member(bert, "lora", seed=4, dropout=0.05),
    ]
    batch = inputs()
    alone = []
    for one in members:
        draw_from(one, drawing(9))
        training_mode(one)
        alone.append(one(**batch).logits.detach())
        assert torch.equal(alone[-1], one.eval()(**batch).logits) == (one is members[1])
    pack = packed(bert, members, seed=9)
    training_mode(pack)
    together = pack(**batch)
    for own, expected in zip(together, alone, strict=True):
        assert (own - expected).abs().max().item() <= CLOSE


def test_who_leaves_changes_nothing_for_the_others(bert: Backbone) -> None:
    members = [member(bert, name) for name in ("lora", "unipelt", "houlsby")]
    batch = inputs()
    with torch.no_grad():
        before = packed(bert, members)(**batch)
        after = packed(bert, members[:2])(**batch)
    assert (before[:2] - after).abs().max().item() <= CLOSE


@pytest.mark.parametrize(
    "methods",
    [("lora", "lora", "bitfit"), ("compacter", "compacter"), ("unipelt", "mam", "unipelt")],
    ids="-".join,
)
def test_weights_held_in_one_tensor_are_those_stacked_in_every_pass(
    bert: Backbone, methods: Sequence[str]
) -> None:
    """Values, gradients, and what a step makes of them; afterwards each owns its weights again."""
    batch = inputs()

    def stepped(*, held: bool) -> list[dict[str, torch.Tensor]]:
        members = [member(bert, name, seed=seed) for seed, name in enumerate(methods)]
        pack = packed(bert, members)
        trained = [own_trained(one) for one in members]
        optimizers = [torch.optim.AdamW(own.values(), lr=0.01) for own in trained]
        with pack.held() if held else contextlib.nullcontext():
            for _ in range(3):
                pack(**batch).square().sum().backward()
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=False)
        memory = [p.untyped_storage() for own in trained for p in own.values()]
        assert len({storage.data_ptr() for storage in memory}) == len(memory)
        sizes = [4 * p.numel() for own in trained for p in own.values()]
        assert [storage.nbytes() for storage in memory] == sizes
        return [{name: p.detach() for name, p in own.items()} for own in trained]

    for one, other in zip(stepped(held=True), stepped(held=False), strict=True):
        for name, weight in one.items():
            assert (weight - other[name]).abs().max().item() <= CLOSE, name


def own_trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def test_what_is_held_is_copied_no_more(bert: Backbone) -> None:
    members = [member(bert, "lora", seed=seed) for seed in range(3)]
    pack = packed(bert, members)
    with pack.held():
        pack(**inputs()).sum().backward()
        for one in members:
            for name, parameter in own_trained(one).items():
                assert parameter.grad is not None, name
                rows = [p.untyped_storage().nbytes() for p in (parameter, parameter.grad)]
                assert rows == [3 * 4 * parameter.numel()] * 2, name
    assert all(p.grad is None for one in members for p in own_trained(one).values())


def test_backbone_and_members_stay_as_they_are(bert: Backbone) -> None:
    members = [member(bert, "lora"), member(bert, "prefix")]
    before = [checksum(model) for model in (bert.model, *members)]
    packed(bert, members)(**inputs()).sum().backward()
    assert [checksum(model) for model in (bert.model, *members)] == before


def test_what_trains_elsewhere_is_refused(bert: Backbone) -> None:
    for method in ("full", "partial", "embeddings", "peft:hra"):
        with pytest.raises(ValueError, match="trains outside our deltas"):
            packed(bert, [member(bert, "lora"), member(bert, method)])
