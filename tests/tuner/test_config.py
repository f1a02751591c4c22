"""Parts and configurations as plain JSON, there and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from peft import PeftConfig

from autopeft.deltas import Part
from autopeft.errors import ModelError
from autopeft.methods import METHODS
from autopeft.tuner import AutoPeftConfig
from tests.tuner.common import config, gated, layers, parts, tiny, wrapped

NEEDS_A_TOKENIZER = "soft_template"
RECIPES = [i.name for i in METHODS if i.recipe is not None and i.name != NEEDS_A_TOKENIZER]
PLAIN = {
    "delta": "low_rank",
    "module": "a.q",
    "site": "attn.q",
    "layer": 0,
    "fan_in": 6,
    "fan_out": 4,
}


def test_what_keeps_its_default_is_left_out() -> None:
    assert Part(**PLAIN).to_json() == PLAIN


@pytest.mark.parametrize(
    "field",
    [
        {"reads": "output"},
        {"changes": "input"},
        {"settings": {"r": 2, "rslora": True, "alpha": 0.5}},
        {"gate": "layer0", "gate_reads": "a.k", "gate_width": 6},
        {"shares": "all"},
        {"dropout": 0.1},
    ],
)
def test_part_comes_back_from_json(field: dict[str, object]) -> None:
    part = Part(**PLAIN, **field)
    written = part.to_json()
    assert written == PLAIN | field
    assert Part(**json.loads(json.dumps(written))) == part


@pytest.mark.parametrize("method", RECIPES)
def test_recipe_comes_back_from_a_saved_configuration(
    tiny_folder: Callable[[str], Path], tmp_path: Path, method: str
) -> None:
    model = tiny(tiny_folder("bert"))
    some = parts(model, method)
    made = config(some, model)
    made.method = method
    made.save_pretrained(str(tmp_path))
    again = PeftConfig.from_pretrained(str(tmp_path))
    assert type(again) is AutoPeftConfig
    assert again.to_dict() | {"inference_mode": None} == made.to_dict() | {"inference_mode": None}
    assert list(again.placed()) == some
    assert again.target_modules == made.target_modules


def test_every_module_that_is_read_is_recorded(tiny_folder: Callable[[str], Path]) -> None:
    """A parallel adapter reads the input of another module, which gets a layer without deltas."""
    model = tiny(tiny_folder("bert"))
    made = config(parts(model, "parallel_adapter"), model)
    inner = {f"bert.encoder.layer.{index}.intermediate.dense" for index in (0, 1)}
    outer = {f"bert.encoder.layer.{index}.output.dense" for index in (0, 1)}
    assert made.recorded() == inner
    assert set(made.target_modules) == inner | outer
    placed = layers(wrapped(model, made))
    assert placed.keys() == inner | outer
    assert all(len(placed[name].autopeft_deltas["default"].parts) == 0 for name in inner)


def test_what_gates_read_is_recorded(tiny_folder: Callable[[str], Path]) -> None:
    from dataclasses import replace

    model = tiny(tiny_folder("bert"))
    some = gated(parts(model, "pfeiffer"))
    inner = "bert.encoder.layer.0.intermediate.dense"
    made = config([replace(some[0], gate_reads=inner)], model)
    assert made.recorded() == {inner}


def test_only_named_modules_get_a_layer(tiny_folder: Callable[[str], Path]) -> None:
    """``output.dense`` alone would also match the attention's."""
    model = tiny(tiny_folder("bert"))
    some = parts(model, "pfeiffer")
    assert layers(wrapped(model, config(some, model))).keys() == {part.module for part in some}


def test_parts_of_a_later_version_are_said(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny(tiny_folder("bert"))
    config(parts(model, "houlsby"), model).save_pretrained(str(tmp_path))
    file = tmp_path / "adapter_config.json"
    written = json.loads(file.read_text(encoding="utf-8"))
    written["parts"][3]["warp"] = 9
    file.write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(ModelError, match=r"parts with 'warp', .* a later one wrote it; update"):
        PeftConfig.from_pretrained(str(tmp_path))


def test_settings_of_a_later_version_are_left_out_with_a_warning(tmp_path: Path) -> None:
    AutoPeftConfig(parts=[PLAIN]).save_pretrained(str(tmp_path))
    file = tmp_path / "adapter_config.json"
    written = json.loads(file.read_text(encoding="utf-8")) | {"warp": 9}
    file.write_text(json.dumps(written), encoding="utf-8")
    with pytest.warns(UserWarning, match="warp"):
        again = PeftConfig.from_pretrained(str(tmp_path))
    assert again.placed() == (Part(**PLAIN),)
