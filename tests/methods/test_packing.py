"""What candidates have in common that share a pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autopeft.backbone.load import load_backbone
from autopeft.backbone.lowest import lowest_trained_layer
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt, with_defaults
from autopeft.methods.packing import lowest_layer, pack_key
from autopeft.records import Candidate, Placement
from tests.tiny import LAYERS, head_for

QUERIES = ("attn.q",)


@pytest.mark.parametrize(
    ("architecture", "method", "layers", "lowest"),
    [
        ("bert", "lora", "top:1", LAYERS - 1),
        ("bert", "head_only", None, LAYERS),
        ("t5", "lora", "all", 0),
        ("t5", "lora", "1-2", 1),
        ("t5", "lora", "top:1", LAYERS),
        ("t5", "head_only", None, LAYERS),
        ("bart", "head_only", None, LAYERS),
    ],
)
def test_lowest_layer_is_that_of_the_trained_model(
    tiny_folder: Callable[[str], Path],
    architecture: str,
    method: str,
    layers: str | None,
    lowest: int,
) -> None:
    backbone = load_backbone(tiny_folder(architecture), **head_for(architecture))
    placement = None if layers is None else Placement(sites=QUERIES, layers=layers)
    candidate = with_defaults(
        METHODS.get(method),
        Candidate(method=method, learning_rate=1.0, epochs=1, placement=placement),
    )
    assert lowest_layer(candidate, backbone.shape) == lowest
    assert lowest_trained_layer(adapt(backbone, candidate, seed=0)) == lowest


def test_examples_that_are_not_rows_of_a_projection_go_alone(
    tiny_folder: Callable[[str], Path],
) -> None:
    shape = load_backbone(tiny_folder("longformer"), **head_for("longformer")).shape
    candidate = Candidate(method="head_only", learning_rate=1.0, epochs=1)
    assert pack_key(candidate, shape) is None
