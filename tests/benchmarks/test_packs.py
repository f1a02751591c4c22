"""The benchmarks of packs do as much work on both sides, and leave nothing of it uncounted."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from autopeft.backbone.load import load_backbone
from benchmarks import ledger
from benchmarks.speed import packs
from benchmarks.speed.contender import Contender, Outcome, take_turns
from benchmarks.speed.gemm import products
from benchmarks.speed.material import default_lora, serial_adapter, with_rates
from benchmarks.speed.ours import lowest_layer
from tests.tiny import HIDDEN, INNER, LAYERS

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers' Trainer, the peer

PICTURES = ledger.ROOT / "docs" / "pictures"


def outcome(train_seconds: float, recycle_seconds: float = 0.0) -> Outcome:
    return Outcome(
        examples=120,
        trained_params=7,
        recycle_seconds=recycle_seconds,
        train_seconds=train_seconds,
        evaluation_seconds=1.0,
        whole_seconds=20.0,
    )


def test_contenders_change_their_order() -> None:
    order: list[tuple[str, int]] = []

    def noting(name: str) -> Contender:
        def train(seed: int) -> Outcome:
            order.append((name, seed))
            return outcome(1.0 + seed)

        return train

    runs = take_turns({"ours": noting("ours"), "peer": noting("peer")}, range(3))
    assert order == [
        ("ours", 0),
        ("peer", 0),
        ("peer", 1),
        ("ours", 1),
        ("ours", 2),
        ("peer", 2),
    ]
    assert [run.train_seconds for run in runs["peer"]] == [1.0, 2.0, 3.0]


def test_candidates_of_a_pack_differ_in_learning_rate_alone() -> None:
    default = default_lora(epochs=1)
    found = with_rates(default, 8)
    rates = [candidate.learning_rate for candidate in found]
    assert len(set(rates)) == 8
    assert rates[0] == pytest.approx(default.learning_rate)
    assert rates[-1] == pytest.approx(default.learning_rate / 8)
    assert {(c.method, c.placement, c.epochs) for c in found} == {("lora", default.placement, 1)}
    assert with_rates(default, 1) == [default]


def test_first_round_is_shown_but_not_counted() -> None:
    rounds = {
        "top layer": [outcome(2.0, recycle_seconds=8.0), outcome(1.0), outcome(2.0)],
        **{peer: [outcome(99.0), outcome(4.0), outcome(4.0)] for peer in packs.PEERS},
    }
    found = packs.summarise(rounds)["training"]["top layer"]
    assert found["first"] == pytest.approx(12.0)  # what is computed once is in it
    assert found["candidate_examples_per_second"]["median"] == pytest.approx(90.0)
    for ratio in found["times_faster_than"].values():
        assert (ratio["low"], ratio["high"]) == (pytest.approx(2.0), pytest.approx(4.0))


def test_products_are_counted_forward_and_backward(model: str) -> None:
    shape = load_backbone(
        model,
        auto_class="AutoModelForSequenceClassification",
        model_options={"num_labels": 2},
    ).shape
    layer = 4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER
    assert products(shape) == 2 * 2 * LAYERS * layer - 2 * 3 * HIDDEN * HIDDEN
    assert lowest_layer(shape, [default_lora(1), serial_adapter(1, "top:1")]) == 0
    assert lowest_layer(shape, [serial_adapter(1, "top:1")]) == LAYERS - 1


@pytest.fixture
def measured(reviews: Path, model: str, tmp_path: Path) -> Callable[..., dict]:
    """Return a function that runs the benchmark at its smallest with further options."""
    size = ["--examples", "40", "--evaluated", "20", "--repeats", "1", "--pack", "3"]
    common = ["--data", str(reviews), "--model", model, "--result", str(tmp_path / "packs.json")]

    def run(*options: str) -> dict:
        return packs.main([*common, *size, *options])

    return run


@pytest.mark.slow
@pytest.mark.parametrize("low", [True, False])
def test_packs_are_measured_beside_their_peers(
    low: bool, measured: Callable[..., dict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "computes_bfloat16", lambda _: low)
    result = measured("--epochs", "2")
    rivals = {name for name in packs.PEERS if low or name != packs.BF16_PEER}
    assert result["runs"].keys() == {*packs.OURS, *rivals}
    for name, done in result["runs"].items():
        (run,) = done  # the first round is thrown away
        together = 3 if name in packs.OURS[1:] else 1
        assert run["examples"] == 40 * 2 * together
        assert run["train_seconds"] > 0 < run["evaluation_seconds"]
        assert run["whole_seconds"] > run["train_seconds"] + run["evaluation_seconds"]
    for name in ("top half", "top layer"):
        first, later = result["first"][name], result["runs"][name][0]
        assert first["recycle_seconds"] >= 0 <= later["recycle_seconds"]
    assert result["recycled"]["bytes"] > 0
    assert result["first"]["alone"]["recycle_seconds"] < 0.1  # nothing to recycle
    assert result["share_of_gemm_limit"].keys() == {"alone", "pack"}


@pytest.mark.slow
def test_growth_is_measured_and_drawn(measured: Callable[..., dict], tmp_path: Path) -> None:
    result = measured("--growth", "--sizes", "1", "2", "--lengths", "8", "16")
    at = {name: [point["at"] for point in points] for name, points in result["growth"].items()}
    assert at == {"pack": [1, 2], "layer": [0, 1], "length": [8, 16], "rows": [5, 10, 20, 40]}
    for points in result["growth"].values():
        assert all(point["ms_per_candidate_example"]["median"] > 0 for point in points)
    assert [run["benchmark"] for run in json.loads((tmp_path / "packs.json").read_text())] == [
        "growth"
    ]
    draw = runpy.run_path(str(PICTURES / "growth.py"))["main"]
    draw(tmp_path / "packs.json", tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {f"growth-{name}.png" for name in at}
