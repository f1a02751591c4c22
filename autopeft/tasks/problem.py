"""What is to be learned from a source: task, columns, classes and metric, each with a reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autopeft.data.columns import ColumnProfile, profile
from autopeft.data.source import Source
from autopeft.errors import ConfigError, DataError, suggestion
from autopeft.tasks import TASKS, Columns, Fit, TaskInfo
from autopeft.tasks.metric import METRICS
from autopeft.tasks.role import is_id, named_label, pair_of, text_of, texts_of
from autopeft.tasks.row import found_classes

FLAGS = {"text": "--text", "text_pair": "--text-pair", "label": "--label"}
_SURE = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is to be learned.

    Args:
        task: a name from the task registry.
        columns: which column plays which role.
        labels: class names in the order of class numbers; empty for numbers.
        metric: a name from the metric registry.
        confidence: in [0, 1]; 1 where everything was given.
        reasons: why this task, these columns and this metric; one sentence each.
    """

    task: str
    columns: Columns
    labels: tuple[str, ...]
    metric: str
    confidence: float
    reasons: tuple[str, ...]


def infer(
    source: Source,
    *,
    task: str | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    metric: str | None = None,
) -> Problem:
    """Tell task, columns, classes and metric from the training data; what is given is respected.

    Raises:
        UnknownNameError: there is no such task or metric.
        ConfigError: the metric is another task's, or a second text is given without the first.
        DataError: a column does not exist, several could play a role, or the labels are of no
            use (missing, one class, not numbers).
    """
    asked = None if task is None else TASKS.get(task, where="--task")
    if metric is not None:
        METRICS.get(metric, where="--metric")
    profiles = _with_given(source, {"text": text, "text_pair": text_pair, "label": label})
    info, fit = _best_fit(source, profiles, asked)
    chosen = _metric(info, metric)
    labels = _labels(source, info, fit.columns)
    confidence = 1.0 if task and text and label else fit.confidence
    how = "as given" if asked else f"confidence {confidence:.2f}"
    reasons = [f"task {info.name} ({how}): {fit.reason}"]
    if fit.confidence < _SURE and not asked:
        reasons.append("not sure of this: say --task, --text or --label if it is wrong")
    if labels:
        shown = ", ".join(labels[:6]) + (" …" if len(labels) > 6 else "")
        reasons.append(f"{len(labels)} classes: {shown}")
    default = "as given" if metric else f"the default of {info.name}"
    reasons.append(f"metric {chosen}, {default}")
    return Problem(
        task=info.name,
        columns=fit.columns,
        labels=labels,
        metric=chosen,
        confidence=confidence,
        reasons=tuple(reasons),
    )


def _with_given(source: Source, given: Mapping[str, str | None]) -> list[ColumnProfile]:
    """Return the column profiles with the roles that the user gave.

    Raises:
        ConfigError: a second text without the first.
        DataError: a column does not exist or is given twice.
    """
    profiles = profile(source.splits["train"])
    names = [column.name for column in profiles]
    roles: dict[str, str] = {}
    for role, name in given.items():
        if name is None:
            continue
        if name not in names:
            raise DataError(
                f"{source.origin}: there is no column {name!r} ({FLAGS[role]}); "
                f"{suggestion(name, names)} (columns: {', '.join(names)})"
            )
        if name in roles:
            raise DataError(
                f"column {name!r} is given as {FLAGS[roles[name]]} and as {FLAGS[role]}; "
                f"choose another of: {', '.join(names)}"
            )
        roles[name] = role
    if given["text_pair"] is not None and given["text"] is None:
        raise ConfigError("--text-pair needs --text as well: say which column holds the first text")
    return [dataclasses.replace(column, given=roles.get(column.name)) for column in profiles]


def _best_fit(
    source: Source, profiles: Sequence[ColumnProfile], asked: TaskInfo | None
) -> tuple[TaskInfo, Fit]:
    """Return the task that fits best; the first registered of equals.

    Raises:
        DataError: none fits; says what is missing or ambiguous.
    """
    tasks = (asked,) if asked else tuple(TASKS)
    fits = [(info, fit) for info in tasks if (fit := info.recognise(profiles)) is not None]
    if not fits:
        raise DataError(f"{source.origin}: {_why_none_fits(profiles, asked)}")
    return max(fits, key=lambda pair: pair[1].confidence)


def _why_none_fits(profiles: Sequence[ColumnProfile], asked: TaskInfo | None) -> str:
    """Say which role cannot be filled, and what to do."""
    columns = ", ".join(f"{column.name!r} ({column.kind})" for column in profiles)
    task = asked.name if asked else "no task"
    texts = texts_of([column for column in profiles if column.given != "label"])
    if not texts:
        return f"no column holds texts; name one with --text (columns: {columns})"
    label = named_label(profiles)
    free = [column for column in profiles if not column.given and not is_id(column)]
    labels = [column for column in free if column.kind in ("category", "integer", "number")]
    if label is None and len(labels) != 1:
        found = f"{len(labels)} columns could be the label" if labels else "no label column found"
        return f"{found}; name it with --label (columns: {columns})"
    label = label or labels[0]
    others = [column for column in profiles if column.name != label.name]
    if pair_of(others) is None and text_of(others) is None:
        listed = ", ".join(repr(column.name) for column in texts)
        return f"several columns could be the text: {listed}; choose with --text (and --text-pair)"
    if label.missing == label.rows:
        return f"column {label.name!r} has no values at all; give labels, or another --label"
    if asked and asked.paired == "always" and pair_of(others) is None:
        return f"{task} needs two texts; name them with --text and --text-pair"
    if asked and asked.paired == "never" and text_of(others) is None:
        return f"{task} takes one text; choose with --text, or use --task pair-classification"
    kinds = {
        "number": "numbers with fractions",
        "integer": "whole numbers",
        "category": "classes",
        "text": "texts that hardly repeat",
        "other": "neither classes nor numbers",
    }
    shown, can = ", ".join(map(repr, label.examples)), "cannot" if asked else "can"
    return (
        f"column {label.name!r} holds {kinds[label.kind]}, such as {shown}, which {task} {can} "
        f"take as its label; choose another --label or --task (columns: {columns})"
    )


def _metric(info: TaskInfo, given: str | None) -> str:
    if given is not None and given not in info.metrics:
        raise ConfigError(
            f"metric {given!r} ({METRICS.get(given).description}) is not for {info.name}; "
            f"allowed: {', '.join(info.metrics)}"
        )
    return given or info.metrics[0]


def _labels(source: Source, info: TaskInfo, columns: Columns) -> tuple[str, ...]:
    """Return the classes of the training split.

    Raises:
        DataError: there is only one.
    """
    if not info.categorical:
        return ()
    names = found_classes(source.splits["train"], columns, f"{source.origin}, train")
    if len(names) == 1:
        raise DataError(
            f"{source.origin}: column {columns.label!r} has one class only ({names[0]!r}); there "
            "is nothing to learn; give examples of another class, or another --label"
        )
    return names
