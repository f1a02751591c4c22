"""The numbers of failed-ideas.md: each idea put in place of what is used, on made-up curves.

python docs/failed_ideas.py

No training: curves and costs come from `tests.search.made_up`, so it takes half a minute.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import optuna
from optuna.trial import TrialState

from autopeft.methods import METHODS
from autopeft.records import Candidate, Cause
from autopeft.search import front, rungs, study
from autopeft.search.front import Point
from autopeft.search.load import load_space, method_space
from autopeft.search.portfolio import hand_made
from autopeft.search.rungs import Entry, decide
from autopeft.search.space import Space
from autopeft.search.study import Search
from autopeft.store import TrialStore
from tests.search.made_up import backbone, evaluate

SEEDS = 5
TRIALS = 60
RUNGS = 5_000


def main() -> None:
    """Print one line per idea and variant."""
    for name, rule in (("area", front.contribution), ("crowding", crowding)):
        print(f"rungs by {name}: {reversals(rule)} of {RUNGS} better scores stopped")
    print(f"head_only in the space: {head_share():.0%} of the suggestions")
    for told_as_fail in (True, False):
        for given_up in (False, True):
            share = failing_share(told_as_fail=told_as_fail, given_up=given_up)
            told = "FAIL" if told_as_fail else "infeasible"
            also = ", and given up after three" if given_up else ""
            print(f"failures told as {told}{also}: {share:.0%} of the last 30 trials")


def crowding(point: Point, members: Sequence[Point], *, floor: float) -> float:
    """Return the crowding distance of NSGA-II (Deb et al., 2002) within the front."""
    del floor
    every = [point, *members]
    total = 0.0
    for axis in ("gain", "size"):
        values = sorted(getattr(p, axis) for p in every)
        place, spread = values.index(getattr(point, axis)), values[-1] - values[0]
        if place in (0, len(values) - 1):
            return math.inf
        total += (values[place + 1] - values[place - 1]) / spread if spread else 0.0
    return total


def reversals(rule: Callable[..., float]) -> int:
    """Return for how many random rungs a better score turns "go on" into "stop"."""
    draw, count = random.Random(0), 0
    with mock.patch.object(rungs, "contribution", rule):
        for _ in range(RUNGS):
            others = [_entry(draw) for _ in range(20)]
            newcomer = _entry(draw)
            better = Entry(
                gain=newcomer.gain + 0.1 * draw.random(), size=newcomer.size, family="scale"
            )
            before, after = (decide(e, others, rung=1, head=0.5) for e in (newcomer, better))
            count += before and not after
    return count


def _entry(draw: random.Random) -> Entry:
    """Return a trial near a front on which more parameters score better."""
    size = draw.uniform(3, 6)
    gain = 0.5 + 0.07 * size + 0.03 * draw.random()
    return Entry(gain=gain, size=size, family="scale")


def head_share() -> float:
    """Return the share of TPE's suggestions that are the head alone, if the space has it."""
    space = _space()
    head = method_space(METHODS.get("head_only"), {}, {"epochs": 3})
    wide = Space(source="made up", methods={**space.methods, "head_only": head}, shape=space.shape)
    asked: Counter[str] = Counter()
    for seed in range(SEEDS):
        search = _search(wide, seed)
        for proposal in search.candidates():
            evaluate(search, proposal)
        trials = [t for t in search.trials.all() if "method" in t.params]
        asked.update(trial.params["method"] for trial in trials)
    return asked["head_only"] / asked.total()


def failing_share(*, told_as_fail: bool, given_up: bool) -> float:
    """Return the share of the last 30 trials that go to LoRA if it always fails.

    Args:
        told_as_fail: tell Optuna FAIL, which its samplers do not see, in place of infeasible.
        given_up: whether a method that always failed is no longer proposed.
    """
    methods: Counter[str] = Counter()
    with mock.patch.object(study, "HOPELESS", study.HOPELESS if given_up else TRIALS):
        for seed in range(SEEDS):
            search = _search(_space(), seed)
            if told_as_fail:
                _tell_as_fail(search.trials)
            for proposal in search.candidates():
                evaluate(search, proposal, fails=_lora_fails)
            methods.update(r.candidate.method for r in search.trials.records()[-30:])
    return methods["lora"] / methods.total()


def _lora_fails(candidate: Candidate) -> Cause | None:
    return Cause.BUG if candidate.method == "lora" else None


def _tell_as_fail(trials: TrialStore) -> None:
    tell, worst = trials._tell, trials._worst()

    def swallow(number: int, state: Any, values: list[float] | None) -> None:
        failed = values is not None and values[0] == worst
        tell(number, TrialState.FAIL if failed else state, None if failed else values)

    mock.patch.object(trials, "_tell", swallow).start()
    mock.patch.object(trials, "_constrain", lambda *_: None).start()


def _search(space: Space, seed: int) -> Search:
    trials = TrialStore(optuna.create_study(directions=["maximize", "minimize"]))
    return Search(
        trials=trials,
        space=space,
        higher_is_better=True,
        seed=seed,
        first=list(hand_made(space)),
        max_trials=TRIALS,
    )


def _space() -> Space:
    return load_space("default").restrict(shape=backbone())


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    main()
