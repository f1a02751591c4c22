"""One search from beginning to end."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from autopeft import delivery
from autopeft.api import opening, tracking
from autopeft.api.clock import Clock
from autopeft.api.earlier import best_of_runs
from autopeft.api.estimate import (
    delivery_seconds,
    expected_seconds,
    fit_in_memory,
    memory_limit,
)
from autopeft.api.facts import FACTS, command, facts
from autopeft.api.finals import Finals
from autopeft.api.foresight import foresight
from autopeft.api.handover import FreshProcess, hand_over
from autopeft.api.interrupt import Interrupt
from autopeft.api.judge import PERCENT, Judge
from autopeft.api.pool import WORK, Job, Pool, Watcher
from autopeft.api.result import RESULT, ChoiceRecord, SearchResult
from autopeft.api.sitting import Sitting
from autopeft.api.trials import Trials
from autopeft.backbone.checkpoint import digest
from autopeft.backbone.load import find_folder
from autopeft.config import SearchConfig
from autopeft.data.source import Source
from autopeft.errors import AutoPeftError, NoCandidateError
from autopeft.methods import feasible_methods
from autopeft.methods.packing import pack_key
from autopeft.records import BackboneShape, TrialRecord, TrialState
from autopeft.report.failures import failures
from autopeft.report.leaderboard import leaderboard
from autopeft.report.screen import LoggedScreen, Screen
from autopeft.report.table import as_csv
from autopeft.search.front import front_of
from autopeft.search.portfolio import fitted, portfolio, references
from autopeft.search.rungs import rungs_of
from autopeft.search.space import Space
from autopeft.search.study import Search
from autopeft.store import RunFolder, TrialStore
from autopeft.supervisor import Supervisor
from autopeft.tasks.metric import METRICS

DEFAULT_TRIALS = 30

PAGE_SECONDS = 2.0
"""What is kept of a time limit for writing the page."""


class Searching:
    """A search in its run folder; `run` does it, `close` gives the folder back.

    Args:
        data: whatever `autopeft.data.load.load` takes, or the name of a demo.
        config: the settings.
        screen: shows what happens.
    """

    def __init__(self, data: Any, config: SearchConfig, screen: Screen) -> None:
        self.started = time.monotonic()
        self.screen = LoggedScreen(screen)
        self._command = command(data, config)
        self.config = opening.settle(data, config)
        if self.config.logger is not None:
            tracking.require(self.config.logger)
        assert self.config.model is not None
        self.model = opening.model_name(self.config.model)
        self._stack = contextlib.ExitStack()
        self._supervisor = self._stack.enter_context(Supervisor(WORK))
        self._interrupt = self._stack.enter_context(Interrupt())
        self._pool = Pool(
            self._supervisor,
            self._setting,
            opening.environments(self.config.workers),
            self._interrupt.check,
        )
        try:
            self._open(data)
        except BaseException:
            self.close()
            raise

    def _open(self, data: Any) -> None:
        """Settle everything that can be wrong before anything is trained."""
        self._pool.launch()  # imports while the data is read
        self.source: Source
        self.source, self.prepared, self.space = opening.read(data, self.config, self.screen)
        model_digest = digest(find_folder(self.model))
        self.earlier = best_of_runs(self.config.learn_from or ())
        self.folder: RunFolder = self._stack.enter_context(
            opening.open_folder(
                self.config,
                self.source,
                self.prepared,
                self.space,
                model_digest=model_digest,
                earlier=self.earlier,
            )
        )
        self._interrupt.orderly = True
        self.screen.open_log(self.folder.path / "events.log")
        self._stack.callback(self.screen.close_log)
        self._higher = METRICS.get(self.prepared.problem.metric).higher_is_better
        self.trials: TrialStore = self.folder.trials(higher_is_better=self._higher)

    def close(self) -> None:
        """End the workers, give the folder back, restore signal handlers."""
        if self.config.debug and hasattr(self, "folder") and self.path.is_dir():
            shutil.copytree(self._supervisor.logs, self.path / "logs", dirs_exist_ok=True)
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path.resolve()

    def run(self) -> SearchResult:
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
        clock = Clock(
            limit_seconds=self.config.time_limit,
            spent_seconds=float(self.trials.study.user_attrs.get("seconds", 0.0))
            + time.monotonic()
            - self.started,
        )

        def save() -> None:
            self.trials.study.set_user_attr("seconds", clock.elapsed_seconds)

        try:
            about, space = self.narrowed()
        except AutoPeftError:
            if not self.trials.records():  # nothing to come back to
                self.folder.remove()
            raise
        with self._reporting():
            clock.delivery_seconds = delivery_seconds(about, len(self.prepared.test)) + PAGE_SECONDS
            for reference in references(space).values():
                clock.expected_seconds = expected_seconds(reference, about)
            search = Search(
                trials=self.trials,
                space=space,
                higher_is_better=self._higher,
                seed=self.config.seed,
                max_trials=self._max_trials(),
                rungs=rungs_of(space.least_steps(len(self.prepared.train))),
                limit=memory_limit(about, space, self.config.max_memory),
                first=portfolio(space, self.earlier),
            )
            for record in search.lost:
                self.screen.say(f"resumed trial {record.number} was interrupted: tried once more")
            if self.earlier:
                taught = len(list(fitted(self.earlier, space)))
                self.screen.say(f"search  {taught} candidates of earlier runs come first")
            self.screen.phase("search", self._max_trials())
            sitting = Sitting(
                trials=self.trials,
                clock=clock,
                screen=self.screen,
                folder=self.path,
                higher_is_better=self._higher,
                save=save,
                tell=self._tracker(),
                pack_size=int(about["plan"].get("pack", 1)),
                pack_key=partial(pack_key, shape=BackboneShape.from_json(about["shape"])),
                pack_fits=lambda some: fit_in_memory(some, space, about, self.config.max_memory),
            )
            until = self.config.until == "converged"
            Trials(search, sitting, until_converged=until).run(self._pool)
            if search.ended:
                self.screen.say(f"search  {search.ended}")
            for line in self._foresight():
                self.screen.say(f"search  {line}")
            self._refuse_nothing()
            judge = self._judge(space)
            finals = Finals(sitting, judge)
            finals.run(self._pool)
            if finals.skipped:
                self.screen.say(
                    f"choice  {finals.skipped} replicates of finalists left out: no time for them"
                )
            self._pool.close()
            shutil.rmtree(self.path / "frozen", ignore_errors=True)
            self.screen.phase("choice and delivery")
            choice = self._deliver(finals.finalists(), judge, about)
            save()
            return self._result(choice)

    def _setting(self) -> dict[str, Any]:
        """Return the order that opens a worker's session."""
        return {
            "op": "open",
            "data": str(self.path / "data"),
            "frozen": str(self.path / "frozen"),
            "model": self.model,
            "task": self.prepared.problem.task,
            "labels": list(self.prepared.problem.labels),
            "metric": self.prepared.problem.metric,
            "max_length": self.config.max_length or opening.MOST_TOKENS,
            "plan": self.folder.read_json("plan.json") or (self._pool.about or {}).get("plan"),
            "threads": opening.threads(self._pool.size),
        }

    def narrowed(self) -> tuple[dict[str, Any], Space]:
        """Open the first worker; return what it found and the space narrowed to it.

        Raises:
            NoCandidateError: nothing is feasible on this backbone within the budget.
        """
        about = self._pool.open()
        if self.folder.read_json("plan.json") is None:
            self.folder.write_json("plan.json", about["plan"])
        known = facts(self.source, self.prepared, about, self.model, self._command)
        self.folder.write_json(FACTS, known)
        shape = BackboneShape.from_json(about["shape"])
        plan = about["plan"]
        self.screen.say(
            f"model   {shape.architecture}, {shape.layers} layers × {shape.hidden}, "
            f"{shape.total_params:,} parameters"
        )
        self.screen.say(
            f"device  {about['device']}, {plan['dtype']} backbone, {plan['attention']} attention"
        )
        for note in about["notes"]:
            self.screen.say(f"model   {note}")
        if about["truncated"]:
            self.screen.say(
                f"data    {about['truncated']:,} of {sum(about['rows']):,} texts are longer than "
                f"{about['max_length']} tokens and were cut"
            )
        excluded = feasible_methods(shape, about["longest"])[1]
        asked = self.config.methods or tuple(self.space.methods)
        for method in asked:
            if method in excluded:
                self.screen.say(f"methods {method} is left out: {excluded[method]}")
        space = self.space.restrict(
            shape=shape,
            methods=self.config.methods,
            excluded=excluded,
            max_params=self.config.max_params,
        )
        return about, space

    def _tracker(self) -> Callable[[TrialRecord], None]:
        if self.config.logger is None:
            return lambda _: None
        metric = self.prepared.problem.metric
        return tracking.Tracker(self.config.logger, self.path, metric, self.screen.say).record

    def train(self, job: Job, watcher: Watcher) -> None:
        """Train one candidate outside any search; `narrowed` comes first."""
        self._pool.run(iter([[job]]), watcher)

    def _max_trials(self) -> int | None:
        limits = (self.config.trials, self.config.time_limit, self.config.until)
        if all(limit is None for limit in limits):
            return DEFAULT_TRIALS
        return self.config.trials

    def _refuse_nothing(self) -> None:
        """Raise if no training came to its end."""
        records = self.trials.records()
        if not any(record.state is TrialState.COMPLETE for record in records):
            causes = "\n".join(f"  - {line}" for line in self.failures())
            raise NoCandidateError(f"no training came to its end:\n{causes}\nSee {self.path}")

    def _foresight(self) -> list[str]:
        return foresight(
            self.trials.records(),
            higher_is_better=self._higher,
            percent=self.prepared.problem.metric in PERCENT,
            workers=self._pool.size,
        )

    def _judge(self, space: Space) -> Judge:
        return Judge(
            trials=self.trials,
            folder=self.path,
            problem=self.prepared.problem,
            space=space,
            targets=np.asarray(self.prepared.selection["label"]),
            train_targets=np.asarray(self.prepared.train["label"]),
            within=self.config.within,
            references_eligible=self.config.methods is None,
            seed=self.config.seed,
        )

    def _deliver(
        self, final: list[TrialRecord], judge: Judge, about: dict[str, Any]
    ) -> ChoiceRecord:
        fresh = FreshProcess(self._interrupt.check)
        try:
            problem = self.prepared.problem
            choice = judge.choose(final)
            runs = [run for record in final for run in (record, *self._replicates(record))]
            return hand_over(
                choice,
                run=self.path,
                data=self.path / "data",
                prepared=self.prepared,
                about=delivery.About(
                    model=self.model,
                    task=problem.task,
                    labels=tuple(problem.labels),
                    text=problem.columns.text,
                    text_pair=problem.columns.text_pair,
                    max_length=about["max_length"],
                    method="",
                ),
                title=self.source.name,
                versions=opening.versions(),
                records={record.number: record for record in final},
                selection_scores={
                    (run.number, run.seed): run.score for run in runs if run.score is not None
                },
                fresh=fresh,
                merge=self.config.merge,
                screen=self.screen,
            )
        finally:
            fresh.close()

    def _replicates(self, record: TrialRecord) -> list[TrialRecord]:
        return self.trials.replicates(record.number)

    def _finished_result(self) -> SearchResult | None:
        """Return the result of a run that is done and was asked for no more."""
        kept = self.folder.read_json(RESULT)
        if kept is None or kept["asked"] != self._asked():
            return None
        return self._result(ChoiceRecord.from_json(kept["choice"]))

    def _asked(self) -> dict[str, Any]:
        return {
            "trials": self._max_trials(),
            "time_limit": self.config.time_limit,
            "within": self.config.within,
            "merge": self.config.merge,
            **({"until": self.config.until} if self.config.until else {}),
        }

    def _result(self, choice: ChoiceRecord) -> SearchResult:
        self.folder.write_json(
            RESULT, {"asked": self._asked(), "choice": dataclasses.asdict(choice)}
        )
        records = self.trials.records()
        return SearchResult(
            folder=self.path,
            choice=choice,
            records=tuple(records),
            front=tuple(front_of(records, self._higher)),
            higher_is_better=self._higher,
        )

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Write the leaderboard and the page whatever happens."""
        try:
            yield
        finally:
            (self.path / "leaderboard.csv").write_text(as_csv(self.rows()), encoding="utf-8")
            self._write_page()

    def _write_page(self) -> None:
        """Write the page of the run; whatever is amiss with it, the result stands."""
        try:
            from autopeft.api.page import PAGE, write_page  # a library of the page may be amiss

            write_page([self.path], self.path / PAGE)
        except Exception as error:
            self.screen.say(f"warning: no report.html: {type(error).__name__}: {error}")

    def rows(self) -> list[dict[str, object]]:
        """Return the leaderboard so far."""
        records = self.trials.records()
        return leaderboard(
            records,
            metric=self.prepared.problem.metric,
            higher_is_better=self._higher,
            front=[record.number for record in front_of(records, self._higher)],
            replicates={record.number: self._replicates(record) for record in records},
        )

    def failures(self) -> list[str]:
        """Return a line per cause of failure."""
        return failures(self.trials.records())
