"""Training one candidate: the same as a plain loop, and the best weights it passed through."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from autopeft.backbone.load import Backbone
from autopeft.backbone.share import checksum
from autopeft.errors import TrialError
from autopeft.methods import METHODS
from autopeft.methods.adapt import adapt, private_copy, with_defaults
from autopeft.methods.trained import load_trainable_state, trainable_state
from autopeft.records import Candidate, Cause, RungPoint
from autopeft.tasks.encode import Encoded
from autopeft.train.batches import TrainingBatches, inputs_of
from autopeft.train.evaluate import outputs
from autopeft.train.fit import Watch, fit
from autopeft.train.member import Fit, Member
from autopeft.train.padding import Padding
from autopeft.train.runner import Runner
from autopeft.tuner import Pack, draw_from
from tests.train.toy import encoded

CPU = torch.device("cpu")
TRAIN, SELECTION = encoded(40, seed=1), encoded(24, seed=2)
LORA = Candidate(method="lora", learning_rate=1e-2, epochs=2, batch_size=8)
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def accuracy(values: np.ndarray) -> float:
    return float((values.argmax(1) == SELECTION.targets).mean())


def train(
    bert: Backbone,
    candidate: Candidate = LORA,
    *,
    rows: Encoded = TRAIN,
    parts: int = 1,
    **options: Any,
) -> tuple[torch.nn.Module, Fit]:
    """Train one candidate alone; see `train_together`."""
    (member,) = train_together(bert, [candidate], rows=rows, parts=parts, **options)
    if member.fit.error is not None:
        raise member.fit.error
    return member.model, member.fit


def train_together(
    bert: Backbone,
    candidates: Sequence[Candidate],
    *,
    rows: Encoded = TRAIN,
    parts: int = 1,
    watch: Watch = Watch(),  # noqa: B008
    score: Callable[[np.ndarray], float] = accuracy,
    loss: Loss = torch.nn.functional.cross_entropy,
    rungs: tuple[float, ...] = (1.0,),
    evaluated: Collection[int] | None = None,
    deadline: float | None = None,
    keep: bool = False,
    left: Callable[[Member], None] = lambda _: None,
) -> list[Member]:
    batches = TrainingBatches(
        rows, batch_size=candidates[0].batch_size, padding=Padding(0), seed=5, parts=parts
    )
    members = [
        Member(
            number,
            candidate,
            adapt(bert, candidate, seed=5, total_steps=batches.steps * candidate.epochs),
            seed=5,
            steps_per_epoch=batches.steps,
            rungs=rungs,
            evaluated=evaluated,
            deadline=deadline,
            keep=keep,
        )
        for number, candidate in enumerate(candidates)
    ]
    torch.manual_seed(5)

    def join(some: Sequence[Member]) -> Runner:
        if len(some) == 1:
            draw_from(some[0].model, some[0].generator)
            return Runner(some[0].model)
        generators = [member.generator for member in some]
        return Runner(
            Pack(private_copy(bert), [m.model for m in some], bert.heads, generators).eval()
        )

    fit(
        members,
        join,
        batches=batches,
        selection=SELECTION,
        score=score,
        loss=loss,
        device=CPU,
        padding=Padding(0),
        autocast=None,
        watch=watch,
        left=left,
    )
    return members


def plain_loop(bert: Backbone, candidate: Candidate, rows: Encoded) -> torch.nn.Module:
    """Train as a textbook would, without Lightning."""
    batches = TrainingBatches(rows, batch_size=candidate.batch_size, padding=Padding(0), seed=5)
    total = batches.steps * candidate.epochs
    warmup = max(1, round(candidate.warmup_ratio * total))
    model = adapt(bert, candidate, seed=5, total_steps=total).eval()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=candidate.weight_decay)
    step = 0
    for _ in range(candidate.epochs):
        for (batch,) in batches:
            share = (step + 1) / warmup if step < warmup else (total - step) / (total - warmup)
            optimizer.param_groups[0]["lr"] = candidate.learning_rate * share
            inputs = inputs_of(batch)
            loss = torch.nn.functional.cross_entropy(model(**inputs).logits, batch["targets"])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            step += 1
    return model


def apart(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """Return the root of the mean square difference of what was trained.

    The largest difference would say nothing: Adam turns the rounding of a gradient that is nearly
    zero into a whole step.
    """
    left, right = trainable_state(one), trainable_state(other)
    assert left.keys() == right.keys()
    squares = torch.cat([(left[name] - right[name]).square().flatten() for name in left])
    return float(squares.mean().sqrt())


@pytest.mark.parametrize("method", ["lora", "full", "head_only"])
def test_equals_a_plain_loop(bert: Backbone, method: str) -> None:
    candidate = dataclasses.replace(LORA, method=method, learning_rate=1e-3, weight_decay=0.01)
    model, _ = train(bert, candidate)
    assert apart(model, plain_loop(bert, candidate, TRAIN)) < 1e-5
    fresh = adapt(bert, candidate, seed=5, total_steps=10)
    assert apart(model, fresh) > 1e-4, "nothing was trained"


@pytest.mark.parametrize("parts", [2, 3, 8])
@pytest.mark.parametrize("rows", [40, 37])
def test_batches_in_parts_train_the_same(bert: Backbone, parts: int, rows: int) -> None:
    whole, first = train(bert, rows=encoded(rows, seed=1))
    pieces, second = train(bert, rows=encoded(rows, seed=1), parts=parts)
    assert apart(whole, pieces) < 1e-5
    assert first.train_examples == second.train_examples


def test_backbone_stays_as_it_is(bert: Backbone) -> None:
    before = checksum(bert.model)
    for method in ("lora", "full", "bitfit"):
        train(bert, dataclasses.replace(LORA, method=method))
    assert checksum(bert.model) == before


def test_it_learns(bert: Backbone) -> None:
    _, result = train(bert, dataclasses.replace(LORA, epochs=12), rows=encoded(80, seed=1))
    assert result.score > 0.9


def test_score_is_of_the_weights_returned(bert: Backbone) -> None:
    candidate = dataclasses.replace(LORA, epochs=6, learning_rate=0.03)
    model, result = train(bert, candidate)
    assert result.weights is not None
    load_trainable_state(model, result.weights)
    assert accuracy(outputs(model, SELECTION, padding=Padding(0), device=CPU)) == result.score


def test_weights_of_the_best_epoch_are_kept_though_later_ones_are_worse(bert: Backbone) -> None:
    scores = iter([0.5, 0.9, 0.6, 0.9])
    seen: list[np.ndarray] = []

    def score(values: np.ndarray) -> float:
        seen.append(values)
        return next(scores)

    model, result = train(bert, dataclasses.replace(LORA, epochs=4), score=score)
    assert result.score == 0.9
    assert result.weights is not None
    load_trainable_state(model, result.weights)
    again = outputs(model, SELECTION, padding=Padding(0), device=CPU)
    distances = [float(np.abs(again - values).max()) for values in seen]
    assert distances[1] < 1e-6
    assert min(distances[0], distances[2], distances[3]) > 1e-4


def test_rungs_come_at_their_steps_with_the_score_there(bert: Backbone) -> None:
    steps: list[int] = []
    asked: list[tuple[int, RungPoint]] = []
    watch = Watch(
        on_step=lambda shares, _: steps.append(round(10 * shares[0])),
        on_rung=lambda points: asked.append((steps[-1], points[0])) or points,
    )
    _, result = train(bert, watch=watch, rungs=(0.1, 0.5, 1.0))
    assert steps == list(range(1, 11))
    assert [(step, point.rung, point.share) for step, point in asked] == [
        (1, 0, 0.1),
        (5, 1, 0.5),
        (10, 2, 1.0),
    ]
    assert [point for _, point in asked] == result.curve
    assert result.score == max(point.score for point in result.curve)
    assert not result.stopped
    assert result.cut_share is None
    assert result.train_examples == 80


def test_evaluated_after_the_epochs_that_are_named_and_at_rungs(bert: Backbone) -> None:
    steps: list[int] = []
    watch = Watch(on_step=lambda shares, _: steps.append(round(20 * shares[0])))
    evaluated: list[int] = []

    def score(values: np.ndarray) -> float:
        evaluated.append(steps[-1])
        return accuracy(values)

    train(
        bert,
        dataclasses.replace(LORA, epochs=4),
        watch=watch,
        score=score,
        rungs=(0.15, 1.0),
        evaluated=(2, 4),
    )
    assert evaluated == [3, 10, 20]


def test_rung_that_says_no_ends_the_training(bert: Backbone) -> None:
    steps: list[int] = []
    watch = Watch(
        on_step=lambda shares, _: steps.append(round(10 * shares[0])),
        on_rung=lambda points: [number for number, point in points.items() if point.rung > 0],
    )
    _, result = train(bert, watch=watch, rungs=(0.3, 1.0))
    assert result.stopped
    assert steps == [1, 2, 3]
    assert [point.rung for point in result.curve] == [0]


def test_last_rung_cannot_stop_what_is_done(bert: Backbone) -> None:
    _, result = train(bert, watch=Watch(on_rung=lambda _: ()))
    assert not result.stopped
    assert result.weights is not None


def test_deadline_cuts_the_training_with_the_weights_so_far(bert: Backbone) -> None:
    model, result = train(bert, deadline=time.monotonic() - 1.0, keep=True)
    assert result.cut_share == 0.1
    assert result.weights is not None
    load_trainable_state(model, result.weights)
    assert accuracy(outputs(model, SELECTION, padding=Padding(0), device=CPU)) == result.score


def test_what_is_cut_and_not_kept_is_not_evaluated_for_nothing(bert: Backbone) -> None:
    def score(values: np.ndarray) -> float:
        raise AssertionError("the time is up")

    _, result = train(bert, deadline=time.monotonic() - 1.0, score=score)
    assert result.cut_share == 0.1
    assert result.weights is None


def nan_at(step: int, seen: list[int]) -> Loss:
    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append(len(seen) + 1)
        value = torch.nn.functional.cross_entropy(logits, targets)
        return value * float("nan") if len(seen) == step else value

    return loss


def test_loss_that_is_no_number_is_an_error_at_its_step(bert: Backbone) -> None:
    seen: list[int] = []
    with pytest.raises(TrialError, match=r"loss became nan at step 4") as caught:
        train(bert, loss=nan_at(4, seen))
    assert caught.value.cause == Cause.NON_FINITE
    assert len(seen) == 4


def test_outputs_that_are_no_numbers_are_an_error(bert: Backbone) -> None:
    """Steps so large that the weights overflow after the last loss was looked at."""
    overflow = dataclasses.replace(LORA, learning_rate=1e30, epochs=1, batch_size=40)
    with pytest.raises(TrialError, match="not finite") as caught:
        train(bert, overflow)
    assert caught.value.cause == Cause.NON_FINITE


def test_score_that_is_no_number_is_an_error(bert: Backbone) -> None:
    with pytest.raises(TrialError, match="score became nan at step 5") as caught:
        train(bert, score=lambda _: float("nan"))
    assert caught.value.cause == Cause.NON_FINITE


def test_hook_runs_once_per_step_while_the_gradients_are_there(
    bert: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autopeft.methods import METHODS

    calls: list[tuple[int, bool]] = []

    def after_step(model: Any, step: int) -> None:
        trained = [p for p in model.parameters() if p.requires_grad]
        calls.append((step, all(p.grad is not None for p in trained)))

    info = dataclasses.replace(METHODS.get("lora"), after_step=after_step)
    monkeypatch.setitem(METHODS._infos, "lora", info)
    train(bert, parts=4)
    assert calls == [(step, True) for step in range(1, 11)]


def test_penalty_counts_once_however_many_parts(
    bert: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autopeft.methods import METHODS

    def penalty(model: Any) -> torch.Tensor:
        return sum(p.square().sum() for p in model.parameters() if p.requires_grad)

    plain, _ = train(bert)
    info = dataclasses.replace(METHODS.get("lora"), penalty=penalty)
    monkeypatch.setitem(METHODS._infos, "lora", info)
    whole, _ = train(bert)
    parts, _ = train(bert, parts=4)
    assert apart(whole, parts) < 1e-5
    assert apart(whole, plain) > 1e-4


TOGETHER = (
    LORA,
    dataclasses.replace(LORA, learning_rate=3e-3, knobs={"r": 4, "dropout": 0.1}),
    dataclasses.replace(LORA, method="unipelt", epochs=3),
    dataclasses.replace(LORA, method="head_only", epochs=1),
    # at LoRA's rate it is chaotic: the last digit of a first weight moves its logits by 0.03
    dataclasses.replace(LORA, method="houlsby", learning_rate=1e-3, weight_decay=0.1),
)
TOGETHER_WITH_DEFAULTS = tuple(with_defaults(METHODS.get(c.method), c) for c in TOGETHER)


def test_members_of_a_pack_learn_what_they_learn_alone(bert: Backbone) -> None:
    members = train_together(bert, TOGETHER_WITH_DEFAULTS)
    for member in members:
        alone, fit = train(bert, member.candidate)
        assert apart(member.model, alone) < 1e-4, member.candidate.method
        assert member.fit.score == fit.score
        assert member.fit.train_examples == fit.train_examples == 40 * member.candidate.epochs
        assert [p.score for p in member.fit.curve] == [p.score for p in fit.curve]


def test_after_fifty_steps_a_pack_gives_what_each_gives_alone(bert: Backbone) -> None:
    long = [dataclasses.replace(one, epochs=10) for one in TOGETHER_WITH_DEFAULTS]

    def logits(model: torch.nn.Module) -> np.ndarray:
        return outputs(model, SELECTION, padding=Padding(0), device=CPU)

    for member in train_together(bert, long):
        alone, fit = train(bert, member.candidate)
        assert fit.train_examples == 50 * 8
        difference = np.abs(logits(member.model) - logits(alone)).max()
        assert difference <= 1e-4, member.candidate.method


def test_who_is_stopped_leaves_the_others_as_they_would_be(bert: Backbone) -> None:
    watch = Watch(on_rung=lambda points: [n for n, p in points.items() if n != 1 or p.rung > 0])
    left: list[int] = []
    members = train_together(
        bert,
        TOGETHER_WITH_DEFAULTS[:3],
        watch=watch,
        rungs=(0.3, 1.0),
        left=lambda member: left.append(member.number),
    )
    assert [member.fit.stopped for member in members] == [False, True, False]
    assert left == [1, 0, 2]
    for member in (members[0], members[2]):
        alone, _ = train(bert, member.candidate, rungs=(0.3, 1.0))
        assert apart(member.model, alone) < 1e-4


def test_all_at_a_rung_are_asked_for_together(bert: Backbone) -> None:
    asked: list[set[int]] = []
    watch = Watch(on_rung=lambda points: asked.append(set(points)) or points)
    train_together(bert, TOGETHER_WITH_DEFAULTS[:3], watch=watch, rungs=(1.0,))
    assert asked == [{0, 1}, {2}]


def test_member_whose_loss_is_no_number_leaves_alone(bert: Backbone) -> None:
    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        value = torch.nn.functional.cross_entropy(logits, targets)
        return value * float("inf") if next(calls) == 7 else value

    calls = iter(range(1, 1000))
    members = train_together(bert, TOGETHER_WITH_DEFAULTS[:3], loss=loss)
    faults = [member.fit.error for member in members]
    assert faults[1] is None
    assert faults[2] is None
    assert faults[0] is not None
    assert "step 3" in str(faults[0])
    assert apart(members[1].model, train(bert, members[1].candidate)[0]) < 1e-4


def test_time_of_a_pack_is_shared_out(bert: Backbone) -> None:
    started = time.monotonic()
    members = train_together(bert, TOGETHER_WITH_DEFAULTS[:3])
    wall = time.monotonic() - started
    seconds = [member.fit.train_seconds for member in members]
    assert min(seconds) > 0
    assert sum(seconds) <= wall
