"""A suite says what is compared with what; its file is checked as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopeft.bench import RESULTS
from autopeft.bench.command import command
from autopeft.bench.part import Part
from autopeft.bench.places import Places
from autopeft.bench.suite import Block, is_suite, load_suite, shipped_suites
from autopeft.bench.suite_check import SETTINGS
from autopeft.errors import DataError, ModelError, SuiteError, UnknownNameError
from autopeft.methods import METHODS

LEAST = "tasks: [subj]\nbackbones: [tiny]\nmethods: [lora]\n"


def written(folder: Path, text: str) -> str:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_shipped_suites_have_what_their_names_promise() -> None:
    suites = {name: load_suite(name) for name in shipped_suites()}
    assert set(suites) == {"quick", "methods", "understanding", "low_resource"}
    assert (len(suites["quick"].tasks), len(suites["quick"].rows())) == (3, 12)
    assert all(place.startswith("demo") for place in suites["quick"].tasks.values())
    assert len(suites["understanding"].tasks) == 8
    assert max(suites["understanding"].epochs) == 1_000
    low = suites["low_resource"]
    assert list(low.epochs) == [100, 500, 1_000]
    assert set(low.tasks) < set(suites["understanding"].tasks)
    assert {*METHODS.names(), "unipelt_ungated"} == set(suites["methods"].rows())
    families = {METHODS.get(name).family for name in METHODS.names()}
    for name in ("understanding", "low_resource"):
        assert {METHODS.get(row.method).family for row in suites[name].entries} == families
        assert {"head_only", "full", "unipelt", "unipelt_ungated"} < set(suites[name].rows())
        assert [policy.limit_seconds for policy in suites[name].policies] == [600]
        assert suites[name].seeds == (0, 1, 2)


def test_what_is_left_out_is_the_usual(tmp_path: Path) -> None:
    suite = load_suite(written(tmp_path, LEAST))
    assert (suite.name, suite.epochs, suite.selection, suite.test) == (
        "mine", {1_000: 5}, 500, 2_000,
    )  # fmt: skip
    (entry,) = suite.entries
    assert [one.learning_rate for one in entry.candidates(5, suite.rates)] == [
        0.000667, 0.002, 0.006,
    ]  # fmt: skip


def test_tables_of_one_size_share_their_cells_whatever_the_suite() -> None:
    understanding, low = load_suite("understanding"), load_suite("low_resource")
    shared = [block for block in low.blocks() if block in understanding.blocks()]
    assert {block.task for block in shared} == set(low.tasks)
    for one, other in zip(understanding.entries, low.entries, strict=True):
        assert one.candidates(5, understanding.rates) == other.candidates(5, low.rates)
    places = Places(results=Path("cells"))
    assert {places.cells(block).name for block in low.blocks() if block.task == "subj"} == {
        "subj-100.jsonl", "subj-500.jsonl", "subj.jsonl",
    }  # fmt: skip


def test_numbers_of_variants_are_of_the_kind_that_the_knob_takes(tmp_path: Path) -> None:
    text = "variants: {v: {method: lora, r: 4.0, dropout: 0}, w: {method: lora, r: 4}}\n"
    _, one, other = load_suite(written(tmp_path, LEAST + text)).entries
    names = [c.fingerprint for entry in (one, other) for c in entry.candidates(5, [1.0])]
    assert len(set(names)) == 1, "they share their cells"


def test_every_fault_is_told_at_once_with_what_was_meant(tmp_path: Path) -> None:
    text = """
