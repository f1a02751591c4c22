"""A run that is open: its data read, its workers running, its folder held."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autopeft.api import opening, tracking
from autopeft.api.earlier import best_of_runs
from autopeft.api.estimate import TRAININGS, affordable_epochs
from autopeft.api.facts import FACTS, command, facts, how_trained
from autopeft.api.interrupt import Interrupt
from autopeft.api.pool import WORK, Job, Pool, Watcher
from autopeft.api.reading import rows_of
from autopeft.backbone.checkpoint import digest
from autopeft.backbone.load import find_folder
from autopeft.config import SearchConfig
from autopeft.data.source import Source
from autopeft.delivery import About
from autopeft.methods import feasible_methods
from autopeft.records import BackboneShape
from autopeft.report.failures import failures
from autopeft.report.screen import LoggedScreen, Screen
from autopeft.report.table import as_csv
from autopeft.search import other_tasks
from autopeft.search.dimension import ends
from autopeft.search.narrow import lengthen, shorten
from autopeft.search.space import Space
from autopeft.store import RunFolder, TrialStore
from autopeft.store.write import disk_errors, write_text
from autopeft.supervisor import Supervisor
from autopeft.tasks.metric import METRICS

MOST_EPOCHS = "most_epochs"
"""Where the study keeps how long trainings may be since the run began; None for no bound."""


class Opened:
    """A run folder with everything that trains and records in it, until it is closed.

    Opening settles everything that can be wrong before anything is trained.

    Args:
        data: whatever `autopeft.data.load.load` takes, or the name of a demo.
        config: the settings.
        screen: shows what happens.

    Attributes:
        started: when it was opened, on the monotonic clock.
        config: the settings, with what the data says filled in.
        model: folder or hub name of the backbone.
        source: the data as read.
        prepared: the data as split.
        space: what is searched, not yet narrowed to the backbone; see `narrowed`.
        seen: what candidates gained on other tasks.
        earlier: what did best in the runs that this one is to learn from.
        pool: the workers.
        interrupt: turns signals into an orderly end.
        folder: the run folder.
        trials: what it has recorded.
        higher_is_better: the metric's direction.
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
        self.interrupt = self._stack.enter_context(Interrupt())
        self.pool = Pool(
            self._supervisor,
            self._setting,
            opening.environments(self.config.workers),
            self.interrupt.check,
        )
        try:
            self._open(data)
        except BaseException:
            self.close()
            raise

    def _open(self, data: Any) -> None:
        self.pool.launch()  # imports while the data is read
        self.seen = other_tasks.read(left_out=self.config.leave_out)
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
        self.interrupt.orderly = True
        self.screen.open_log(self.folder.path / "events.log")
        self._stack.callback(self.screen.close_log)
        self.higher_is_better = METRICS.get(self.prepared.problem.metric).higher_is_better
        self.trials: TrialStore = self.folder.trials(higher_is_better=self.higher_is_better)

    def close(self) -> None:
        """End the workers, give the folder back, restore signal handlers."""
        with self._stack:
            if self.config.debug and hasattr(self, "folder") and self.path.is_dir():
                with disk_errors(self.path / "logs"):
                    shutil.copytree(self._supervisor.logs, self.path / "logs", dirs_exist_ok=True)

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

    def narrowed(self) -> tuple[dict[str, Any], Space]:
        """Open the first worker; return what it found and the space narrowed to it.

        Raises:
            NoCandidateError: nothing is feasible on this backbone within the budget.
        """
        about = self.pool.open()
        if self.folder.read_json("plan.json") is None:
            self.folder.write_json("plan.json", about["plan"])
        known = facts(self.source, self.prepared, about, self.model, self._command)
        self.folder.write_json(FACTS, known)
        self._introduce(about)
        shape = BackboneShape.from_json(about["shape"])
        excluded = feasible_methods(shape, about["longest"])[1]
        for method in self.config.methods or tuple(self.space.methods):
            if method in excluded:
                self.screen.say(f"methods {method} is left out: {excluded[method]}")
        space = self.space.restrict(
            shape=shape,
            methods=self.config.methods,
            excluded=excluded,
            max_params=self.config.max_params,
        )
        return about, self._shortened(about, self._lengthened(space))

    def _lengthened(self, space: Space) -> Space:
        """Return the space without trainings of so few steps that they could learn nothing."""
        rows = len(self.prepared.train)
        longer = lengthen(space, rows)
        if longer != space:
            least = min(
                int(end)
                for method in longer.methods.values()
                for end in ends(method.dimensions["epochs"])
            )
            self.screen.say(
                f"search  trainings of at least {least} epochs: fewer would be less than "
                f"{space.min_steps} steps on {rows:,} rows"
            )
        return longer

    def _shortened(self, about: dict[str, Any], space: Space) -> Space:
        """Return the space without trainings that are too long for a search in the time limit.

        That is settled once for a run: what its sampler may choose cannot change under way.
        """
        known, limit = self.trials.study.user_attrs, self.config.time_limit
        if MOST_EPOCHS not in known:
            begun = bool(self.trials.records())
            most = None if begun or limit is None else affordable_epochs(space, about, limit)
            self.trials.keep(MOST_EPOCHS, most)
        most = self.trials.study.user_attrs[MOST_EPOCHS]
        shorter = space if most is None else shorten(space, most)
        if shorter != space:
            longest = max(int(method.defaults["epochs"]) for method in shorter.methods.values())
            self.screen.say(
                f"search  trainings of at most {longest} epochs: of longer ones the time limit "
                f"that the run began with holds fewer than {TRAININGS}"
            )
        return shorter

    def _introduce(self, about: dict[str, Any]) -> None:
        """Say what a worker found."""
        shape, plan = BackboneShape.from_json(about["shape"]), about["plan"]
        self.screen.say(
            f"model   {shape.architecture}, {shape.layers} layers × {shape.hidden}, "
            f"{shape.total_params:,} parameters"
        )
        self.screen.say(f"device  {about['device']}, {how_trained(plan)}")
        for note in about["notes"]:
            self.screen.say(f"model   {note}")
        if about["truncated"]:
            self.screen.say(
                f"data    {about['truncated']:,} of {sum(about['rows']):,} texts are longer than "
                f"{about['max_length']} tokens and were cut"
            )

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
            "plan": self.folder.read_json("plan.json") or (self.pool.about or {}).get("plan"),
            "threads": opening.threads(self.pool.size),
        }

    def about_delivery(self, method: str) -> About:
        """Return what a delivered model says of itself; `narrowed` comes first."""
        assert self.pool.about is not None
        problem = self.prepared.problem
        return About(
            model=self.model,
            task=problem.task,
            labels=tuple(problem.labels),
            text=problem.columns.text,
            text_pair=problem.columns.text_pair,
            max_length=self.pool.about["max_length"],
            method=method,
        )

    def train(self, job: Job, watcher: Watcher) -> None:
        """Train one candidate outside any search; `narrowed` comes first."""
        self.pool.run(iter([[job]]), watcher)

    def rows(self) -> list[dict[str, object]]:
        """Return the leaderboard so far."""
        replicates, metric = self.trials.all_replicates(), self.prepared.problem.metric
        return rows_of(self.trials.records(), replicates, metric)

    def failures(self) -> list[str]:
        """Return a line per cause of failure."""
        return failures(self.trials.records())

    def report(self) -> None:
        """Write the leaderboard and the page as they stand.

        Whatever is amiss with them, the result stands, or what ended the run.
        """
        self._write_leaderboard()
        self._write_page()

    def _write_leaderboard(self) -> None:
        with _warning_without("leaderboard.csv", self.screen):
            write_text(self.path / "leaderboard.csv", as_csv(self.rows()))

    def _write_page(self) -> None:
        with _warning_without("report.html", self.screen):
            from autopeft.api.page import PAGE, write_page  # a library of the page may be amiss

            write_page([self.path], self.path / PAGE)


@contextlib.contextmanager
def _warning_without(file: str, screen: Screen) -> Iterator[None]:
    """Turn whatever is amiss with a file into a warning."""
    try:
        yield
    except Exception as error:
        screen.say(f"warning: no {file}: {type(error).__name__}: {error}")
