"""The gates of a mixture as a guide: what is open is proposed, and the search tries it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from autopeft.methods import METHODS
from autopeft.methods.hardening import Means
from autopeft.methods.mixture import kind_of
from autopeft.records import Candidate
from benchmarks.search.gate_ranks import seen
from benchmarks.search.policies import ENTRANTS
from benchmarks.search.policies.gates import ALONE, gates_of, opened, proposals
from benchmarks.search.policies.learned import Knowledge
from benchmarks.search.recorded import Table
from benchmarks.search.replay import replay
from benchmarks.table.candidates import table_space
from tests.benchmarks.made_up import BACKBONE, Score, table
from tests.search.made_up import final_score

SPACE = table_space(BACKBONE)
UNIPELT = SPACE.default_of("unipelt")
LAYERS = BACKBONE.shape.layers


def gates(open_kind: str, layers: set[int]) -> Means:
    """Return gates of UniPELT: one kind is open in these layers, all else nearly closed."""
    recipe = METHODS.get("unipelt").recipe
    assert recipe is not None
    places = {
        (part.layer, kind_of(part))
        for part in recipe(BACKBONE.shape, UNIPELT.placement, UNIPELT.knobs)
    }
    return {
        (layer, kind): 0.9 if kind == open_kind and layer in layers else 0.1
        for layer, kind in sorted(places)
    }


def gated_table(means: Means, score: Score = final_score) -> Table:
    made = table(score)
    rows = tuple(
        replace(row, trainings=tuple(replace(one, gates=means) for one in row.trainings))
        if row.candidate.fingerprint == UNIPELT.fingerprint
        else row
        for row in made.rows
    )
    return replace(made, rows=rows)


def test_the_most_open_method_comes_first_in_its_layers() -> None:
    top = {LAYERS - 1}
    found = proposals(UNIPELT, gates("serial", top), SPACE)
    assert found[0].method == "pfeiffer"
    assert found[0].placement is not None
    assert found[0].placement.layers == "top:1"
    assert all(one in SPACE for one in found)
    assert len({one.fingerprint for one in found}) == len(found)


def test_the_rounded_mixture_is_proposed() -> None:
    found = proposals(UNIPELT, gates("lora_q", set(range(LAYERS))), SPACE)
    rounded = next(one for one in found if one.method == "mixture")
    assert rounded.knobs["gates"] == "none"
    assert rounded.knobs["lora"] == 8
    assert rounded.knobs["serial"] == rounded.knobs["prefix"] == 0


def test_parts_of_one_method_count_together() -> None:
    means = {(0, "lora_q"): 0.9, (0, "lora_v"): 0.1, (0, "serial"): 0.6, (1, "serial"): 0.2}
    assert opened(means) == {"lora": {0: 0.5}, "pfeiffer": {0: 0.6, 1: 0.2}}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["serial", "prefix"])
def test_a_search_tries_what_is_open(kind: str) -> None:
    made = gated_table(gates(kind, set(range(LAYERS))))
    assert sum(gates_of(row) is not None for row in made.rows) == 1
    steps = replay(ENTRANTS["ours+gates"].make(made, Knowledge(), 0), made, seed=0, epochs=150)
    tried = [step.row.candidate for step in steps]
    assert tried[2] == UNIPELT
    assert steps[2].epochs - steps[1].epochs == made.epochs  # trained to its end
    wanted = proposals(UNIPELT, gates(kind, set(range(LAYERS))), made.space)[0]
    assert wanted in tried


@pytest.mark.slow
def test_shuffled_gates_propose_otherwise() -> None:
    made = gated_table(gates("prefix", set(range(LAYERS))))

    def tried(name: str, seed: int) -> list[str]:
        policy = ENTRANTS[name].make(made, Knowledge(), seed)
        return [step.row.candidate.fingerprint for step in replay(policy, made, seed=0, epochs=150)]

    assert any(tried("ours+gates", seed) != tried("ours+shuffled", seed) for seed in range(3))


def test_pairs_in_the_order_of_the_gates_are_counted() -> None:
    """Scores grow with the size, and so do these gates; turned round they say the opposite."""

    def by_size(one: Candidate, params: int, seed: int) -> float:
        return 0.5 + 0.06 * math.log10(1 + params)

    layers = set(range(LAYERS))
    sizes = {kind: SPACE.count(SPACE.default_of(ALONE[kind])) for kind in ("serial", "prefix")}
    large, small = sorted(sizes, key=lambda kind: -sizes[kind])
    means = {
        place: {large: 0.9, small: 0.2}.get(place[1], 0.5) for place in gates("serial", layers)
    }
    turned = {place: 1 - mean for place, mean in means.items()}
    agrees, opposes = (next(iter(seen(gated_table(told, by_size)))) for told in (means, turned))
    assert agrees["pairs"] == opposes["pairs"] == agrees["by_gates"] + opposes["by_gates"] > 0
    assert agrees["by_sizes"] == agrees["pairs"]
    assert agrees["by_gates"] > opposes["by_gates"]


def test_a_table_without_gates_says_nothing() -> None:
    assert list(seen(table())) == []
