"""The page of tasks and metrics."""

from __future__ import annotations

from collections.abc import Iterator

from autopeft.tasks import TASKS
from autopeft.tasks.metric import METRICS, MetricInfo
from docs.pages.markdown import codes, table


def tasks() -> Iterator[str]:
    """Yield the lines of tasks.md."""
    yield from (
        "# Tasks",
        "",
        "Each task is one record in one file of `autopeft/tasks/` and recognises its own columns;",
        "`--task` overrides what is inferred. `autopeft tasks` prints this list.",
        "",
    )
    paired = {"never": "one", "optional": "one or two", "always": "two"}
    yield from table(
        ("task", "what it takes", "texts", "labels", "metrics, the default first", "model class"),
        (
            (
                f"`{info.name}`",
                info.description,
                paired[info.paired],
                "classes" if info.categorical else "numbers",
                codes(info.metrics),
                f"`{info.auto_class}`",
            )
            for info in sorted(TASKS, key=lambda info: info.name)
        ),
    )
    yield from ("", "## Metrics", "", "`--metric` chooses the one that the search goes by.", "")
    yield from table(
        ("metric", "what it is", "better", "range", "for"), (_metric(info) for info in METRICS)
    )


def _metric(info: MetricInfo) -> tuple[str, ...]:
    better = "higher" if info.higher_is_better else "lower"
    high = "∞" if info.high == float("inf") else f"{info.high:g}"
    wanted = {"categorical": "classes", "numeric": "numbers"}[info.needs]
    return f"`{info.name}`", info.description, better, f"{info.low:g} to {high}", wanted