task: [subj]
tasks: {"../up": x, subj: 3}
backbones: []
methods: [lorra, lora, lora, {lora: {r: 4}}]
variants: {v: {method: mixture, serail: 3, lora: -1}, lora: {method: ia3}, w: {r: 1}}
policies: {s: {space: defalt}, t: {time: 3}, u: {space: quick, time_limit: soon}}
seeds: [0, 0, -1]
rates: [0, 1/0, x]
examples: [100, [7]]
epochs: {50: 0}
test: 0
"""
    with pytest.raises(SuiteError) as caught:
        load_suite(written(tmp_path, text))
    said = "\n".join(caught.value.faults)
    for expected in (
        "task: unknown key 'task'; did you mean 'tasks'?",
        "tasks: '../up'; a name has letters",
        "tasks.subj: 3; say where it is",
        "backbones: is a list; give a list of names",
        "methods[0].lorra: unknown method 'lorra'; did you mean 'lora'?",
        "methods[2]: 'lora' is listed twice",
        "methods[3]: {'lora': {'r': 4}}; a method is a name, settings go to variants",
        "variants.v.serail: unknown knob 'serail'; did you mean 'serial'?",
        "variants.v.lora: -1; allowed:",
        "variants.lora: another row is called lora",
        "variants.w: name a method",
        "policies.s.space: unknown space 'defalt'; did you mean 'default'?",
        "policies.t: name the space",
        "policies.u.time_limit: 'soon' is not a duration",
        "seeds[1]: 0 is listed twice",
        "seeds[2]: -1; allowed: a whole number from 0",
        "rates[0]: 0; allowed: a number above 0",
        "rates[1]: '1/0'",
        "rates[2]: 'x'",
        "epochs.50: 0; allowed: a whole number from 1",
        "epochs: says nothing of 100 examples",
        "examples[1]: [7]; allowed: a whole number from 2",
        "test: 0; allowed: a whole number from 1",
    ):
        assert expected in said


@pytest.mark.parametrize("text", ["", "- a\n", "tasks: !!python/object:os.system {}\n"])
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SuiteError):
        load_suite(written(tmp_path, text))


def test_an_unknown_suite_suggests_a_shipped_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'understanding'"):
        load_suite("understandin")
    with pytest.raises(SuiteError, match="no such file; shipped suites: low_resource"):
        load_suite("none.yaml")
    assert is_suite("quick") and is_suite("x.yaml") and not is_suite("runs/quick-1")


def test_every_setting_is_described() -> None:
    assert all(about.help for about in SETTINGS.values())


def test_a_part_names_what_the_suite_has() -> None:
    suite = load_suite("low_resource")
    part = Part.of(suite, tasks=["subj"], examples=["100"], rows=["lora", "search"], seeds=["2"])
    assert [str(block) for block in part.blocks()] == ["minilm-l6/subj, 100 examples"]
    assert [entry.name for entry in part.entries] == ["lora"]
    assert [policy.name for policy in part.policies] == ["search"]
    assert part.seeds == (2,)
    with pytest.raises(UnknownNameError, match=r"unknown task 'sub'.*did you mean 'subj'"):
        Part.of(suite, tasks=["sub"])
    with pytest.raises(UnknownNameError, match="unknown seed '7'"):
        Part.of(suite, seeds=[7])


def test_the_printed_command_names_one_cell() -> None:
    suite = load_suite("low_resource")
    block = Block(backbone="minilm-l6", task="subj", examples=100, epochs=20)
    usual = Places(results=RESULTS)
    assert command(suite, block, "compacter++", 1, places=usual) == (
        "autopeft bench low_resource --backbones minilm-l6 --tasks subj --examples 100 "
        "--methods compacter++ --seeds 1 --again"
    )


def test_the_printed_command_names_the_folders_that_were_named() -> None:
    suite = load_suite("quick")
    block = Block(backbone="minilm-l6", task="bbc_news", examples=200, epochs=3)
    places = Places(results=Path("my cells"), data=Path("data"), models=Path("models"))
    assert command(suite, block, "lora", 0, places=places, again=False) == (
        "autopeft bench quick --data-root data --model-root models --results 'my cells' "
        "--backbones minilm-l6 --tasks bbc_news --methods lora --seeds 0"
    )


def test_places_are_found_or_told(tmp_path: Path) -> None:
    (tmp_path / "subj").mkdir()
    places = Places(results=tmp_path, data=tmp_path, models=tmp_path)
    assert places.data_of("subj") == places.model_of("subj") == str(tmp_path / "subj")
    assert places.data_of("demo:imdb") == "demo:imdb"
    assert places.model_of("FacebookAI/roberta-base") == "FacebookAI/roberta-base"
    with pytest.raises(DataError, match="the data root has no mr"):
        places.data_of("mr")
    with pytest.raises(ModelError, match="the model root has no mpnet-base"):
        places.model_of("mpnet-base")
    bare = Places(results=tmp_path)
    with pytest.raises(DataError, match="--data-root or AUTOPEFT_DATA"):
        bare.data_of("mr")
    with pytest.raises(ModelError, match="--model-root or AUTOPEFT_MODELS"):
        bare.model_of("mpnet-base")
    assert bare.private(f"{tmp_path.resolve()}/x is gone") == "RESULTS/x is gone"
