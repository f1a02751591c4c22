"""The memory and the time that a training will take, before it begins."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from autopeft.api.estimate import (
    affordable_epochs,
    delivery_rows,
    estimate_bytes,
    expected_seconds,
    finish_seconds,
    fit_in_memory,
    memory_limit,
    most_memory,
    pack_bytes,
    silent_seconds,
    usual_seconds,
)
from autopeft.methods import METHODS
from autopeft.methods.adapt import with_defaults
from autopeft.methods.packing import PACK_BYTES
from autopeft.records import Candidate, Placement
from autopeft.search.load import load_space
from autopeft.search.space import Space
from tests.search.made_up import backbone

ABOUT = {
    "idle_bytes": 1_000_000,
    "bytes_per_token": 100.0,
    "evaluation_bytes": 0,
    "longest": 20,
}
LORA = Candidate(
    method="lora",
    learning_rate=1e-3,
    epochs=1,
    knobs={"r": 8, "alpha": 16, "dropout": 0.0, "rslora": False},
    placement=Placement(sites=("attn.q",)),
)

PACE = {"row_seconds": 0.01, "scoring_seconds": 0.004}
"""With its margin, scoring a row takes half of a training step."""


@pytest.fixture
def space(tmp_path: Path) -> Space:
    file = tmp_path / "space.yaml"
    file.write_text("epochs: 1\nmethods:\n  lora:\n  full:\n")
    return load_space(str(file)).restrict(
        shape=backbone(), methods=None, excluded={}, max_params=None
    )


def test_estimate_is_idle_and_activations_and_what_trains(space: Space) -> None:
    trained = 6 * 8 * (32 + 32) + 66
    expected = 1_000_000 + 100 * 16 * 20 + 4 * 5 * trained
    assert estimate_bytes(LORA, space, ABOUT) == expected


def test_method_that_trains_base_weights_has_its_own_copy(space: Space) -> None:
    full = Candidate(method="full", learning_rate=1e-3, epochs=1)
    expected = 1_000_000 + 100 * 16 * 20 + 4 * (5 * (100_000 + 66) + 100_000)
    assert estimate_bytes(full, space, ABOUT) == expected


def test_larger_batches_take_more(space: Space) -> None:
    larger = dataclasses.replace(LORA, batch_size=32)
    assert estimate_bytes(larger, space, ABOUT) - estimate_bytes(LORA, space, ABOUT) == 32_000


def test_limit_says_how_far_over_it_is(space: Space) -> None:
    assert memory_limit(ABOUT, space, None) is None
    needed = estimate_bytes(LORA, space, ABOUT)
    at, below = memory_limit(ABOUT, space, needed), memory_limit(ABOUT, space, needed - 1)
    assert at is not None
    assert below is not None
    assert at(LORA) is None
    assert "GB of memory of" in (below(LORA) or "")


def test_processes_share_what_there_is_and_the_user_may_allow_less() -> None:
    cpu = {**ABOUT, "free_bytes": 3_000_000, "device": "cpu"}
    assert most_memory(cpu, None, 1) == 4_000_000
    assert most_memory(cpu, None, 2) == 2_000_000
    assert most_memory(cpu, 3_000_000, 1) == 3_000_000
    assert most_memory(cpu, 3_000_000, 2) == 2_000_000
    gpu = {**cpu, "device": "NVIDIA"}
    assert most_memory(gpu, None, 1) is None
    assert most_memory(gpu, 3_000_000, 2) == 3_000_000


def test_packs_are_bounded_on_a_processor_and_by_the_limit_everywhere(space: Space) -> None:
    one = LORA
    large = {**ABOUT, "bytes_per_token": 1e6}
    cpu, gpu = {**large, "device": "cpu"}, {**large, "device": "NVIDIA", "free_bytes": 10**12}
    each = pack_bytes([one, one], space, cpu) - pack_bytes([one], space, cpu)
    many = [one] * (PACK_BYTES // each + 1)
    assert not fit_in_memory(many, space, cpu, None)
    assert fit_in_memory(many[:-2], space, cpu, None)
    assert fit_in_memory(many, space, gpu, None)
    assert not fit_in_memory(many, space, {**gpu, "free_bytes": PACK_BYTES}, None)
    needed = pack_bytes([one, one], space, gpu)
    assert fit_in_memory([one, one], space, gpu, needed)
    assert not fit_in_memory([one, one], space, gpu, needed - 1)
    huge = {**cpu, "longest": 10**6}
    assert fit_in_memory([one], space, huge, None)


def test_replayed_layers_cost_one_pass_and_the_backbones_own_weights_half_as_much_again() -> None:
    shape = backbone()
    about = {"shape": shape.to_json(), "rows": [100, 40], **PACE}

    def seconds(method: str, placement: Placement | None = None) -> float:
        info = METHODS.get(method)
        plain = Candidate(
            method=method, learning_rate=1e-3, epochs=3, placement=placement or info.placement
        )
        return expected_seconds(with_defaults(info, plain), about)

    assert seconds("lora") == pytest.approx(3 * 120 * 0.01)
    assert seconds("full") == pytest.approx(3 * (1.5 * 100 + 20) * 0.01)
    assert seconds("head_only") == pytest.approx(0.5 * 140 * 0.01)
    top = Placement(sites=("attn.q",), layers="top:1")
    replayed = (shape.layers - 1) / shape.layers
    assert seconds("lora", top) == pytest.approx((replayed * 70 + 3 * (1 - replayed) * 120) * 0.01)


def test_many_rows_to_select_by_are_not_evaluated_after_every_epoch() -> None:
    about = {"shape": backbone().to_json(), "rows": [100, 1000], **PACE}
    info = METHODS.get("lora")
    plain = Candidate(method="lora", learning_rate=1e-3, epochs=20, placement=info.placement)
    expected = (20 * 100 + 4 * 0.5 * 1000) * 0.01
    assert expected_seconds(with_defaults(info, plain), about) == pytest.approx(expected)


def test_time_of_the_default_counts_though_the_head_alone_is_a_reference_too(space: Space) -> None:
    about = {"shape": backbone().to_json(), "rows": [100, 40], **PACE}
    assert usual_seconds(space, about) == pytest.approx(120 * 0.01)


@pytest.mark.parametrize(("trainings", "epochs"), [(100, 10), (8, 10), (7, 8), (1, 1), (0.1, 1)])
def test_a_time_limit_holds_eight_trainings_of_the_default_if_it_can(
    tmp_path: Path, trainings: float, epochs: int
) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("epochs: [3, 10]\nmethods:\n  bitfit:\n")
    space = load_space(str(file)).restrict(shape=backbone())
    about = {"shape": backbone().to_json(), "rows": [100, 40], **PACE}
    assert affordable_epochs(space, about, trainings * 10 * 120 * 0.01) == epochs


def test_silence_is_all_rows_once_and_the_selection_rows_three_times() -> None:
    about = {"rows": [100, 40], **PACE}
    assert silent_seconds(about) == pytest.approx(0.5 * (140 + 3 * 40) * 0.01)


def test_training_that_was_cut_evaluates_twice() -> None:
    assert finish_seconds({"rows": [100, 40], **PACE}) == pytest.approx(40 * 0.01)


def test_a_merged_model_is_scored_before_and_after() -> None:
    about = {"rows": [100, 30]}
    assert delivery_rows(about, 10, merge=False) == 30 + 40
    assert delivery_rows(about, 10, merge=True) == 3 * 30 + 40
