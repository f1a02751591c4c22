"""Replayed layers give what they gave: bit by bit in the same batch, closely in another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.backbone.replay import Replay, record, replayed_layers
from autopeft.backbone.replayable import replayable
from autopeft.methods.adapt import adapt
from autopeft.records import Candidate, Placement
from tests.tiny import ARCHITECTURES, LAYERS, OF_IMAGES, OF_TEXTS, head_for, tiny_model

KS = range(1, LAYERS + 1)
END = 3
PAD = {"gpt2": END, "llama": END}
"""What pads, where it is not 0; there texts have no end token."""

Load = Callable[[str], Backbone]


@pytest.fixture(scope="module")
def load(tiny_folder: Callable[[str], Path]) -> Load:
    """Return a function from an architecture to its tiny classifier."""
    loaded: dict[str, Backbone] = {}

    def get(architecture: str) -> Backbone:
        if architecture not in loaded:
            loaded[architecture] = load_backbone(
                tiny_folder(architecture), **head_for(architecture)
            )
        return loaded[architecture]

    return get


def inputs(architecture: str, lengths: tuple[int, ...] = (9, 7, 3, 2), width: int = 9) -> Any:
    """Return texts of these lengths, padded to a width, each with its one end token."""
    draw = torch.Generator().manual_seed(5)
    if architecture in OF_IMAGES:
        return {"pixel_values": torch.randn(len(lengths), 3, 16, 16, generator=draw)}
    ids = torch.full((len(lengths), width), PAD.get(architecture, 0))
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(5, 100, (length,), generator=draw)
        if architecture not in PAD:
            ids[row, length - 1] = END
    mask = torch.arange(width) < torch.tensor(lengths)[:, None]
    return {"input_ids": ids, "attention_mask": mask.long()}


def top(architecture: str) -> Candidate:
    """Return LoRA in the encoder's top layer; of T5, in the decoder's one too."""
    layers = f"{LAYERS - 1}-{LAYERS}" if architecture == "t5" else "top:1"
    placement = Placement(sites=("attn.q", "attn.v"), layers=layers)
    return Candidate(method="lora", learning_rate=1e-2, epochs=1, placement=placement)


def adapted(backbone: Backbone) -> nn.Module:
    """Return the backbone with a trained-looking adapter in its top layer."""
    model = adapt(backbone, top(backbone.shape.architecture), seed=0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draw))
    return model


def logits(model: nn.Module, batch: Any) -> Tensor:
    with torch.no_grad():
        return model(**batch).logits


def replayed(model: nn.Module, k: int, states: Tensor, batch: Any) -> Tensor:
    with Replay(model, k) as replay:
        replay.states = states
        return logits(model, batch)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_tiny_architecture_is_replayable(load: Load, architecture: str) -> None:
    assert replayable(load(architecture).model) is None


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_same_batch_gives_the_same_bits(load: Load, architecture: str) -> None:
    model, batch = load(architecture).model, inputs(architecture)
    plain = logits(model, batch)
    for k in KS:
        assert torch.equal(replayed(model, k, record(model, k, batch), batch), plain)
    states = record(model, 1, batch)
    other = states + torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
    assert (replayed(model, 1, other, batch) - plain).abs().max() > 1e-3


@pytest.mark.parametrize("architecture", OF_TEXTS)
def test_rows_recorded_elsewhere_and_unpadded_give_nearly_the_same(
    load: Load, architecture: str
) -> None:
    model, batch = load(architecture).model, inputs(architecture)
    plain = logits(model, batch)
    lengths = batch["attention_mask"].sum(1).tolist()
    for k in KS:
        states = torch.zeros(len(lengths), max(lengths), 32)
        for row, length in enumerate(lengths):
            alone = {name: value[row : row + 1, :length] for name, value in batch.items()}
            states[row, :length] = record(model, k, alone)[0]
        assert (replayed(model, k, states, batch) - plain).abs().max() < 1e-5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adapter_above_gets_the_same_gradients(load: Load, architecture: str) -> None:
    backbone, batch = load(architecture), inputs(architecture)
    model = adapted(backbone)
    states = record(backbone.model, LAYERS - 1, batch)

    def gradients() -> dict[str, Tensor]:
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(**batch).logits, torch.tensor([0, 1, 1, 0]))
        loss.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    plain = gradients()
    with Replay(model, LAYERS - 1) as replay:
        replay.states = states
        same = gradients()
    assert (
        plain.keys() == same.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    )
    assert all(torch.equal(plain[name], same[name]) for name in plain)
    assert any(value.abs().max() > 0 for name, value in plain.items() if "autopeft" in name)


def test_batch_repeated_for_a_pack_takes_repeated_states(load: Load) -> None:
    model, batch = load("bert").model, inputs("bert")
    pack = {name: value.repeat(3, 1) for name, value in batch.items()}
    found = replayed(model, 1, record(model, 1, batch).repeat(3, 1, 1), pack)
    assert (found - logits(model, pack)).abs().max() < 1e-5


@pytest.mark.parametrize("architecture", ["t5", "mpnet", "deberta-v2"])
def test_position_biases_are_those_of_each_batch(load: Load, architecture: str) -> None:
    model = load(architecture).model
    with Replay(model, 1) as replay:
        for width in (9, 14, 5):
            batch = inputs(architecture, (width, 4), width)
            plain = logits(model, batch)
            replay.states = record(model, 1, batch)
            assert torch.equal(logits(model, batch), plain)


def test_convolution_after_the_first_layer_still_runs(tmp_path: Path) -> None:
    folder = tiny_model("deberta-v2", tmp_path, conv_kernel_size=3, conv_act="gelu")
    model, batch = load_backbone(folder, **head_for("deberta-v2")).model, inputs("deberta-v2")
    assert replayable(model) is None
    plain = logits(model, batch)
    for k in KS:
        assert torch.equal(replayed(model, k, record(model, k, batch), batch), plain)


@pytest.mark.parametrize("architecture", ["bert", "t5", "deberta-v2"])
def test_model_is_as_before_also_after_an_exception(load: Load, architecture: str) -> None:
    model, batch = load(architecture).model, inputs(architecture)
    before, plain = dict(model.named_parameters()), logits(model, batch)
    with pytest.raises(ValueError, match="set those of the batch"), Replay(model, 1) as replay:
        assert dict(model.named_parameters()) == before
        replay.states = record(model, 1, batch)[:2]
        logits(model, batch)
    assert replay.states is None
    assert not any("forward" in vars(layer) for layer in replayed_layers(model))
    assert torch.equal(logits(model, batch), plain)


def test_one_replay_inside_another_is_taken_back_alone(load: Load) -> None:
    model, batch = load("bert").model, inputs("bert")
    plain = logits(model, batch)
    with Replay(model, 1) as outer:
        with Replay(model, 2) as inner:
            inner.states = record(model, 2, batch)
            assert torch.equal(logits(model, batch), plain)
        outer.states = torch.zeros(4, 9, 32)
        assert not torch.equal(logits(model, batch), plain)
    assert torch.equal(logits(model, batch), plain)


def test_pass_takes_the_states_and_the_next_runs_the_layers(load: Load) -> None:
    model, batch = load("bert").model, inputs("bert")
    plain = logits(model, batch)
    with Replay(model, 2) as replay:
        replay.states = torch.zeros(4, 9, 32)
        assert not torch.equal(logits(model, batch), plain)
        assert replay.states is None
        assert torch.equal(logits(model, batch), plain)


def test_recording_runs_no_more_than_it_needs(load: Load) -> None:
    model, batch = load("bert").model, inputs("bert")
    ran: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
        for index, layer in enumerate(replayed_layers(model))
    ]
    states = record(model, 1, batch)
    for hook in hooks:
        hook.remove()
    assert ran == [0]
    assert states.shape == (4, 9, 32)
    assert not states.requires_grad


@pytest.mark.parametrize("k", [-1, LAYERS + 1])
def test_only_layers_that_are_there_can_be_replayed(load: Load, k: int) -> None:
    with pytest.raises(ValueError, match="layers to replay, of 2"):
        Replay(load("bert").model, k)


def test_layers_that_share_their_weights_are_refused_with_the_reason(tmp_path: Path) -> None:
    from transformers import AlbertConfig, AlbertForSequenceClassification

    config = AlbertConfig(
        vocab_size=100,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    model = AlbertForSequenceClassification(config)
    assert replayable(model) == "the layers of albert do not run once each, one after the other"
    assert model.training


def test_no_end_token_need_be_known() -> None:
    from transformers import MobileBertConfig, MobileBertForSequenceClassification

    config = MobileBertConfig(
        vocab_size=100,
        embedding_size=16,
        hidden_size=32,
        true_hidden_size=16,
        intra_bottleneck_size=16,
        num_hidden_layers=2,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    assert not hasattr(config, "eos_token_id")
    assert replayable(MobileBertForSequenceClassification(config)) is None


def test_layer_whose_output_depends_on_more_than_its_state_is_refused(load: Load) -> None:
    model = adapt(load("bert"), top("bert"), seed=0)
    seen: list[Tensor] = []
    layers = replayed_layers(model)
    one = layers[0].register_forward_hook(lambda *_: seen.append(_[1][0]))
    two = layers[1].register_forward_hook(lambda m, args, out: out + seen[-1] * len(seen))
    assert replayable(model) == "bert gives other outputs with 1 of its layers replayed"
    one.remove()
    two.remove()
    assert replayable(model) is None
