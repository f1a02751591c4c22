"""One search from beginning to end."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from autopeft.api import tracking
from autopeft.api.clock import Clock
from autopeft.api.estimate import (
    delivery_rows,
    finish_seconds,
    fit_in_memory,
    memory_limit,
    most_memory,
    scoring_seconds,
    usual_seconds,
)
from autopeft.api.finals import Finals
from autopeft.api.foresight import foresight
from autopeft.api.handover import FreshProcess, hand_over
from autopeft.api.judge import PERCENT, Judge
from autopeft.api.opened import Opened
from autopeft.api.result import RESULT, ChoiceRecord, SearchResult
from autopeft.api.sitting import Sitting
from autopeft.api.trials import Trials
from autopeft.delivery import ABOUT
from autopeft.errors import AutoPeftError, NoCandidateError
from autopeft.methods.packing import pack_key
from autopeft.records import BackboneShape, TrialRecord, TrialState
from autopeft.search.front import front_of
from autopeft.search.portfolio import fitted, portfolio
from autopeft.search.rungs import rungs_of
from autopeft.search.space import Space
from autopeft.search.study import Search

DEFAULT_TRIALS = 30

PAGE_SECONDS = 2.0
"""What is kept of a time limit for writing the page."""


class Searching:
    """A search in an open run.

    Args:
        opened: the run.
    """

    def __init__(self, opened: Opened) -> None:
        self._run = opened
        self._config, self._trials, self._say = opened.config, opened.trials, opened.screen.say
        self._clock = Clock(
            limit_seconds=self._config.time_limit,
            spent_seconds=float(self._trials.study.user_attrs.get("seconds", 0.0))
            + time.monotonic()
            - opened.started,
        )

    def result(self) -> SearchResult:
        """Search, choose, deliver and report.

        A run that is finished and asked for no more answers at once.

        Raises:
            NoCandidateError: nothing feasible, or every training failed.
            DeliveryError: the delivered model does not reproduce what was measured.
            Interrupted: a signal came; what was finished is kept.
        """
        finished = self._finished_result()
        if finished is not None:
            return finished
        try:
            about, space = self._run.narrowed()
        except AutoPeftError:
            if not self._trials.records() and not self._config.debug:  # nothing to come back to
                self._run.folder.remove()
            raise
        with self._reporting():
            sitting = self._sitting(about, space)
            judge = self._judge(space)
            final = self._search(about, space, sitting, judge)
            self._run.pool.close()
            shutil.rmtree(self._run.path / "frozen", ignore_errors=True)
            self._run.screen.phase("choice and delivery")
            choice = self._deliver(final, judge)
            self._keep_seconds()
            return self._result(choice)

    def _keep_seconds(self) -> None:
        self._trials.keep("seconds", self._clock.elapsed_seconds)

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Write the leaderboard and the page whatever happens."""
        try:
            yield
        finally:
            self._run.report()

    def _sitting(self, about: dict[str, Any], space: Space) -> Sitting:
        """Return what trials and finals share, the clock told what is to come."""
        rows = len(self._run.prepared.test)
        self._clock.delivery_seconds = about["ready_seconds"] + PAGE_SECONDS
        self._clock.delivery_rows = delivery_rows(about, rows, merge=self._config.merge)
        self._clock.scoring_seconds = scoring_seconds(about)
        self._clock.finish_seconds = finish_seconds(about)
        self._clock.expected_seconds = usual_seconds(space, about)
        self._warn_of_short_time()
        return Sitting(
            trials=self._trials,
            clock=self._clock,
            screen=self._run.screen,
            folder=self._run.path,
            higher_is_better=self._run.higher_is_better,
            save=self._keep_seconds,
            tell=self._tracker(),
            pack_size=int(about["plan"].get("pack", 1)),
            pack_key=partial(pack_key, shape=BackboneShape.from_json(about["shape"])),
            pack_fits=lambda some: fit_in_memory(some, space, about, self._most_memory(about)),
            folds=len(self._run.prepared.folds),
        )

    def _warn_of_short_time(self) -> None:
        left, full = self._clock.reference_seconds, self._clock.expected_seconds
        if left is not None and left < full and not self._trials.records():
            self._say(
                f"warning: a training takes about {full:.0f} s here, and the time limit leaves "
                f"{left:.0f} s beside opening and delivery: it will be cut short"
            )

    def _search(
        self, about: dict[str, Any], space: Space, sitting: Sitting, judge: Judge
    ) -> list[TrialRecord]:
        """Propose, train and record until there is no time or nothing to propose.

        Then the finalists race; where that leaves time for further trials, both are done again.

        Returns:
            The finalists.

        Raises:
            NoCandidateError: no training came to its end.
        """
        earlier = self._run.earlier
        search = Search(
            trials=self._trials,
            space=space,
            higher_is_better=self._run.higher_is_better,
            seed=self._config.seed,
            max_trials=self._max_trials(),
            rungs=rungs_of(space.least_steps(len(self._run.prepared.train))),
            limit=memory_limit(about, space, self._most_memory(about)),
            first=portfolio(space, earlier, seen=self._run.seen),
        )
        again = {record.number for record in self._trials.superseded()}
        for record in search.lost:
            fate = "tried once more" if record.number in again else "given up, as so often before"
            self._say(f"resumed trial {record.number} was lost ({record.cause}): {fate}")
        if earlier:
            taught = len(list(fitted(earlier, space)))
            self._say(f"search  {taught} candidates of earlier runs come first")
        self._run.screen.phase("search", self._max_trials())
        until = self._config.until == "converged"
        trials = Trials(search, sitting, until_converged=until)
        trials.run(self._run.pool)
        if not any(record.state is TrialState.COMPLETE for record in self._trials.records()):
            lost = self._run.failures() or ["the time limit cut every training short"]
            causes = "\n".join(f"  - {line}" for line in lost)
            raise NoCandidateError(f"no training came to its end:\n{causes}\nSee {self._run.path}")
        final = self._race(sitting, judge)
        while trials.goes_on:
            self._run.screen.phase("search in the time left", self._max_trials())
            trials.run(self._run.pool)
            final = self._race(sitting, judge)
        if search.ended:
            self._say(f"search  {search.ended}")
        for line in self._foresight():
            self._say(f"search  {line}")
        return final

    def _race(self, sitting: Sitting, judge: Judge) -> list[TrialRecord]:
        """Train the finalists under further seeds; return them."""
        finals = Finals(sitting, judge)
        finals.run(self._run.pool)
        if finals.skipped:
            self._say(
                f"choice  {finals.skipped} replicates of finalists left out: no time for them"
            )
        return finals.finalists()

    def _tracker(self) -> Callable[[TrialRecord], None]:
        if self._config.logger is None:
            return lambda _: None
        metric = self._run.prepared.problem.metric
        return tracking.Tracker(self._config.logger, self._run.path, metric, self._say).record

    def _max_trials(self) -> int | None:
        limits = (self._config.trials, self._config.time_limit, self._config.until)
        if all(limit is None for limit in limits):
            return DEFAULT_TRIALS
        return self._config.trials

    def _most_memory(self, about: dict[str, Any]) -> int | None:
        return most_memory(about, self._config.max_memory, self._run.pool.size)

    def _foresight(self) -> list[str]:
        return foresight(
            self._trials.records(),
            higher_is_better=self._run.higher_is_better,
            percent=self._run.prepared.problem.metric in PERCENT,
            workers=self._run.pool.size,
        )

    def _judge(self, space: Space) -> Judge:
        prepared = self._run.prepared
        return Judge(
            trials=self._trials,
            folder=self._run.path,
            problem=prepared.problem,
            space=space,
            targets=[np.asarray(fold.selection["label"]) for fold in prepared.folds],
            train_targets=np.asarray(prepared.train["label"]),
            within=self._config.within,
            references_eligible=self._config.methods is None,
            seed=self._config.seed,
        )

    def _deliver(self, final: list[TrialRecord], judge: Judge) -> ChoiceRecord:
        path = self._run.path
        with contextlib.closing(FreshProcess(self._run.interrupt.check)) as fresh:
            choice = judge.choose(final)
            runs = [r for one in final for r in (one, *self._trials.replicates(one.number))]
            return hand_over(
                choice,
                run=path,
                data=path / "data",
                prepared=self._run.prepared,
                about=self._run.about_delivery(method=""),
                title=self._run.source.name,
                records={record.number: record for record in final},
                selection_scores={
                    (run.number, run.seed): run.score for run in runs if run.score is not None
                },
                fresh=fresh,
                merge=self._config.merge,
                screen=self._run.screen,
            )

    def _finished_result(self) -> SearchResult | None:
        """Return the result of a run that is done and was asked for no more."""
        kept = self._run.folder.read_json(RESULT)
        delivered = (self._run.path / "best" / ABOUT).is_file()
        if kept is None or kept["asked"] != self._asked() or not delivered:
            return None
        return self._result(ChoiceRecord.from_json(kept["choice"]))

    def _asked(self) -> dict[str, Any]:
        return {
            "trials": self._max_trials(),
            "time_limit": self._config.time_limit,
            "within": self._config.within,
            "merge": self._config.merge,
            **({"until": self._config.until} if self._config.until else {}),
        }

    def _result(self, choice: ChoiceRecord) -> SearchResult:
        self._run.folder.write_json(
            RESULT, {"asked": self._asked(), "choice": dataclasses.asdict(choice)}
        )
        records = self._trials.records()
        return SearchResult(
            folder=self._run.path,
            choice=choice,
            records=tuple(records),
            front=tuple(
                front_of(records, self._run.higher_is_better, self._trials.all_replicates())
            ),
            higher_is_better=self._run.higher_is_better,
        )
