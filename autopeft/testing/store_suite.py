"""The contract that every storage keeps: nothing lost, nothing told wrongly, one writer.

Third parties run it on a storage of theirs, given a function that opens a run in it:

    contract = StoreContract(lambda place, identity: RunFolder.open(place, identity=identity))
    for check in CHECKS:
        getattr(contract, check)(tmp_path)

Each check wants an empty folder and raises AssertionError with a sentence.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from autopeft.errors import RunFolderError
from autopeft.records import (
    Candidate,
    Cause,
    Costs,
    Placement,
    RungPoint,
    TrialRecord,
    TrialState,
)
from autopeft.store import TrialStore
from autopeft.store.trials import MAX_ATTEMPTS, waiting

CANDIDATE = Candidate(
    method="lora",
    learning_rate=2e-3,
    epochs=3,
    knobs={"r": 8, "alpha": 0.1, "rslora": False, "start": "zéro"},
    placement=Placement(sites=("attn.q", "attn.v"), layers="top:2"),
)
IDENTITY = {"data": {"digest": "abc", "rows": 10}, "seed": 0, "space": "非常 / \"quoted\" 'x'"}
LONG = "line\n" * 50_000 + "Σ 🙂 \x1b[31m\t<script>'\";--"


class Run(Protocol):
    """An opened run."""

    @property
    def path(self) -> Path: ...

    def trials(self, *, higher_is_better: bool) -> TrialStore: ...


Open = Callable[[Path, Mapping[str, Any]], AbstractContextManager[Run]]


class StoreContract:
    """One storage, opened, closed and opened again in empty folders.

    Args:
        open_run: from a place and the identity of a run, the run opened for writing; it raises
            `RunFolderError` where another run lives or another writer is at work.
    """

    def __init__(self, open_run: Open) -> None:
        self._open = open_run

    def check_records_come_back(self, folder: Path) -> None:
        """Whatever a record holds: nothing, everything, other scripts, a long message."""
        records = {
            "complete": _record(score=0.1 + 0.2, metrics={"mcc": -1 / 3}, artifact="trials/0-0"),
            "stopped": _record(state=TrialState.STOPPED),
            "failed": _record(state=TrialState.FAILED, cause=Cause.BUG, message=LONG),
            "bare": replace(_record(score=0.0), costs=Costs(trainable_params=0)),
        }
        kept = []
        with self._open(folder / "run", IDENTITY) as run:
            trials = run.trials(higher_is_better=True)
            for record in records.values():
                kept.append(replace(record, number=_begin(trials)))
                assert not trials.conclude(kept[-1]), f"{record.state} is to be begun again"
            _same(trials.records(), kept, "at once")
        with self._open(folder / "run", IDENTITY) as run:
            _same(run.trials(higher_is_better=True).records(), kept, "opened again")

    def check_states_are_told(self, folder: Path) -> None:
        """A sampler sees what was finished, stopped and failed as that, and nothing running."""
        with self._open(folder / "run", IDENTITY) as run:
            trials = run.trials(higher_is_better=True)
            trials.conclude(replace(_record(score=0.5), number=_begin(trials)))
            trials.conclude(replace(_record(state=TrialState.STOPPED), number=_begin(trials)))
            fault = _record(state=TrialState.FAILED, cause=Cause.NON_FINITE)
            trials.conclude(replace(fault, number=_begin(trials)))
            running = _begin(trials)
            states = [trial.state.name for trial in trials.all()]
            assert states == ["COMPLETE", "PRUNED", "COMPLETE", "RUNNING"], states
            best = [trial.number for trial in trials.study.best_trials]
            assert best == [0], f"the front is {best}: a failure is no part of it"
            assert trials.records()[running].state is TrialState.RUNNING

    def check_direction_is_kept(self, folder: Path) -> None:
        """Where less is better, the smaller score is on the front."""
        with self._open(folder / "run", IDENTITY) as run:
            trials = run.trials(higher_is_better=False)
            for score in (0.9, 0.2):
                trials.conclude(replace(_record(score=score), number=_begin(trials)))
            assert [trial.values[0] for trial in trials.study.best_trials] == [0.2]

    def check_curves_grow(self, folder: Path) -> None:
        """Points of a trial that still runs are there at once, in the order of the rungs."""
        points = [
            RungPoint(rung=rung, share=(rung + 1) / 3, score=rung / 7, wall_seconds=0.5)
            for rung in range(3)
        ]
        with self._open(folder / "run", IDENTITY) as run:
            trials = run.trials(higher_is_better=True)
            number = _begin(trials)
            for point in reversed(points):
                trials.point(number, point)
            assert trials.records()[0].curve == tuple(points)
            done = replace(_record(score=0.3), number=number, curve=())
            trials.conclude(done)
            assert trials.records()[0].curve == tuple(points), "the curve was lost at the end"

    def check_second_chances_take_the_place(self, folder: Path) -> None:
        """A stopped trial that is begun again no longer counts, and its second attempt does."""
        with self._open(folder / "run", IDENTITY) as run:
            trials = run.trials(higher_is_better=True)
            first = _begin(trials)
            curve = (RungPoint(rung=0, share=0.1, score=0.5, wall_seconds=0.5),)
            stopped = replace(_record(state=TrialState.STOPPED), number=first, curve=curve)
            trials.conclude(stopped)
            assert not trials.has_second_chance(first)
            trials.give_second_chance(first)
            assert [waiting(trial) for trial in trials.standing()] == [True]
            second = int(trials.study.ask().number)
            assert trials.has_second_chance(second)
            proposal = trials.all()[second].user_attrs["proposal"]
            assert proposal["candidate"] == CANDIDATE.to_json()
            done = replace(_record(score=0.5), number=second)
            trials.conclude(done)
            _same(trials.records(), [done], "after the second attempt")
            assert [record.number for record in trials.superseded()] == [first]

    def check_replicates_are_apart(self, folder: Path) -> None:
        """Further seeds of a finalist come back by seed; no sampler takes them for trials."""
        with self._open(folder / "run", IDENTITY) as run:
            trials = run.trials(higher_is_better=True)
            number = _begin(trials)
            first = replace(_record(score=0.5), number=number)
            trials.conclude(first)
            again = [replace(first, seed=seed, score=seed / 10) for seed in (2, 1)]
            for record in again:
                trials.replicate(record)
            assert len(trials.all()) == 1
        with self._open(folder / "run", IDENTITY) as run:
            found = run.trials(higher_is_better=True).replicates(number)
            _same(found, again[::-1], "as replicates")
            assert run.trials(higher_is_better=True).replicates(number + 1) == []

    def check_a_killed_supervisor_loses_nothing(self, folder: Path) -> None:
        """What ran is begun again, what was written is told, and nothing is left running."""
        with self._open(folder / "run", IDENTITY) as run:
            trials = run.trials(higher_is_better=True)
            lost, written = _begin(trials), _begin(trials)
            done = replace(_record(score=0.7), number=written)
            trials.note(written, "record", done.to_json())
        with self._open(folder / "run", IDENTITY) as run:
            trials = run.trials(higher_is_better=True)
            assert [record.number for record in trials.recover()] == [lost]
            assert trials.recover() == [], "recovery is not done once it is done"
            _same(trials.records(), [done], "after recovery")
            assert [record.cause for record in trials.superseded()] == [Cause.INTERRUPTED]
            states = [trial.state.name for trial in trials.all()]
            assert states.count("WAITING") == 1 and "RUNNING" not in states, states
            again = trials.all()[trials.study.ask().number]
            assert again.user_attrs["proposal"]["candidate"] == CANDIDATE.to_json()

    def check_attempts_are_bounded(self, folder: Path) -> None:
        """A candidate whose worker dies is begun once more, an interrupted one a few times."""
        with self._open(folder / "run", IDENTITY) as run:
            trials = run.trials(higher_is_better=True)
            death = _record(state=TrialState.FAILED, cause=Cause.WORKER_DIED)
            assert trials.conclude(replace(death, number=_begin(trials)))
            again = int(trials.study.ask().number)
            assert not trials.conclude(replace(death, number=again)), "begun a third time"
            _begin(trials)
            for attempt in range(1, MAX_ATTEMPTS):
                assert len(trials.recover()) == 1, f"given up after {attempt} attempts"
                trials.study.ask()
            trials.recover()
            waiting = [t for t in trials.all() if t.state.name == "WAITING"]
            assert not waiting, f"begun more than {MAX_ATTEMPTS} times"

    def check_one_writer(self, folder: Path) -> None:
        """A second one is refused while the first is there, not afterwards; nothing is lost."""
        with self._open(folder / "run", IDENTITY) as run:
            number = _begin(run.trials(higher_is_better=True))
            _refused(self._open, folder / "run", IDENTITY, "a second writer was let in")
            assert len(run.trials(higher_is_better=True).records()) == 1
        with self._open(folder / "run", IDENTITY) as run:
            assert run.trials(higher_is_better=True).records()[0].number == number

    def check_another_run_is_refused(self, folder: Path) -> None:
        """And told by what differs; the run that is there stays as it is."""
        with self._open(folder / "run", IDENTITY) as run:
            _begin(run.trials(higher_is_better=True))
        said = _refused(self._open, folder / "run", {**IDENTITY, "seed": 1}, "another run let in")
        assert "seed" in said and "rows" not in said, said
        with self._open(folder / "run", IDENTITY) as run:
            assert len(run.trials(higher_is_better=True).records()) == 1

    def check_a_moved_run_opens(self, folder: Path) -> None:
        """Under any name, with all records and room for more."""
        with self._open(folder / "run", IDENTITY) as run:
            trials = run.trials(higher_is_better=True)
            done = replace(_record(score=0.5), number=_begin(trials))
            trials.conclude(done)
        moved = folder / "un autre, 100%" / "q?x#y & z"
        moved.parent.mkdir()
        shutil.move(folder / "run", moved)
        with self._open(moved, IDENTITY) as run:
            trials = run.trials(higher_is_better=True)
            _same(trials.records(), [done], "after moving")
            assert _begin(trials) == done.number + 1


CHECKS = tuple(name for name in vars(StoreContract) if name.startswith("check_"))
"""Names of all checks of the contract, in the order of the file."""


def _begin(trials: TrialStore, origin: str = "tpe") -> int:
    """Queue a proposal and begin it; return its number."""
    trials.enqueue(
        {
            "candidate": CANDIDATE.to_json(),
            "seed": 0,
            "origin": origin,
            "params": {"method": "lora"},
            "trainable_params": 99,
        }
    )
    return int(trials.study.ask().number)


def _record(**values: Any) -> TrialRecord:
    known: dict[str, Any] = {
        "number": 0,
        "candidate": CANDIDATE,
        "seed": 0,
        "state": TrialState.COMPLETE,
        "origin": "tpe",
        "costs": Costs(
            trainable_params=2**40,
            head_params=2,
            artifact_bytes=3,
            peak_memory_bytes=4,
            train_seconds=0.5,
            latency_seconds=1e-9,
        ),
    }
    return TrialRecord(**{**known, **values})


def _same(found: list[TrialRecord], expected: list[TrialRecord], when: str) -> None:
    assert len(found) == len(expected), f"{len(found)} records instead of {len(expected)} {when}"
    for one, other in zip(found, expected, strict=True):
        assert one == other, f"{when}: {one!r:.500} instead of {other!r:.500}"


def _refused(open_run: Open, place: Path, identity: Mapping[str, Any], otherwise: str) -> str:
    """Return what the storage says when it refuses."""
    try:
        with open_run(place, identity):
            pass
    except RunFolderError as error:
        return str(error)
    raise AssertionError(otherwise)
