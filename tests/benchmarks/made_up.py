"""A made-up table: real candidates of a made-up backbone, with scores from a formula."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from autopeft.bench.rows import packed
from autopeft.records import Candidate
from benchmarks.search.recorded import Row, Table, Training
from benchmarks.table.backbone import Backbone
from benchmarks.table.candidates import candidates, table_space
from tests.search.made_up import backbone, final_score

BACKBONE = Backbone(shape=backbone(), excluded={})
ROWS = 200

Score = Callable[[Candidate, int, int], float | None]
"""From a candidate, its trained parameters and a seed: its score, None for a failure."""


def table(
    score: Score = final_score,
    *,
    task: str = "made-up",
    found: Iterable[Candidate] | None = None,
    seeds: Sequence[int] = (0, 1),
    test: Score | None = None,
    train_rows: int = 1000,
) -> Table:
    """Return a table of a two-class task; unless `test` gives it, the test score is the other."""
    space = table_space(BACKBONE)
    targets = {split: np.arange(ROWS) % 2 for split in ("selection", "test")}
    rows = []
    for one in candidates(BACKBONE) if found is None else found:
        params = space.count(one)
        trainings = [
            _training(score(one, params, seed), (test or score)(one, params, seed), seed, targets)
            for seed in seeds
        ]
        rows.append(Row(candidate=one, trainable_params=params, trainings=tuple(trainings)))
    rows.sort(key=lambda row: row.candidate.fingerprint)
    return Table(
        task=task,
        metric="accuracy",
        labels=("no", "yes"),
        targets=targets,
        backbone=BACKBONE,
        rows=tuple(rows),
        epochs=5,
        train_rows=train_rows,
    )


def _training(
    score: float | None, test: float | None, seed: int, targets: dict[str, np.ndarray]
) -> Training:
    """Return a training whose predictions have about the scores, so that resamples do too."""
    if score is None or test is None:
        return Training(seed=seed)
    predicted, rng = {}, random.Random(f"{score}/{seed}")
    exact = {}
    for split, wanted in (("selection", score), ("test", test)):
        count = round((1 - wanted) * ROWS)
        predictions, wrong = targets[split].copy(), rng.sample(range(ROWS), count)
        predictions[wrong] = 1 - predictions[wrong]
        predicted[split], exact[split] = packed(predictions), 1 - count / ROWS
    final = exact["selection"]
    curve = tuple(0.5 + (final - 0.5) * (epoch / 5) ** 0.3 for epoch in range(1, 6))
    return Training(seed=seed, curve=curve, score=final, test=exact["test"], predicted=predicted)
