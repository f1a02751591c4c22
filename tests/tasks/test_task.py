"""What every registered task keeps."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
import transformers

from autopeft.tasks import TASKS, TaskInfo
from autopeft.tasks.metric import METRICS

NAMES = TASKS.names()
LABELS = ("no", "perhaps", "yes")


@pytest.fixture(params=NAMES)
def task(request: pytest.FixtureRequest) -> TaskInfo:
    return TASKS.get(request.param)


def test_the_tasks_of_the_first_release_are_there() -> None:
    assert {"text-classification", "pair-classification", "regression"} <= set(NAMES)


def test_metrics_exist_and_suit_the_targets(task: TaskInfo) -> None:
    needs = {METRICS.get(name).needs for name in task.metrics}
    assert needs == {"categorical" if task.categorical else "numeric"}


def test_auto_class_and_options_build_a_model(task: TaskInfo) -> None:
    options = task.model_options(LABELS if task.categorical else ())
    config = transformers.BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, **options,
    )  # fmt: skip
    model = getattr(transformers, task.auto_class).from_config(config)
    outputs = model(input_ids=torch.tensor([[1, 2], [3, 4]])).logits.detach()
    assert outputs.shape == (2, 3 if task.categorical else 1)
    assert task.predictions(outputs.numpy()).shape == (2,)
    if task.categorical:
        assert [config.id2label[number] for number in range(3)] == list(LABELS)


def test_loss_is_the_models_own(task: TaskInfo) -> None:
    generator = torch.Generator().manual_seed(0)
    classes = 3 if task.categorical else 1
    logits = torch.randn(6, classes, generator=generator)
    targets = torch.tensor([0, 1, 2, 2, 1, 0])
    if task.categorical:
        expected = -logits.log_softmax(1)[range(6), targets].mean()
    else:
        expected = ((logits[:, 0] - targets) ** 2).mean()
    assert torch.allclose(task.loss(logits, targets), expected)
    assert task.loss(logits.bfloat16(), targets).dtype == torch.float32


def test_predictions_are_classes_or_numbers(task: TaskInfo) -> None:
    if task.categorical:
        outputs = np.array([[0.1, 0.9], [0.8, 0.2]])
        assert task.predictions(outputs).tolist() == [1, 0]
    else:
        assert task.predictions(np.array([[0.5], [2.5]])).tolist() == [0.5, 2.5]


def test_nothing_is_recognised_in_no_columns(task: TaskInfo) -> None:
    assert task.recognise([]) is None


def test_described_for_people(task: TaskInfo) -> None:
    assert task.description
    assert inspect.getdoc(task.recognise)
