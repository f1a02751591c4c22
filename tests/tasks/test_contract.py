"""Every registered task keeps the contract, and the contract notices who does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autopeft.tasks import TASKS, Columns, Fit, TaskInfo
from autopeft.tasks.metric import METRICS
from autopeft.testing.task_suite import CHECKS, TaskContract

TEXT = TASKS.get("text-classification")
NUMBERS = TASKS.get("regression")


@cache
def contract_of(name: str, model: Path) -> TaskContract:
    return TaskContract(TASKS.get(name), model)


def test_the_tasks_of_the_first_release_are_there() -> None:
    assert {"text-classification", "pair-classification", "regression"} <= set(TASKS.names())


@pytest.mark.parametrize("name", TASKS.names())
@pytest.mark.parametrize("check", CHECKS)
def test_contract(
    tiny_folder: Callable[[str], Path], tmp_path: Path, name: str, check: str
) -> None:
    getattr(contract_of(name, tiny_folder("bert")), check)(tmp_path)


def greedy(profiles: Any) -> Fit:
    """Recognise anything."""
    names = [column.name for column in profiles] or ["text"]
    columns = Columns(text=names[0], text_pair=None, label=names[-1])
    return Fit(columns=columns, confidence=1.0, reason="why not")


def wrong_order(labels: Any) -> dict[str, Any]:
    options = TEXT.model_options(labels)
    names = list(options["id2label"].values())[::-1]
    return {**options, "id2label": dict(enumerate(names))}


BROKEN: dict[str, TaskInfo] = {
    "check_described": replace(TEXT, metrics=("rmse",)),
    "check_leaves_other_tasks_their_columns": replace(TEXT, recognise=greedy),
    "check_leaves_what_is_no_data": replace(TEXT, recognise=greedy),
    "check_head_has_the_right_size": replace(
        TEXT, model_options=lambda labels: {"num_labels": 2, "problem_type": "regression"}
    ),
    "check_label_names_come_back": replace(TEXT, model_options=wrong_order),
    "check_loss_equals_a_reference": replace(
        NUMBERS, loss=lambda logits, targets: ((logits - targets) ** 2).mean()
    ),
    "check_loss_falls_and_predictions_follow": replace(
        TEXT, loss=lambda logits, targets: -TEXT.loss(logits, targets)
    ),
    "check_predictions_have_the_targets_form": replace(
        TEXT, predictions=lambda outputs: np.asarray(outputs.argmin(axis=1))
    ),
    "check_data_to_loss": replace(
        TEXT, loss=lambda logits, targets: 1.5 * TEXT.loss(logits, targets)
    ),
}


@pytest.mark.parametrize("check", BROKEN)
def test_a_task_that_breaks_the_contract_is_found(
    tiny_folder: Callable[[str], Path], tmp_path: Path, check: str
) -> None:
    contract = TaskContract(BROKEN[check], tiny_folder("bert"))
    with pytest.raises(AssertionError):
        getattr(contract, check)(tmp_path)
    kept = contract_of(BROKEN[check].name, tiny_folder("bert"))
    getattr(kept, check)(tmp_path)


def test_a_task_that_fits_worse_than_another_is_found(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    def unsure(profiles: Any) -> Fit | None:
        fit = TEXT.recognise(profiles)
        return None if fit is None else replace(fit, confidence=0.1)

    mine = replace(TEXT, name="mine", recognise=unsure)
    with pytest.raises(AssertionError, match="text-classification fits"):
        TaskContract(mine, tiny_folder("bert")).check_recognises_its_own_columns(tmp_path)


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"higher_is_better": True}, "check_perfect_predictions_score_best"),
        ({"high": 0.5}, "check_metrics_stay_in_their_range"),
        (
            {"function": lambda t, p, w: np.full(len(w), np.nan)},
            "check_metrics_stay_in_their_range",
        ),
    ],
)
def test_a_metric_that_is_declared_wrongly_is_found(
    tiny_folder: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    check: str,
) -> None:
    contract = contract_of("regression", tiny_folder("bert"))
    monkeypatch.setitem(METRICS._infos, "rmse", replace(METRICS.get("rmse"), **change))
    with pytest.raises(AssertionError, match="rmse"):
        getattr(contract, check)(tmp_path)
