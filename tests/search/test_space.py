"""Spaces: what they propose, how they narrow, and every fault of a file at once."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import autopeft
from autopeft.errors import AutoPeftError, NoCandidateError, SpaceError, UnknownNameError
from autopeft.methods import METHODS
from autopeft.records import Placement, layer_indices
from autopeft.search.dimension import Choices, Mask, ends, fixed
from autopeft.search.layers import canonical
from autopeft.search.load import load_space
from autopeft.search.narrow import lengthen, shorten
from autopeft.search.schema import LAYER_RULE, schema
from autopeft.search.space import PLACES, SETTINGS, Space
from autopeft.search.spaces import find_space, shipped_spaces
from tests.search.made_up import backbone, begin, evaluate

SHIPPED = sorted(shipped_spaces())
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str, name: str = "mine.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def faults(path: Path) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    return list(caught.value.faults)


def test_four_spaces_are_shipped() -> None:
    assert SHIPPED == ["autopeft_paper", "default", "quick", "wide"]


@pytest.mark.parametrize("name", ["default", "quick", "wide"])
def test_shipped_spaces_hold_the_default_of_each_method(name: str) -> None:
    space = load_space(name).restrict(shape=backbone())
    for method in space.methods:
        default = space.default_of(method)
        assert default in space
        info = METHODS.get(method)
        assert default.learning_rate == info.learning_rate.median
        assert default.placement == info.placement
        assert default.knobs == {name: knob.default for name, knob in info.knobs.items()}


def test_the_wide_space_has_every_method_but_the_head_that_is_always_tried() -> None:
    assert {*load_space("wide").methods, "head_only"} == set(METHODS.names())


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("fused", [False, True])
def test_what_a_space_suggests_it_can_encode_and_suggest_again(name: str, fused: bool) -> None:
    space = load_space(name).restrict(shape=backbone(fused=fused))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(60):
        candidate = space.suggest(study.ask())
        if space.infeasible(candidate) is None:
            assert candidate in space
            study.enqueue_trial(space.encode(candidate))
            assert space.suggest(study.ask()) == candidate
            assert space.count(candidate) >= 0


def test_the_space_of_the_autopeft_paper_has_five_million_points() -> None:
    space = load_space("autopeft_paper").restrict(shape=backbone(12))
    dimensions = space.methods["mixture"].dimensions
    searched = {name: d for name, d in dimensions.items() if not fixed(d) and name not in SETTINGS}
    sizes = {name: len(d.values) for name, d in searched.items() if isinstance(d, Choices)}
    assert sizes == {"serial": 11, "parallel": 11, "prefix": 11}
    assert searched.keys() - sizes.keys() == {"layers"}
    assert dimensions["layers"] == Mask(layers=12)
    # the paper speaks of 5.45 million points on 12 layers
    assert 11 * 11 * 11 * 2**12 == 5_451_776
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        candidate = space.suggest(study.ask())
        assert space.infeasible(candidate) is None
        k, layers = candidate.knobs, layer_indices(candidate.placement.layers, 12)
        adapters = sum(65 * k[name] + 32 * (k[name] > 0) for name in ("serial", "parallel"))
        assert space.count(candidate) == len(layers) * (adapters + 64 * k["prefix"])


@pytest.mark.slow
def test_a_mixture_of_nothing_is_never_proposed(tmp_path: Path, write: Write) -> None:
    file = write(
        "methods:\n  mixture:\n    serial: [0, 3]\n    prefix: [0, 3]\n    gates: none\n"
        "    parallel: 0\n    serial_attention: 0\n    lora: 0\n    ia3: false\n"
        "    norms: false\n    scale: 4.0\n"
        "    placement: {layers: mask}\n"
    )
    space = load_space(file).restrict(shape=backbone(2))
    assert space.default_of("mixture").knobs["serial"] == 3
    run, search = begin(tmp_path / "run", space, max_trials=20)
    with run:
        records = [evaluate(search, proposal) for proposal in search.candidates()]
    mixed = [record for record in records if record.candidate.method == "mixture"]
    assert len(mixed) == 18  # of which chance alone would make eight the head alone
    assert all(record.costs.trainable_params > 0 for record in mixed)


def test_parameters_are_named_after_their_method(write: Write) -> None:
    space = load_space(write("methods:\n  lora: {r: [2, 4]}\n  bitfit:\n"))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial(space.encode(space.default_of("bitfit")))
    trial = study.ask()
    space.suggest(trial)
    assert set(trial.params) == {"method", "bitfit.learning_rate"}
    assert {"lora.r", "lora.learning_rate"} <= set(space.encode(space.default_of("lora")))


def test_a_candidate_outside_the_space_is_not_encoded(write: Write) -> None:
    space = load_space(write("methods:\n  lora: {r: [2, 4]}\n"))
    outside = load_space("quick").default_of("lora")
    assert outside not in space
    with pytest.raises(ValueError, match="not in the space"):
        space.encode(outside)


def test_overrides_take_a_value_a_list_or_a_range(write: Write) -> None:
    space = load_space(
        write(
            "epochs: 7\n"
            "methods:\n"
            "  lora:\n"
            "    r: {low: 2, high: 16, log: true}\n"
            "    alpha: 16\n"
            "    learning_rate: [1e-3, 2e-3]\n"
            "    epochs: [1, 2]\n"
            "  bitfit: {learning_rate: {low: 1e-4, high: 1e-2, log: true}, batch_size: 8}\n"
        )
    )
    lora, bitfit = space.default_of("lora"), space.default_of("bitfit")
    assert (lora.knobs["r"], lora.epochs, lora.learning_rate) == (8, 2, 2e-3)
    assert (bitfit.epochs, bitfit.batch_size) == (7, 8)


def test_an_include_lies_beneath_and_its_methods_come_after(write: Write) -> None:
    write("epochs: 3\nmethods:\n  bitfit:\n  lora: {r: 4, alpha: 8}\n", "base.yaml")
    space = load_space(write("include: base.yaml\nmethods:\n  lora: {r: 2}\n  ia3:\n"))
    assert list(space.methods) == ["lora", "ia3", "bitfit"]
    default = space.default_of("lora")
    assert (default.knobs["r"], default.knobs["alpha"], default.epochs) == (2, 8, 3)
    assert list(load_space(write("include: quick\n")).methods) == list(load_space("quick").methods)


EVERYTHING_WRONG = """
epoch: 3
batch_size: 0
min_steps: [50, 100]
placement:
  sites: [[attn.q, attn.vv]]
  layers: [all, upper:3]
