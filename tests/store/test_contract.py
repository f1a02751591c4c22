"""The run folder keeps the contract of storages, and the contract notices what does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest

from autopeft.store import RunFolder, TrialStore
from autopeft.testing.store_suite import CHECKS, StoreContract


def run_folder(place: Path, identity: Mapping[str, Any]) -> RunFolder:
    return RunFolder.open(place, identity=identity)


@pytest.mark.parametrize("check", CHECKS)
def test_contract(tmp_path: Path, check: str) -> None:
    getattr(StoreContract(run_folder), check)(tmp_path)


class Careless:
    """A run that keeps its trials in memory, takes any writer, and knows one direction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.study = optuna.create_study(directions=["maximize", "minimize"])

    def trials(self, *, higher_is_better: bool) -> TrialStore:
        return TrialStore(self.study)


@contextmanager
def careless(place: Path, identity: Mapping[str, Any]) -> Iterator[Careless]:
    place.mkdir(exist_ok=True)
    yield Careless(place)


@contextmanager
def without_wait(place: Path, identity: Mapping[str, Any]) -> Iterator[RunFolder]:
    """A storage that drops what waits in the queue."""
    with RunFolder.open(place, identity=identity) as run:
        yield run
        trials = run.trials(higher_is_better=True)
        for trial in trials.all():
            if not trial.state.is_finished():
                trials.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


BROKEN: dict[str, Callable[..., Any]] = {
    "check_records_come_back": careless,
    "check_direction_is_kept": careless,
    "check_replicates_are_apart": careless,
    "check_one_writer": careless,
    "check_another_run_is_refused": careless,
    "check_a_moved_run_opens": careless,
    "check_a_killed_supervisor_loses_nothing": without_wait,
}


@pytest.mark.parametrize("check", BROKEN)
def test_a_storage_that_breaks_the_contract_is_found(tmp_path: Path, check: str) -> None:
    with pytest.raises(AssertionError):
        getattr(StoreContract(BROKEN[check]), check)(tmp_path)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    getattr(StoreContract(run_folder), check)(tmp_path)
