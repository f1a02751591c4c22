"""Tasks: one file per family, each registering `TaskInfo` records with `TASKS`.

A task recognises its own columns, turns labels into targets, encodes texts, and knows its loss and
metrics. To add one, add a file here that registers its record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from autopeft.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import torch

    from autopeft.data.columns import ColumnProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column plays which role; a role that a task does not have is None."""

    text: str
    text_pair: str | None
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How well a task fits the columns of a data set.

    Args:
        columns: the roles it would give them.
        confidence: in [0, 1].
        reason: one sentence for people.
    """

    columns: Columns
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """What the program knows of a task.

    Args:
        name: as used on the command line.
        description: one phrase.
        metrics: names from `autopeft.tasks.metric.METRICS`; the first is the default.
        auto_class: the transformers auto class that carries the head.
        categorical: whether labels are classes (True) or numbers (False).
        paired: whether it takes a second text column: ``never``, ``optional`` or ``always``.
        recognise: from column profiles, the fit, or None if the task cannot use these columns.
        model_options: from the label names (empty for numbers), keyword arguments for
            ``auto_class.from_pretrained``: ``num_labels``, ``id2label``, ``problem_type`` …
        loss: from logits (B, C) and targets (B,), the mean loss.
        predictions: from outputs (N, C), the predicted classes or numbers (N,).
    """

    name: str
    description: str
    metrics: tuple[str, ...]
    auto_class: str
    categorical: bool
    paired: Literal["never", "optional", "always"]
    recognise: Callable[[Sequence[ColumnProfile]], Fit | None]
    model_options: Callable[[Sequence[str]], dict[str, Any]]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    predictions: Callable[[np.ndarray], np.ndarray]


TASKS: Registry[TaskInfo] = Registry("task", "autopeft.tasks")
