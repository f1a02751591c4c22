"""peft's further tuners, each reachable as ``peft:<name>`` and held to the contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig
from typer.testing import CliRunner

from autopeft.backbone.load import Backbone, load_backbone
from autopeft.backbone.outline import backbone_shape
from autopeft.cli import app
from autopeft.errors import IncompatibleMethodError, NoCandidateError, SpaceError, UnknownNameError
from autopeft.methods import METHODS
from autopeft.methods.peft_table import TUNERS
from autopeft.records import BackboneShape
from autopeft.search.load import load_space
from autopeft.testing.method_suite import CHECKS, MethodContract
from autopeft.testing.peft_loads import check_peft_loads
from autopeft.testing.toy import LONGEST
from tests.methods.peft_small import SMALL

HEAD = {"auto_class": "AutoModelForSequenceClassification", "model_options": {"num_labels": 2}}
SLOW = pytest.mark.slow
NOISY = pytest.mark.filterwarnings("ignore:Sparse invariant checks")
LINEAR_ONLY = (
    *("beft", "boft", "c3a", "delora", "glora", "hra", "miss", "oft", "osf", "peanut", "psoft"),
    *("road", "shira", "supertuning"),
)
"""What takes no transposed projections, GPT-2's."""

ARCHITECTURES = ("bert", "gpt2", "llama", "deberta-v2")
QUICK = ("peft:hra", "bert")


def names_on(architecture: str) -> list[str]:
    """Return the tuners that an architecture can have."""
    refused = [f"peft:{name}" for name in LINEAR_ONLY] if architecture == "gpt2" else []
    return [name for name in METHODS.further() if name not in refused]


def together(architecture: str) -> pytest.MarkDecorator:
    """Return the mark that lets one process train all contracts of an architecture, once."""
    return pytest.mark.xdist_group(f"peft on {architecture}")


cases = [
    pytest.param(
        name,
        architecture,
        marks=[together(architecture), *([] if (name, architecture) == QUICK else [SLOW])],
    )
    for architecture in ARCHITECTURES
    for name in names_on(architecture)
]


@cache
def backbone_in(folder: Path) -> Backbone:
    return load_backbone(folder, **HEAD)


@pytest.fixture(scope="module")
def bert_base() -> BackboneShape:
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(BertConfig())
    return backbone_shape(model, ("classifier",))


@cache
def contract_in(folder: Path, name: str) -> MethodContract:
    knobs = SMALL.get(name.removeprefix("peft:"))
    return MethodContract(backbone_in(folder), name, knobs=knobs)


@NOISY
@pytest.mark.parametrize(("name", "architecture"), cases)
def test_contract(
    tiny_folder: Callable[[str], Path], tmp_path: Path, name: str, architecture: str
) -> None:
    contract = contract_in(tiny_folder(architecture), name)
    for check in CHECKS:
        (tmp_path / check).mkdir()
        getattr(contract, check)(tmp_path / check)


@NOISY
@pytest.mark.parametrize(
    "architecture", [pytest.param(name, marks=[together(name), SLOW]) for name in ARCHITECTURES]
)
def test_plain_peft_loads_every_adapter(
    tiny_folder: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    folder = tiny_folder(architecture)
    contracts = [contract_in(folder, name) for name in names_on(architecture)]
    assert all(contract.info.native for contract in contracts)
    check_peft_loads(contracts, tmp_path)


def test_transposed_projections_are_refused_beforehand(
    tiny_folder: Callable[[str], Path],
) -> None:
    shape = backbone_in(tiny_folder("gpt2")).shape
    reasons = {name: METHODS.get(name).excluded(shape, LONGEST) for name in METHODS.further()}
    assert {name for name, reason in reasons.items() if reason} == {
        f"peft:{name}" for name in LINEAR_ONLY
    }
    assert all("gpt2" in reason for reason in reasons.values() if reason)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hra", 147_456),  # 8 reflections in the input's space: 24 · 8 · 768
        ("road", 18_432),  # an angle and a scale for each pair of outputs: 24 · 768
        ("c3a", 55_296),  # one row of each 256 by 256 block: 24 · 768 · 768 / 256
        ("shira", 1_179_648),  # as many entries as LoRA of rank 32: 24 · 32 · (768 + 768)
        # 768 / 32 = 24 bases, each with 32 and 768 factors: 24 · 24 · (32 + 768)
        ("randlora", 460_800),
    ],
)
def test_count_on_bert_base(bert_base: BackboneShape, name: str, expected: int) -> None:
    info = METHODS.get(f"peft:{name}")
    knobs = {knob: value.default for knob, value in info.knobs.items()}
    assert info.count(bert_base, info.placement, knobs) == expected


@pytest.mark.parametrize("name", [name for name, entry in TUNERS.items() if entry.refused])
def test_what_fails_the_contract_says_why(bert_base: BackboneShape, name: str) -> None:
    info = METHODS.get(f"peft:{name}")
    assert f"peft:{name}" not in METHODS.further()
    assert TUNERS[name].refused in str(info.excluded(bert_base, LONGEST))
    with pytest.raises(IncompatibleMethodError, match="fails on bert"):
        info.count(bert_base, info.placement, {})


@pytest.mark.parametrize("name", METHODS.further())
def test_records_are_whole(name: str) -> None:
    info = METHODS.get(name)
    assert info.name == name and info.description and info.paper
    assert all(knob.help and len(knob.help) <= 80 for knob in info.knobs.values())
    assert not {"inference_mode", "bias", "fan_in_fan_out"} & set(info.knobs)


def test_a_space_may_name_them(tmp_path: Path, bert_base: BackboneShape) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("methods:\n  lora:\n  peft:hra:\n    r: [4, 8]\n")
    space = load_space(file).restrict(shape=bert_base)
    candidate = space.default_of("peft:hra")
    assert candidate.knobs == {"r": 8, "apply_GS": False}
    assert space.count(candidate) == 147_456


def test_faults_of_their_knobs_and_names_are_told(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("methods:\n  peft:hra:\n    rank: 4\n  peft:hraa:\n")
    with pytest.raises(SpaceError) as caught:
        load_space(file)
    assert "unknown knob 'rank'" in str(caught.value)
    assert "unknown method 'peft:hraa'; did you mean 'peft:hra'?" in str(caught.value)
    with pytest.raises(UnknownNameError, match="did you mean 'peft:boft'"):
        METHODS.get("peft:bofft")


def test_a_setting_that_does_not_fit_is_told_in_the_words_of_peft(
    tiny_folder: Callable[[str], Path],
) -> None:
    shape = backbone_in(tiny_folder("bert")).shape
    with pytest.raises(NoCandidateError, match="the block size is 256"):
        load_space("default").restrict(shape=shape, methods=("peft:c3a",))


def test_methods_lists_them_after_our_own() -> None:
    done = CliRunner().invoke(app, ["methods", "--format", "csv"])
    assert done.exit_code == 0, done.output
    names = [line.split(",")[0] for line in done.output.splitlines()[1:] if line]
    assert tuple(names[-len(METHODS.further()) :]) == METHODS.further()
