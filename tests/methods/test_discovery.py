"""A method is one new file: listed, validated, trained, saved and loaded without another change."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autopeft import methods
from autopeft.backbone.load import load_backbone
from autopeft.cli import app
from autopeft.errors import SpaceError
from autopeft.methods import METHODS
from autopeft.search.load import load_space
from autopeft.testing.method_suite import CHECKS, MethodContract
from autopeft.testing.peft_loads import check_peft_loads

METHOD = '''
"""Crossing: a low-rank update of q and v, and an adapter after the feed-forward."""

from autopeft.methods import METHODS, Knob, LearningRatePrior, MethodInfo
from autopeft.methods.recipe import at_site, layers_of, made_of, part_at


def recipe(shape, placement, knobs):
    parts = []
    for layer in layers_of(shape, placement):
        for module in {at_site(shape, site, layer)[0] for site in ("attn.q", "attn.v")}:
            parts.append(part_at("low_rank", module, settings={"r": knobs["r"]}))
        last = at_site(shape, "ffn.out", layer)[-1]
        settings = {"width": knobs["width"]}
        parts.append(
            part_at("bottleneck", last, fan_in=last.fan_out, reads="output", settings=settings)
        )
    return parts


KNOBS = {
    "r": Knob(default=2, low=1, high=8, log=True, help="rank of the updates"),
    "width": Knob(default=4, low=1, high=64, log=True, help="width of the adapters"),
}
METHODS.register(
    MethodInfo(
        **made_of("crossing", recipe, KNOBS),
        family="combined",
        description="updates of q and v, and adapters",
        paper="-",
        sites=(),
        learning_rate=LearningRatePrior(median=1e-3, source="of a test"),
        native=False,
    )
)
'''
SPACE = """
description: the new method
epochs: 2
methods:
  crossing:
    r: [1, 2, 4]
    width: {low: 2, high: 8, log: true}
"""


@pytest.fixture
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Join a folder with one new file to the methods; take both away afterwards."""
    before = METHODS.names()
    folder = tmp_path_factory.mktemp("more_methods")
    (folder / "crossing.py").write_text(METHOD)
    importlib.invalidate_caches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "__path__", [*methods.__path__, str(folder)])
        patch.setattr(METHODS, "_infos", dict(METHODS._infos))
        patch.setattr(METHODS, "_modules", set(METHODS._modules))
        yield "crossing"
        del methods.crossing, sys.modules["autopeft.methods.crossing"]
    assert METHODS.names() == before


def test_is_listed(crossing: str) -> None:
    assert crossing in METHODS.names()
    done = CliRunner().invoke(app, ["methods", "--format", "json"])
    assert done.exit_code == 0, done.output
    (row,) = (row for row in json.loads(done.stdout) if row["name"] == crossing)
    assert row["family"] == "combined"
    assert row["description"] == "updates of q and v, and adapters"
    assert row["knobs"] == ["r", "width"]


def test_space_may_name_it_and_its_knobs(crossing: str, tmp_path: Path) -> None:
    place = tmp_path / "mine.yaml"
    place.write_text(SPACE)
    assert load_space(place).methods.keys() == {crossing}
    place.write_text(SPACE.replace("width:", "widht:"))
    with pytest.raises(SpaceError, match="widht"):
        load_space(place)
    place.write_text(SPACE.replace("high: 8", "high: 1000"))
    with pytest.raises(SpaceError, match="1000"):
        load_space(place)


@pytest.mark.slow
def test_keeps_the_contract(
    crossing: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Among others it trains, is saved and gives equal logits when it is loaded."""
    backbone = load_backbone(
        tiny_folder("bert"),
        auto_class="AutoModelForSequenceClassification",
        model_options={"num_labels": 2},
    )
    contract = MethodContract(backbone, crossing)
    for check in CHECKS:
        getattr(contract, check)(tmp_path / check)
    check_peft_loads([contract], tmp_path / "fresh")


def test_is_gone_afterwards() -> None:
    assert "crossing" not in METHODS.names()
    assert not hasattr(methods, "crossing")
