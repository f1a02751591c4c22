"""From the choice to a delivered, checked and scored model."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autopeft import delivery
from autopeft.api.opening import WORKER_ENVIRONMENT, versions
from autopeft.api.record import artifact_folder
from autopeft.api.result import RESULT, ChoiceRecord, FinalRow
from autopeft.data.cache import quiet
from autopeft.data.folds import fold_of, folder_of
from autopeft.errors import DeliveryError
from autopeft.records import TrialRecord
from autopeft.report.card import CardFacts, model_card
from autopeft.report.screen import Screen
from autopeft.search.finalist import Choice, Row, beside
from autopeft.store.write import disk_errors, write_text
from autopeft.supervisor import Supervisor
from autopeft.tasks.metric import untrained_score
from autopeft.tasks.prepare import Prepared

VERIFY = "autopeft.delivery:verify"


class FreshProcess:
    """A process that knows nothing of the training: what it can load, a user can."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._supervisor = Supervisor(VERIFY)
        self._worker = self._supervisor.start(0, WORKER_ENVIRONMENT)
        self._check = check

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send an order and return the reply.

        Raises:
            DeliveryError: the check failed, or the process died.
        """
        self._worker.send(order)
        while True:
            self._check()
            event = self._supervisor.next_event(0.2)
            if event is not None and event.message is None:
                raise DeliveryError(
                    f"the process that checks the delivered model ended with status "
                    f"{self._worker.exit_code}:\n{self._worker.last_words(5)}"
                )
            if event is not None and event.message is not None:
                if "error" in event.message:
                    raise DeliveryError(event.message["error"])
                return event.message

    def close(self) -> None:
        """End the process."""
        self._supervisor.close()


def hand_over(
    choice: Choice,
    *,
    run: Path,
    data: Path,
    prepared: Prepared,
    about: delivery.About,
    title: str,
    records: Mapping[int, TrialRecord],
    selection_scores: Mapping[tuple[int, int], float],
    fresh: FreshProcess,
    merge: bool,
    screen: Screen,
) -> ChoiceRecord:
    """Write ``best/``, check it in a fresh process, then score it on the test split.

    Args:
        choice: what to deliver.
        run: the run folder.
        data: folder with the saved splits.
        prepared: the splits.
        about: what a prediction needs to know; the method is filled in.
        title: name of the data set.
        records: every trial by number.
        selection_scores: by trial and seed.
        fresh: the checking process.
        merge: whether ``merged/`` is written too.
        screen: shows what happens.

    Raises:
        DeliveryError: the reloaded model does not give the measured outputs.
    """
    record = records[choice.number]
    artifact = run / artifact_folder(choice.number, choice.seed)
    best = run / "best"
    about = dataclasses.replace(about, method=record.candidate.method)
    metric, selection_score = prepared.problem.metric, selection_scores[choice.number, choice.seed]
    expected = str(artifact / "selection.npy")
    fold = fold_of(choice.seed - record.seed, len(prepared.folds))
    selection, test = str(folder_of(data, fold) / "selection"), str(data / "test")
    with delivery.written(artifact, best, about) as new:
        reply = fresh.ask(op="check", best=str(new), selection=selection, expected=expected)
        (run / RESULT).unlink(missing_ok=True)  # it tells of what `best` holds no longer
    _write_front(run, choice, records, about)
    screen.say(
        f"checked  reloaded in a fresh process: outputs differ by at most {reply['difference']:.1g}"
    )
    shutil.rmtree(run / "merged", ignore_errors=True)  # of an earlier choice
    if merge:
        merged = str(run / "merged")
        reply = fresh.ask(op="merge", best=str(best), merged=merged, selection=selection)
        left_out = reply.get("left_out")
        screen.say(f"merged   left out: {left_out}" if left_out else f"merged   {merged}")
    scores = fresh.ask(
        op="test",
        best=str(best),
        test=test,
        outputs=str(run / "test.npy"),
        others={
            name: str(run / artifact_folder(row.finalist.number, row.seed))
            for name, row in beside(choice.table, choice.number).items()
        },
    )["scores"]
    write_card(
        best,
        about,
        prepared,
        title=title,
        candidate=record.candidate.describe(),
        reason=choice.reason,
        selection_score=selection_score,
        test_scores=scores["chosen"],
        trainable_params=record.costs.trainable_params,
        head_params=record.costs.head_params or 0,
        fold=fold,
    )
    _write_predictions(run, prepared, about)
    targets = np.asarray(prepared.test["label"])
    train_targets = np.asarray(prepared.train["label"])
    return ChoiceRecord(
        number=choice.number,
        seed=choice.seed,
        method=record.candidate.method,
        label=record.candidate.describe(),
        reason=choice.reason,
        metric=metric,
        trainable_params=record.costs.trainable_params,
        selection_score=selection_score,
        test_scores=scores["chosen"],
        untrained_test_score=untrained_score(metric, train_targets, targets),
        finalists=tuple(_row(row, choice, scores, metric) for row in choice.table),
        expected=choice.expected,
    )


def write_card(
    best: Path,
    about: delivery.About,
    prepared: Prepared,
    *,
    title: str,
    candidate: str,
    reason: str,
    selection_score: float,
    test_scores: Mapping[str, float],
    trainable_params: int,
    head_params: int,
    fold: int = 0,
) -> None:
    """Write the card of a delivered folder, of what was trained on a fold; see `CardFacts`."""
    facts = CardFacts(
        title=title,
        model=Path(about.model).name if Path(about.model).is_dir() else about.model,
        task=about.task,
        labels=about.labels,
        candidate=candidate,
        reason=reason,
        metric=prepared.problem.metric,
        selection_score=selection_score,
        test_scores=test_scores,
        trainable_params=trainable_params,
        head_params=head_params,
        rows={
            "training": len(prepared.folds[fold].train),
            "selection": len(prepared.folds[fold].selection),
            "test": len(prepared.test),
        },
        versions=versions(),
        load_code=delivery.load_code(best, about),
        adapter=about.method != "full",
    )
    write_text(best / "README.md", model_card(facts))


def _write_front(
    run: Path, choice: Choice, records: Mapping[int, TrialRecord], about: delivery.About
) -> None:
    """Write ``front/<rank>-<method>/``: what nothing smaller beats, the choice apart."""
    shutil.rmtree(run / "front", ignore_errors=True)
    best_gain = float("-inf")
    members = []
    for row in sorted(choice.table, key=lambda row: (row.finalist.trainable_params, row.behind)):
        if -row.behind > best_gain:
            best_gain = -row.behind
            members.append(row)
    for rank, row in enumerate(members, start=1):
        if row.finalist.number == choice.number:
            continue
        method = records[row.finalist.number].candidate.method
        artifact = run / artifact_folder(row.finalist.number, row.seed)
        folder = run / "front" / f"{rank}-{method}"
        folder.parent.mkdir(exist_ok=True)
        delivery.write(artifact, folder, dataclasses.replace(about, method=method))


def _row(
    row: Row, choice: Choice, scores: Mapping[str, Mapping[str, float]], metric: str
) -> FinalRow:
    names = {r.finalist.number: name for name, r in beside(choice.table, choice.number).items()}
    names[choice.number] = "chosen"
    name = names.get(row.finalist.number)
    return FinalRow(
        number=row.finalist.number,
        label=row.finalist.label,
        origin=row.finalist.origin,
        trainable_params=row.finalist.trainable_params,
        seeds=len(row.finalist.replicates),
        mean=row.mean,
        spread=row.spread,
        behind=row.behind,
        standard_error=row.standard_error,
        best_share=row.best_share,
        tied_share=row.tied_share,
        chance=row.chance,
        test_score=None if name is None else scores[name][metric],
        failures=row.finalist.failures,
    )


def _write_predictions(run: Path, prepared: Prepared, about: delivery.About) -> None:
    """Write ``predictions.parquet``: the test rows with what was predicted for them."""
    from datasets import Dataset

    from autopeft.tasks import TASKS

    outputs = np.load(run / "test.npy", allow_pickle=False)
    predicted = TASKS.get(about.task).predictions(outputs)
    rows: dict[str, list[Any]] = {"row": list(prepared.test["row"])}
    if about.labels:
        chance = delivery.probabilities(outputs)
        rows["label"] = [about.labels[int(value)] for value in prepared.test["label"]]
        rows["prediction"] = [about.labels[int(value)] for value in predicted]
        rows["probability"] = [float(value) for value in chance.max(axis=1)]
    else:
        rows["label"] = [float(value) for value in prepared.test["label"]]
        rows["prediction"] = [float(value) for value in predicted]
    with quiet(), disk_errors(run / "predictions.parquet"):
        Dataset.from_dict(rows).to_parquet(str(run / "predictions.parquet"))
    (run / "test.npy").unlink()
