"""The page of a run: what its folder holds as plain values, and the file that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autopeft.api.card import read_mistakes, read_splits
from autopeft.api.facts import FACTS
from autopeft.api.judge import PERCENT
from autopeft.api.result import RESULT
from autopeft.delivery import ABOUT, About, about_of, load_code
from autopeft.report.page import Importance, MistakesView, RunView, render
from autopeft.search.importance import importance
from autopeft.store import RunFolder, TrialStore
from autopeft.store.write import write_text
from autopeft.tasks.metric import METRICS

PAGE = "report.html"


def read_view(run: Path) -> RunView:
    """Return what the page of a run shows; a run that is not finished has less.

    Raises:
        RunFolderError: the folder holds no run, or is damaged.
    """
    with RunFolder.read(run) as folder:
        settings, details = folder.manifest["identity"], folder.manifest["details"]
        metric = METRICS.get(settings["metric"])
        trials = folder.trials(higher_is_better=metric.higher_is_better)
        facts = folder.read_json(FACTS) or {}
        result = folder.read_json(RESULT)
    records = trials.records()
    found = importance(records, seed=int(settings.get("seed") or 0))
    mistakes = None if result is None else read_mistakes(run)
    labels = _labels(run, facts, mistakes)
    return RunView(
        name=facts["data"]["name"] if facts else Path(str(details.get("data", run))).name,
        folder=str(run),
        task=settings["task"],
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        percent=metric.name in PERCENT,
        labels=labels,
        records=tuple(records),
        replicates=trials.all_replicates(),
        choice=None if result is None else result["choice"],
        load_code=_load_code(run / "best"),
        gates=_gates(trials),
        importance=Importance(
            shares=found.shares, trials=found.trials, trained=found.trained, note=found.note
        ),
        splits=read_splits(run, labels),
        mistakes=mistakes,
        facts=facts,
        settings=settings,
        versions=details.get("versions", {}),
        wall_seconds=trials.study.user_attrs.get("seconds"),
    )


def write_page(runs: Sequence[Path], file: Path) -> Path:
    """Write one page for one run, or for several side by side, and return where.

    Raises:
        RunFolderError: a folder holds no run, or the file cannot be written.
    """
    write_text(file, render([read_view(run) for run in runs]))
    return file


def _labels(run: Path, facts: dict[str, Any], mistakes: MistakesView | None) -> tuple[str, ...]:
    """Return the class names; of older runs they are known by what was delivered."""
    if facts:
        return tuple(facts["data"]["labels"])
    about = _about(run / "best")
    seen = {name for pair in mistakes.counts for name in pair} if mistakes else set()
    return tuple(sorted(seen)) if about is None else about.labels


def _load_code(best: Path) -> str:
    about = _about(best)
    return "" if about is None else load_code(best.resolve(), about)


def _about(best: Path) -> About | None:
    return about_of(best)[1] if (best / ABOUT).is_file() else None


def _gates(trials: TrialStore) -> dict[int, list[dict[str, Any]]]:
    """Return the gates of the trials of a mixture."""
    return {
        trial.number: trial.user_attrs["gates"]
        for trial in trials.standing()
        if "gates" in trial.user_attrs
    }
