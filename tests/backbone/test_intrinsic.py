"""The intrinsic dimension is that of the surface, not of the space around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel

from autopeft.backbone.intrinsic import intrinsic_dimension, intrinsic_dimensions


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_definition(points: Tensor, nearest: int, farthest: int) -> float:
    rows = points.double().tolist()
    estimates = []
    for row in rows:
        near = sorted(math.dist(row, other) for other in rows if other is not row)
        for k in range(nearest, farthest + 1):
            logs = [math.log(near[k - 1] / near[j - 1]) for j in range(1, k)]
            estimates.append((k - 1) / sum(logs))
    return sum(estimates) / len(estimates)


def test_follows_the_definition() -> None:
    points = normal(40, 3)
    found = intrinsic_dimension(points, nearest=4, farthest=9)
    assert found == pytest.approx(by_definition(points, 4, 9), rel=1e-9)


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_a_flat_of_some_dimensions_in_a_wide_space(dimension: int) -> None:
    points = torch.rand(1500, dimension, generator=torch.Generator().manual_seed(1))
    embedded = points @ normal(dimension, 30)
    assert intrinsic_dimension(embedded) == pytest.approx(dimension, rel=0.15)


def test_a_sphere_has_the_dimension_of_its_surface() -> None:
    points = nn.functional.normalize(normal(1500, 3), dim=1)
    assert intrinsic_dimension(points) == pytest.approx(2, rel=0.1)


def test_size_and_equal_points_do_not_matter() -> None:
    points = normal(100, 5)
    expected = intrinsic_dimension(points)
    assert intrinsic_dimension(7 * points) == pytest.approx(expected)
    assert intrinsic_dimension(torch.cat([points, points[:30]])) == pytest.approx(expected)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="20 different points; 20 neighbours need 21"):
        intrinsic_dimension(torch.cat([normal(20, 3)] * 2))


class Two(nn.Module):
    """Two projections of one text, of rank 1 and rank 6."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(6, 6), nn.Linear(6, 6)
        self.wide.weight.data = torch.eye(6)
        self.narrow.weight.data = torch.outer(normal(6), normal(6, seed=1))

    def forward(self, inputs: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        del attention_mask
        return self.wide(inputs) + self.narrow(inputs)


def test_modules_come_in_the_order_of_their_dimension() -> None:
    found = intrinsic_dimensions(Two(), [{"inputs": normal(20, 30, 6)}], ["wide", "narrow"])
    assert list(found) == ["narrow", "wide"]
    assert found["narrow"] == pytest.approx(1, rel=0.2)
    assert found["wide"] > 4


def test_padding_does_not_count() -> None:
    inputs, mask = normal(4, 30, 6), torch.ones(4, 30)
    plain = intrinsic_dimensions(Two(), [{"inputs": inputs}], ["wide"])
    longer = nn.functional.pad(inputs, (0, 0, 0, 9)) + 0.0
    batch = {"inputs": longer, "attention_mask": nn.functional.pad(mask, (0, 9))}
    assert intrinsic_dimensions(Two(), [batch], ["wide"]) == pytest.approx(plain)


def test_no_more_batches_than_needed_are_read_and_no_hook_is_left() -> None:
    model, batches = Two(), iter([{"inputs": normal(4, 30, 6, seed=i)} for i in range(5)])
    few = intrinsic_dimensions(model, batches, ["wide"], most=200)
    whole = torch.cat([normal(4, 30, 6, seed=i).flatten(0, 1) for i in range(2)])[:200]
    assert few["wide"] == pytest.approx(intrinsic_dimension(model.wide(whole).detach()))
    assert len(list(batches)) == 3
    assert not model.wide._forward_hooks


def test_on_a_transformer(tiny_folder: Callable[[str], Path]) -> None:
    model = AutoModel.from_pretrained(tiny_folder("bert")).eval()
    ids = torch.randint(5, 100, (20, 12), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    names = [n for n, _ in model.named_modules() if n.endswith(("query", "value"))]
    found = intrinsic_dimensions(model, [batch], names)
    assert set(found) == set(names)
    assert list(found.values()) == sorted(found.values())
    assert all(1 < value < 32 for value in found.values())


def test_positions_that_a_module_reads_after_the_text_do_not_count() -> None:
    class AndPositions(Two):
        def forward(self, inputs: Tensor, attention_mask: Tensor | None = None) -> Tensor:
            found = super().forward(inputs, attention_mask)
            self.wide(torch.zeros(1, 7, 6))
            return found

    batch = {"inputs": normal(4, 30, 6), "attention_mask": torch.ones(4, 30)}
    found = intrinsic_dimensions(AndPositions(), [batch] * 2, ["wide"])
    assert found == pytest.approx(intrinsic_dimensions(Two(), [batch] * 2, ["wide"]))
