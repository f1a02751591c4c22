"""A bench trains each cell once, scores it on selection and test, and keeps what it predicted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autopeft.bench.cells import Cell
from autopeft.bench.rows import packed, take, unpacked
from autopeft.bench.training import Bench, packs
from autopeft.methods import METHODS
from autopeft.methods.unipelt import BLOCKS
from autopeft.records import Candidate, Placement
from tests.train.toy import table

LORA = Candidate(
    method="lora",
    learning_rate=1e-2,
    epochs=2,
    knobs={"r": 2, "alpha": 4, "dropout": 0.0},
    placement=Placement(sites=("attn.q", "attn.v")),
)
HEAD = Candidate(method="head_only", learning_rate=1e-2, epochs=2)
BITFIT = Candidate(method="bitfit", learning_rate=0.0, epochs=2)


@pytest.fixture(scope="module")
def bench(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    file = folder / "toy.csv"
    table(120).remove_columns("row").to_csv(file)
    rows = take("toy", str(file), examples=40, selection=16, test=20)
    return Bench(
        rows,
        "tiny",
        str(tiny_folder("bert")),
        folder / "rows",
        folder / "toy.jsonl",
        max_length=16,
    )


def test_every_cell_is_trained_once_and_scored(bench: Bench) -> None:
    told: list[Cell] = []
    wanted = [Cell(LORA, 0), Cell(HEAD, 0), Cell(LORA, 1)]
    bench.train(wanted, lambda cell, _: told.append(cell))
    assert sorted(cell.seed for cell in told) == [0, 0, 1]
    line = bench.cells.get(Cell(LORA, 0))
    assert line is not None
    assert line["state"] == "complete"
    assert len(line["curve"]) == LORA.epochs
    targets = unpacked(bench.cells.about["targets"]["test"])
    assert len(targets) == 20
    right = float(np.mean(unpacked(line["predicted"]["test"]) == targets))
    assert right == pytest.approx(line["test"]["accuracy"])
    assert line["costs"]["trainable_params"] > 0
    assert {"versions", "hardware", "date"} <= line.keys()
    before = bench.cells.file.read_bytes()
    bench.train(wanted, lambda *_: pytest.fail("trained twice"))
    assert bench.cells.file.read_bytes() == before


def test_a_failure_is_a_line(bench: Bench) -> None:
    broken = dataclasses.replace(LORA, learning_rate=1e30)
    bench.train([Cell(broken, 0)], lambda *_: None)
    line = bench.cells.get(Cell(broken, 0))
    assert line is not None
    assert line["state"] == "failed"
    assert line["cause"] in ("non-finite-loss", "constant-predictions")
    json.loads(bench.cells.file.read_text(encoding="utf-8").splitlines()[-1])


def test_gates_are_kept(bench: Bench) -> None:
    defaults = {name: knob.default for name, knob in METHODS.get("mixture").knobs.items()}
    gated = Candidate(
        method="mixture",
        learning_rate=1e-2,
        epochs=1,
        knobs={**defaults, "serial": 2, "prefix": 0, "lora": 2, "gates": "own"},
        placement=BLOCKS,
    )
    plain = dataclasses.replace(LORA, epochs=1)
    bench.train([Cell(gated, 0), Cell(plain, 0)], lambda *_: None)
    line = bench.cells.get(Cell(gated, 0))
    assert line is not None
    layers = bench.session.delivered.shape.layers
    assert {(gate["layer"], gate["part"]) for gate in line["gates"]} == {
        (layer, part) for layer in range(layers) for part in ("serial", "lora_q", "lora_v")
    }
    assert all(0 < gate["mean"] < 1 and gate["spread"] >= 0 for gate in line["gates"])
    without = bench.cells.get(Cell(plain, 0))
    assert without is not None and "gates" not in without


def test_packs_share_seed_and_lowest_layer(bench: Bench) -> None:
    wanted = [Cell(one, seed) for seed in (0, 1) for one in (LORA, HEAD, BITFIT)]
    found = [[cell.candidate.method for cell in pack] for pack in packs(wanted, bench.session)]
    assert sorted(map(sorted, found)) == 2 * [["bitfit", "lora"]] + 2 * [["head_only"]]
    rates = [dataclasses.replace(LORA, learning_rate=rate / 100) for rate in range(1, 10)]
    found = list(packs([Cell(one, 0) for one in rates], bench.session))
    assert [len(pack) for pack in found] == [8, 1]


@pytest.mark.parametrize("values", [[0, 3, 255], [0, 300], [0.5, -1.25], [350_000.0, 0.5]])
def test_predictions_survive_packing(values: list[float]) -> None:
    assert unpacked(packed(np.array(values))).tolist() == values