methods:
  lorra: {r: 8}
  lora:
    r: [8, 900, 8]
    alpa: 16
    dropout: 0.3
    rslora: 1
    learning_rate: {low: 1e-2, high: 1e-3}
    placement: {sites: [[norm]]}
  bitfit: {placement: {layers: all}}
  ia3: [1]
"""


def test_all_faults_come_together_each_with_its_place_and_a_suggestion(write: Write) -> None:
    found = faults(write(EVERYTHING_WRONG))
    expected = [
        r"epoch: unknown key 'epoch'; did you mean 'epochs'\?",
        r"batch_size: 0; allowed: an integer from 1 to 4096",
        r"min_steps: \[50, 100\]; allowed: an integer from 1 to 100000",
        r"placement.sites\[0\]: unknown site 'attn.vv'; did you mean 'attn.v'\?",
        r"placement.layers: 'upper:3'; allowed: all, top:K, bottom:K, A-B",
        r"methods.lorra: unknown method 'lorra'; did you mean 'lora'\?",
        r"methods.lora.alpa: unknown knob 'alpa'; did you mean 'alpha'\?",
        r"methods.lora.r\[1\]: 900; allowed: an integer from 1 to 64",
        r"methods.lora.r\[2\]: 8 is listed twice",
        r"methods.lora.dropout: 0.3; allowed: 0.0, 0.05, 0.1",
        r"methods.lora.rslora: 1; allowed: False, True",
        r"methods.lora.learning_rate: low 0.01 is above high 0.001",
        r"methods.lora.placement.sites\[0\]: unknown site 'norm'",
        r"methods.bitfit.placement: bitfit has no sites to choose",
        r"methods.ia3: is a list",
    ]
    missing = [text for text in expected if not any(re.search(text, f) for f in found)]
    assert not missing, found
    assert len(found) == len(expected), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("[1, 2]", "is a list"),
        ("methods: [lora]", "methods: is a list"),
        ("epochs: 3", "methods: names none"),
        ("methods: {lora: {r: 2}}\nmethods: {ia3: }", "methods: written twice (line 2)"),
        ("methods:\n  lora: {r: 2, r: 4}", "methods.lora.r: written twice (line 2)"),
        ("methods:\n  lora: !!python/object/apply:os.system [ls]", "only plain values"),
        ("methods:\n  lora: &a {r: 2}\n  dora: *a", "anchor"),
        ("methods: &a\n  lora: *a", "anchor"),
        ("methods:\n lora\n  r: [", "is it YAML"),
        ("methods:\n  lora: {r: 8}\n\t- x", "is it YAML"),
        ("methods: {lora: {r: .nan}}", "methods.lora.r: nan"),
        ("methods: {lora: {r: [1, [2]]}}", "methods.lora.r[1]: [2]"),
        ("methods: {lora: {r: {low: 2}}}", "high is missing"),
        ("methods: {lora: {r: []}}", "an empty list"),
        ("methods: {lora: {placement: {layers: 5-3}}}", "placement.layers: '5-3'"),
        ("methods: {lora: {placement: {layers: mask:102}}}", "placement.layers: 'mask:102'"),
        ("methods: {lora: {placement: {layers: mask:00}}}", "placement.layers: 'mask:00'"),
        ("methods: {lora: {placement: {layers: [mask, all]}}}", "it stands alone"),
        ("methods: {lora: {placement: {sites: [attn.q]}}}", "a list of site lists"),
        ("include: nowhere.yaml", "include: 'nowhere.yaml': no such file"),
        ("include: quik", "did you mean 'quick'?"),
        ("include: mine.yaml", "includes itself"),
        ("? [a, b]\n: 1", "a key is not a word"),
    ],
)
def test_a_bad_file_is_told_what_is_wrong(write: Write, text: str, expected: str) -> None:
    assert any(expected in fault for fault in faults(write(text)))


def test_a_fault_of_an_include_names_its_file(write: Write) -> None:
    write("methods: {lora: {r: 0}}\n", "base.yaml")
    found = faults(write("include: base.yaml\nmethods: {ia3: {learning_rate: 0}}\n"))
    assert any(f.startswith("base.yaml: methods.lora.r: 0") for f in found)
    assert any(f.startswith("methods.ia3.learning_rate: 0") for f in found)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00methods")
    assert "not UTF-8" in faults(path)[0]


PIECES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from(["lora", "r", "all", "methods", "top:3", "attn.q", "low", "high"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["methods", "lora", "ia3", "r", "placement", "sites", "layers", "epochs", "low",
                 "high", "log", "include", "learning_rate", "batch_size", "min_steps",
                 "description"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(PIECES.map(lambda value: __import__("yaml").safe_dump(value)), st.text()))
def test_whatever_a_file_says_only_our_own_errors_come_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fuzz.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        space = load_space(path)
    except AutoPeftError:
        return
    assert all(space.default_of(name) in space for name in space.methods)


@given(
    st.sampled_from(["all", "top", "bottom", "range", "mask"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.text("01", min_size=5, max_size=7),
)
def test_rules_that_name_the_same_layers_are_written_the_same(
    kind: str, a: int, b: int, bits: str
) -> None:
    rule = {"all": "all", "range": f"{a}-{b}", "mask": f"mask:{bits}"}.get(kind, f"{kind}:{a}")
    written = canonical(rule, 6)
    try:
        named = layer_indices(rule, 6)
    except ValueError:
        assert written is None
        return
    assert written is not None
    assert layer_indices(written, 6) == named
    twins = [other for other in ("all", "top:3", "3-5", "0-5", "bottom:6", "top:9", "mask:000111")
             if layer_indices(other, 6) == named]  # fmt: skip
    assert all(canonical(other, 6) == written for other in twins)


def test_choices_that_mean_the_same_on_the_backbone_are_one(write: Write) -> None:
    file = write(
        "placement:\n"
        "  sites: [[attn.q, attn.v], [attn.v, attn.q], [attn.q, attn.k]]\n"
        "  layers: [top:6, all, top:9, top:3, 3-5, 40-50]\n"
        "methods: {lora: }\n"
    )
    plain = load_space(file).restrict(shape=backbone(6)).methods["lora"].dimensions
    assert plain["layers"].values == ("all", "top:3")  # type: ignore[union-attr]
    assert plain["sites"].values == ("attn.q,attn.v", "attn.q,attn.k")  # type: ignore[union-attr]
    fused = load_space(file).restrict(shape=backbone(6, fused=True)).methods["lora"].dimensions
    assert fused["sites"].values == ("attn.q,attn.v",)  # type: ignore[union-attr]


def test_a_mask_of_layers_is_a_boolean_per_layer(write: Write) -> None:
    file = write("methods: {pfeiffer: {width: 4, placement: {layers: mask}}}\n")
    space = load_space(file).restrict(shape=backbone(4))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    rules = set()
    for _ in range(80):
        trial = study.ask()
        candidate = space.suggest(trial)
        assert {f"pfeiffer.layers.{layer}" for layer in range(4)} <= set(trial.params)
        assert candidate.placement is not None
        on = [layer for layer in range(4) if trial.params[f"pfeiffer.layers.{layer}"]]
        rules.add(candidate.placement.layers)
        if on:
            assert layer_indices(candidate.placement.layers, 4) == tuple(on)
            assert candidate in space and space.infeasible(candidate) is None
            assert space.count(candidate) == len(on) * (4 * (32 + 32 + 1) + 32)
            study.enqueue_trial(space.encode(candidate))
            assert space.suggest(study.ask()) == candidate
        else:
            assert candidate not in space
            assert "names none of 4 layers" in str(space.infeasible(candidate))
    assert len(rules) == 2**4
    assert {"all", "top:2", "bottom:1", "1-2", "mask:1011", "mask:0000"} <= rules


def test_a_mask_waits_for_the_backbone(write: Write) -> None:
    space = load_space(write("placement: {layers: mask}\nmethods: {lora: }\n"))
    study = optuna.create_study()
    with pytest.raises(ValueError, match="narrow the space to a backbone first"):
        space.suggest(study.ask())


def test_a_mask_within_a_budget_keeps_to_it(write: Write) -> None:
    space = load_space(write("placement: {layers: mask}\nmethods: {lora: {r: [1, 8]}}\n"))
    one = space.restrict(shape=backbone(4), max_params=2 * 64)
    assert one.methods["lora"].dimensions["r"].values == (1,)  # type: ignore[union-attr]
    assert one.count(one.default_of("lora")) <= 2 * 64


def test_layers_of_blocks_are_searched_like_those_of_modules(write: Write) -> None:
    file = write(
        "placement: {sites: [[attn.q, attn.v], [attn.block]], layers: [all, top:2]}\n"
        "methods: {houlsby: {width: 4}, unipelt: , prefix: {tokens: 2, inner: 0}}\n"
    )
    space = load_space(file).restrict(shape=backbone(6))
    sites = {name: list(m.dimensions["sites"].values) for name, m in space.methods.items()}  # type: ignore[union-attr]
    assert sites == {
        "houlsby": ["attn.block,ffn.block", "attn.block"],
        "unipelt": ["attn.block,ffn.block", "attn.block"],
        "prefix": ["attn.prefix"],
    }
    adapter = 4 * (32 + 32 + 1) + 32
    for place, adapters in (("all", 12), ("top:2", 4)):
        blocks = Placement(sites=("attn.block", "ffn.block"), layers=place)
        knobs = {"width": 4, "activation": "relu"}
        assert METHODS.get("houlsby").count(backbone(6), blocks, knobs) == adapters * adapter
    top = {"method": "prefix", "prefix.layers": "top:2"}
    study = optuna.create_study()
    study.enqueue_trial(top)
    assert space.count(space.suggest(study.ask())) == 2 * 2 * 2 * 32


def test_a_method_without_a_place_on_the_backbone_is_excluded(write: Write) -> None:
    space = load_space(write("methods: {lora: {placement: {layers: 8-11}}, bitfit: }\n"))
    narrow = space.restrict(shape=backbone(6))
    assert list(narrow.methods) == ["bitfit"]
    assert "none of its placements" in narrow.excluded["lora"]
    assert list(space.restrict(shape=backbone(12)).methods) == ["lora", "bitfit"]


@pytest.mark.parametrize("budget", [400, 3_000, 30_000])
def test_nothing_over_the_budget_is_left(budget: int) -> None:
    shape = backbone()
    space = load_space("wide").restrict(shape=shape, max_params=budget)
    for name, method in space.methods.items():
        assert space.count(space.default_of(name)) <= budget, name
        assert space.infeasible(space.default_of(name)) is None, name
        assert method.defaults.keys() == method.dimensions.keys()
    assert all("parameters" in reason for reason in space.excluded.values())


def test_nothing_feasible_names_the_limit_and_the_nearest_point() -> None:
    space = load_space("quick")
    with pytest.raises(NoCandidateError) as caught:
        space.restrict(shape=backbone(), methods=("lora", "bitfit"), max_params=10)
    text = str(caught.value)
    assert "at most 10 parameters" in text
    assert "nearest is lora" in text
    budget = int(re.findall(r"--max-params (\d+)", text)[0])
    assert space.restrict(shape=backbone(), methods=("lora", "bitfit"), max_params=budget).methods
    with pytest.raises(NoCandidateError, match="bitfit: no biases"):
        space.restrict(shape=backbone(), methods=("bitfit",), excluded={"bitfit": "no biases here"})


def assert_epochs(
    space: Space, lists: tuple[int, ...], ranges: tuple[int, int], longest: int
) -> None:
    """Check what LoRA may choose from, the range of IA³, and that their defaults follow."""
    assert ends(space.methods["lora"].dimensions["epochs"]) == lists
    assert ends(space.methods["ia3"].dimensions["epochs"]) == ranges
    assert space.default_of("lora").epochs == longest
    assert space.default_of("ia3") in space


@pytest.mark.parametrize(
    ("most", "lists", "ranges", "longest"),
    [(10, (3, 5, 10), (4, 9), 10), (6, (3, 5), (4, 6), 5), (1, (3,), (4, 4), 3)],
)
def test_longer_trainings_are_taken_out_but_for_the_shortest(
    write: Write, most: int, lists: tuple[int, ...], ranges: tuple[int, int], longest: int
) -> None:
    text = "epochs: [3, 5, 10]\nmethods:\n  lora:\n  ia3:\n    epochs: {low: 4, high: 9}\n"
    whole = load_space(write(text)).restrict(shape=backbone())
    space = shorten(whole, most)
    assert_epochs(space, lists, ranges, longest)
    assert (space == whole) == (most == 10)


@pytest.mark.parametrize(
    ("rows", "lists", "ranges", "longest"),
    [(900, (3, 5, 10), (2, 9), 10), (400, (4, 5, 10), (4, 9), 10), (100, (15,), (15, 15), 15)],
)
def test_of_few_rows_trainings_get_more_epochs(
    write: Write, rows: int, lists: tuple[int, ...], ranges: tuple[int, int], longest: int
) -> None:
    epochs = "epochs: [3, 5, 10]\nmin_steps: 100\n"
    text = epochs + "methods:\n  lora:\n  ia3: {epochs: {low: 2, high: 9}}\n"
    whole = load_space(write(text)).restrict(shape=backbone())
    space = lengthen(whole, rows)
    assert_epochs(space, lists, ranges, longest)
    assert space.least_steps(rows) >= 100
    assert shorten(space, 1).least_steps(rows) >= 100, "a time limit does not go below"
    large = load_space(write("batch_size: [16, 32]\n" + text)).restrict(shape=backbone())
    assert lengthen(large, rows).least_steps(rows) >= 100


def test_without_a_least_number_of_steps_epochs_are_as_written(write: Write) -> None:
    whole = load_space(write("epochs: [1, 2]\nmethods:\n  lora:\n")).restrict(shape=backbone())
    assert lengthen(whole, 5) == whole


def test_a_least_number_of_steps_is_included_too(write: Write) -> None:
    write("min_steps: 40\nmethods:\n  bitfit:\n", "base.yaml")
    assert load_space(write("include: base.yaml\nepochs: 2\n")).min_steps == 40


def test_methods_may_be_chosen_that_the_file_does_not_name() -> None:
    space = load_space("quick").restrict(shape=backbone(), methods=("vera", "ia3"))
    assert list(space.methods) == ["vera", "ia3"]
    with pytest.raises(UnknownNameError, match="did you mean 'lora'"):
        load_space("quick").restrict(shape=backbone(), methods=("lorra",))


def test_what_a_file_says_of_all_methods_holds_for_one_that_it_does_not_name(write: Write) -> None:
    text = "epochs: [2, 7]\nbatch_size: 8\nplacement: {layers: [all, top:2]}\nmethods:\n  lora:\n"
    whole = load_space(write(text))
    space = whole.restrict(shape=backbone(), methods=("houlsby", "lora"))
    for name in ("epochs", "batch_size", "layers"):
        dimensions = [method.dimensions[name] for method in space.methods.values()]
        assert dimensions[0] == dimensions[1], name
    other = load_space(write(text.replace("7", "9").replace("lora:", "lora: {epochs: [2, 7]}")))
    same = load_space(write(text.replace("lora:", "lora: {epochs: [2, 7]}"), "b.yaml"))
    assert other.fingerprint != same.fingerprint


def test_the_default_within_a_budget_is_the_nearest_to_the_usual_one(write: Write) -> None:
    whole = load_space(write(
        "placement: {layers: [all, top:3, top:1]}\nmethods: {lora: {r: [1, 2, 4, 8, 16]}}\n"
    )).restrict(shape=backbone())  # fmt: skip
    usual = whole.default_of("lora")
    small = whole.restrict(shape=backbone(), max_params=whole.count(usual) - 1)
    own = small.default_of("lora")
    assert own.placement is not None and own.placement.layers == "top:3"
    assert own.knobs == usual.knobs
    tiny = whole.restrict(shape=backbone(), max_params=2 * 128)
    assert tiny.default_of("lora").knobs["r"] == 2


def test_of_a_range_whose_low_end_trains_the_most_the_high_end_is_left(write: Write) -> None:
    wide = backbone()
    modules = tuple(
        dataclasses.replace(m, fan_in=12 * m.fan_in, fan_out=12 * m.fan_out, bias=12 * m.bias)
        for m in wide.modules
    )
    shape = dataclasses.replace(wide, modules=modules)
    whole = load_space(write("methods: {compacter: {n: 4, activation: gelu}}\n"))
    usual = whole.restrict(shape=shape).default_of("compacter")
    least = dataclasses.replace(usual, knobs={**usual.knobs, "reduction": 64})
    budget = METHODS.get("compacter").count(shape, least.placement, least.knobs)
    space = whole.restrict(shape=shape, max_params=budget)
    assert space.count(space.default_of("compacter")) == budget
    low, high = ends(space.methods["compacter"].dimensions["reduction"])
    assert 33 < low < high == 64


def test_the_fingerprint_changes_with_what_may_be_proposed(write: Write) -> None:
    shape = backbone()
    one = load_space(write("methods: {lora: {r: [2, 4]}}\n")).restrict(shape=shape)
    again = load_space(write("methods:\n  lora:\n    r: [2, 4]\n", "b.yaml")).restrict(shape=shape)
    other = load_space(write("methods: {lora: {r: [2, 8]}}\n", "c.yaml")).restrict(shape=shape)
    assert one.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize("line", ["min_steps: 90", "methods: {ia3: , lora: {r: [2, 4]}}"])
def test_the_fingerprint_changes_with_steps_and_the_order_of_trial(write: Write, line: str) -> None:
    text = "min_steps: 75\nmethods: {lora: {r: [2, 4]}, ia3: }\n"
    one = load_space(write(text))
    name = line.partition(":")[0]
    changed = [line if own.startswith(name) else own for own in text.splitlines()]
    assert load_space(write("\n".join(changed) + "\n", "b.yaml")).fingerprint != one.fingerprint


def test_the_largest_rank_within_a_budget_can_be_tried(write: Write) -> None:
    whole = load_space(write("methods: {lora: {r: {low: 1, high: 64}}}\n"))
    free = whole.restrict(shape=backbone()).methods["lora"]
    budget = free.count(backbone(), {**free.defaults, "r": 31})
    tight = whole.restrict(shape=backbone(), max_params=budget).methods["lora"]
    assert ends(tight.dimensions["r"]) == (1, 31)


def test_knobs_do_not_take_the_names_of_settings() -> None:
    for info in METHODS:
        assert not {*info.knobs} & {*SETTINGS, *PLACES, "placement"}


def test_the_default_of_each_knob_is_allowed() -> None:
    for info in METHODS:
        for knob in info.knobs.values():
            assert knob.choices is None or knob.default in knob.choices
            assert knob.low is None or knob.low <= knob.default <= knob.high  # type: ignore[operator]


def test_the_schema_knows_every_method_and_knob() -> None:
    methods = schema()["properties"]["methods"]["properties"]
    assert set(methods) == set(METHODS.names())
    for info in METHODS:
        assert {*info.knobs, *SETTINGS} <= set(methods[info.name]["properties"])
        assert ("placement" in methods[info.name]["properties"]) == (info.placement is not None)
    for rule in ("top:3", "mask:0110"):
        assert re.match(LAYER_RULE, rule)
    for rule in ("top:0", "mask:", "mask:000", "mask"):
        assert not re.match(LAYER_RULE, rule)


def test_a_path_and_a_name_are_found() -> None:
    path = find_space("quick")
    assert path.name == "quick.yaml" and path.is_file()
    assert find_space(path) == path
    with pytest.raises(UnknownNameError, match="did you mean 'default'"):
        find_space("defaul")
    with pytest.raises(SpaceError, match="no such file"):
        find_space("none.yaml")


@pytest.mark.parametrize("layout", ["checkout", "wheel"])
def test_spaces_are_found_in_a_checkout_and_in_a_wheel(tmp_path: Path, layout: str) -> None:
    root = Path(autopeft.__file__).parents[1]
    shutil.copytree(root / "autopeft", tmp_path / "autopeft")
    inside = tmp_path / ("autopeft" if layout == "wheel" else ".") / "search_spaces"
    shutil.copytree(root / "search_spaces", inside)
    code = "from autopeft.search.spaces import find_space; print(find_space('quick'))"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert Path(said.stdout.strip()) == inside.resolve() / "quick.yaml"


def test_least_steps_are_of_the_shortest_training(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("epochs: [2, 5]\nbatch_size: [16, 32]\nmethods:\n  lora:\n", encoding="utf-8")
    assert load_space(file).least_steps(900) == 2 * 29
