"""Records: plain JSON and back, fingerprints, layer rules."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopeft.records import (
    SITES,
    BackboneShape,
    Candidate,
    Cause,
    Costs,
    ModuleShape,
    Placement,
    RungPoint,
    TrialRecord,
    TrialState,
    layer_indices,
    layer_rule,
    placed,
)

NAMES = st.text(min_size=1, max_size=12)
COUNTS = st.integers(0, 10**12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


PLACEMENTS = st.builds(
    Placement,
    sites=st.lists(st.sampled_from(SITES), min_size=1, unique=True).map(tuple),
    layers=st.sampled_from(["all", "top:2", "bottom:1", "0-1"]),
)
CANDIDATES = st.builds(
    Candidate,
    method=NAMES,
    learning_rate=NUMBERS,
    epochs=st.integers(1, 100),
    batch_size=st.integers(1, 512),
    weight_decay=NUMBERS,
    knobs=st.dictionaries(NAMES, st.booleans() | st.integers(-99, 99) | NUMBERS | NAMES),
    placement=maybe(PLACEMENTS),
)
RECORDS = st.builds(
    TrialRecord,
    number=st.integers(0, 9999),
    candidate=CANDIDATES,
    seed=st.integers(0, 2**31),
    state=st.sampled_from(TrialState),
    origin=NAMES,
    costs=st.builds(
        Costs,
        trainable_params=COUNTS,
        head_params=maybe(COUNTS),
        artifact_bytes=maybe(COUNTS),
        train_seconds=maybe(NUMBERS),
    ),
    curve=st.lists(
        st.builds(
            RungPoint, rung=st.integers(0, 5), share=NUMBERS, score=NUMBERS, wall_seconds=NUMBERS
        ),
        max_size=3,
    ).map(tuple),
    score=maybe(NUMBERS),
    metrics=st.dictionaries(NAMES, NUMBERS, max_size=3),
    cause=maybe(st.sampled_from(Cause)),
    message=st.text(max_size=20),
    artifact=maybe(NAMES),
    cut_share=maybe(NUMBERS),
)


def through_json(values: object) -> Any:
    return json.loads(json.dumps(values, allow_nan=False))


@given(RECORDS)
def test_record_survives_json(record: TrialRecord) -> None:
    assert TrialRecord.from_json(through_json(record.to_json())) == record


@given(CANDIDATES)
def test_candidate_survives_json_with_its_fingerprint(candidate: Candidate) -> None:
    again = Candidate.from_json(through_json(candidate.to_json()))
    assert again == candidate
    assert again.fingerprint == candidate.fingerprint


@given(CANDIDATES)
def test_fingerprint_does_not_depend_on_the_order_of_knobs(candidate: Candidate) -> None:
    turned = dict(reversed(list(candidate.knobs.items())))
    assert dataclasses.replace(candidate, knobs=turned).fingerprint == candidate.fingerprint


def test_fingerprint_is_the_same_on_any_machine() -> None:
    candidate = Candidate(method="lora", learning_rate=0.002, epochs=5, knobs={"r": 8})
    assert candidate.fingerprint == "4374e1def51c"


@pytest.mark.parametrize(
    "change",
    [
        {"method": "dora"},
        {"learning_rate": 0.003},
        {"epochs": 6},
        {"batch_size": 8},
        {"knobs": {"r": 9}},
        {"placement": Placement(sites=("attn.q",))},
    ],
)
def test_every_setting_changes_the_fingerprint(change: dict[str, Any]) -> None:
    candidate = Candidate(method="lora", learning_rate=0.002, epochs=5, knobs={"r": 8})
    assert dataclasses.replace(candidate, **change).fingerprint != candidate.fingerprint


def test_description_leaves_out_what_is_off() -> None:
    place = Placement(sites=("attn.q", "attn.v"), layers="top:3")
    candidate = Candidate(
        method="lora",
        learning_rate=0.002,
        epochs=5,
        knobs={"r": 8, "dropout": 0.0, "rslora": False},
        placement=place,
    )
    assert candidate.describe() == "lora r=8 attn.q,attn.v top:3 lr=0.002 ×5"
    everywhere = dataclasses.replace(candidate, placement=Placement(sites=("norm",)))
    assert everywhere.describe() == "lora r=8 norm lr=0.002 ×5"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("all", (0, 1, 2, 3)),
        ("top:1", (3,)),
        ("top:3", (1, 2, 3)),
        ("top:9", (0, 1, 2, 3)),
        ("bottom:2", (0, 1)),
        ("bottom:9", (0, 1, 2, 3)),
        ("1-2", (1, 2)),
        ("2-9", (2, 3)),
        ("0-0", (0,)),
        ("mask:1010", (0, 2)),
        ("mask:0110", (1, 2)),
    ],
)
def test_layer_rules(rule: str, expected: tuple[int, ...]) -> None:
    assert layer_indices(rule, 4) == expected


@pytest.mark.parametrize("rule", ["top:0", "3-2", "7-9", "bottom:0", "mask:0000"])
def test_rule_that_names_no_layer_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="names none of 4 layers"):
        layer_indices(rule, 4)


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "top",
        "top:",
        "top:-1",
        "top:x",
        "-1",
        "1-",
        "a-b",
        "middle:2",
        "mask",
        "mask:",
        "mask:2",
    ],
)
def test_malformed_rule_is_refused_with_what_is_allowed(rule: str) -> None:
    with pytest.raises(ValueError, match="allowed: all, top:K, bottom:K, A-B, mask:BITS"):
        layer_indices(rule, 4)


def test_a_mask_is_for_a_backbone_of_its_length() -> None:
    with pytest.raises(ValueError, match="is for 3 layers, not for 4"):
        layer_indices("mask:101", 4)


@given(st.sets(st.integers(0, 5), min_size=1))
def test_a_choice_of_layers_is_written_as_a_rule_and_read_again(chosen: set[int]) -> None:
    assert layer_indices(layer_rule(chosen, 6), 6) == tuple(sorted(chosen))


@pytest.mark.parametrize(
    ("chosen", "rule"),
    [
        ((0, 1, 2, 3), "all"),
        ((3,), "top:1"),
        ((0, 1), "bottom:2"),
        ((1, 2), "1-2"),
        ((0, 3), "mask:1001"),
    ],
)
def test_there_is_one_way_to_write_a_choice_of_layers(chosen: tuple[int, ...], rule: str) -> None:
    assert layer_rule(chosen, 4) == rule


def module(name: str, site: str, layer: int) -> ModuleShape:
    return ModuleShape(name=name, site=site, layer=layer, fan_in=4, fan_out=4, bias=4)


SHAPE = BackboneShape(
    architecture="bert",
    kind="encoder",
    layers=2,
    hidden=4,
    heads=1,
    kv_width=4,
    vocabulary=9,
    positions=None,
    modules=(
        module("0.q", "attn.q", 0),
        module("0.norm", "norm", 0),
        module("1.qkv", "attn.qkv", 1),
        module("1.norm", "norm", 1),
    ),
    total_params=99,
    biases=(("bert.layer.0", 9),),
    head_params=6,
)


def test_shape_survives_json() -> None:
    assert BackboneShape.from_json(through_json(SHAPE.to_json())) == SHAPE


def test_placement_names_modules_and_a_fused_projection_stands_for_its_parts() -> None:
    def names(*sites: str, layers: str = "all") -> list[str]:
        return [m.name for m in placed(SHAPE, Placement(sites=sites, layers=layers))]

    assert names("attn.q") == ["0.q", "1.qkv"]
    assert names("attn.v") == ["1.qkv"]
    assert names("norm", layers="top:1") == ["1.norm"]
    assert names("ffn.in") == []


def test_records_need_the_standard_library_alone() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import autopeft.records;"
        "heavy = {'torch', 'numpy', 'optuna', 'peft', 'transformers', 'datasets'};"
        "sys.exit(bool(heavy & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_infinite_score_is_no_json() -> None:
    """A record with one could not be kept."""
    record = TrialRecord(
        number=0,
        candidate=Candidate(method="lora", learning_rate=1.0, epochs=1),
        seed=0,
        state=TrialState.COMPLETE,
        origin="tpe",
        costs=Costs(trainable_params=1),
        score=math.inf,
    )
    with pytest.raises(ValueError, match="JSON"):
        through_json(record.to_json())
