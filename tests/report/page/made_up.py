"""A run that never was: records, choice, data and mistakes, as a view or as a folder."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from autopeft.records import (
    Candidate,
    Cause,
    Costs,
    Placement,
    RungPoint,
    TrialRecord,
    TrialState,
)
from autopeft.report.page import Importance, Mistake, MistakesView, RunView, SplitView
from autopeft.store import RunFolder

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><b>bold</b> %{x} {{ 7 * 7 }} &lt;"
LINK = '<a href="javascript:document.title=1">click</a>'
METHODS = ("ia3", "bitfit", "houlsby", "unipelt", "dora")
PLACES = (
    Placement(sites=("attn.q", "attn.v")),
    Placement(sites=("attn.q", "attn.v", "ffn.in"), layers="top:3"),
    Placement(sites=("ffn.out",), layers="mask:101010"),
)


def records(count: int, seed: int = 0) -> list[TrialRecord]:
    """Return trials of all states; the first two are the references."""
    draw = random.Random(seed)
    return [_record(number, draw) for number in range(count)]


def _record(number: int, draw: random.Random) -> TrialRecord:
    method = ("lora", "head_only")[number] if number < 2 else METHODS[number % len(METHODS)]
    params = (73_728, 0)[number] if number < 2 else round(10 ** draw.uniform(3.5, 6.5))
    state = TrialState.COMPLETE if number < 6 else draw.choice(tuple(TrialState)[1:])
    shares = (1 / 9, 1 / 3, 1.0) if state is TrialState.COMPLETE else (1 / 9, 1 / 3)
    shares = shares if draw.random() < 0.6 or state is TrialState.COMPLETE else shares[:1]
    top = 0.6 + 0.03 * (params > 0) * draw.uniform(0, 8)
    failed = state is TrialState.FAILED
    return TrialRecord(
        number=number,
        candidate=Candidate(
            method=method,
            learning_rate=10 ** draw.uniform(-4, -2),
            epochs=draw.choice((3, 5)),
            knobs={"r": draw.choice((1, 4, 8))} if method in ("lora", "dora") else {},
            placement=None if params == 0 else draw.choice(PLACES),
        ),
        seed=0,
        state=state,
        origin=("default", "head")[number] if number < 2 else "tpe",
        curve=tuple(
            RungPoint(rung=rung, share=share, score=top * share**0.1, wall_seconds=20 * share)
            for rung, share in enumerate(shares[: number % 2] if failed else shares)
        ),
        score=top if state is TrialState.COMPLETE else None,
        costs=Costs(trainable_params=params)
        if failed
        else Costs(
            trainable_params=params,
            head_params=770,
            artifact_bytes=4 * params + 4_000,
            peak_memory_bytes=170_000_000 + 10 * params,
            train_seconds=draw.uniform(5, 30),
            latency_seconds=draw.uniform(0.004, 0.02) if state is TrialState.COMPLETE else None,
        ),
        cause=draw.choice((Cause.OUT_OF_MEMORY, Cause.NON_FINITE)) if failed else None,
        message="the loss was not finite at step 12" if failed else "",
    )


def replicate(record: TrialRecord, seed: int, score: float) -> TrialRecord:
    """Return a further seed of a trial."""
    values = record.to_json() | {"seed": seed, "score": score, "origin": "replicate"}
    return TrialRecord.from_json(values)


def choice(made: Sequence[TrialRecord], number: int = 2, **values: Any) -> dict[str, Any]:
    """Return what ``result.json`` says of the choice of a trial."""
    final = [made[number], made[3], made[0], made[1]]
    record = made[number]
    return {
        "number": number,
        "seed": 1,
        "method": record.candidate.method,
        "label": record.candidate.describe(),
        "reason": f"Trial {number} was chosen because it trains the fewest parameters.",
        "metric": "accuracy",
        "trainable_params": record.costs.trainable_params,
        "selection_score": 0.78,
        "test_scores": {"accuracy": 0.7533, "macro-f1": 0.75, "mcc": 0.51},
        "untrained_test_score": 0.5,
        "finalists": [
            {
                "number": one.number,
                "label": one.candidate.describe(),
                "origin": one.origin,
                "trainable_params": one.costs.trainable_params,
                "seeds": 3,
                "mean": 0.79 - 0.01 * place,
                "spread": 0.008,
                "behind": 0.01 * place,
                "standard_error": 0.012 * bool(place),
                "best_share": 0.4 / (1 + place),
                "test_score": 0.75 - 0.01 * place,
            }
            for place, one in enumerate(final)
        ],
    } | values


def view(count: int = 30, **values: Any) -> RunView:
    """Return a finished run with something for every figure."""
    made = records(count)
    labels = values.get("labels", ("negative", "positive"))
    counts = {(labels[0], labels[0]): 110, (labels[1], labels[1]): 116}
    counts |= {(labels[0], labels[1]): 40, (labels[1], labels[0]): 34}
    defaults: dict[str, Any] = {
        "name": "reviews",
        "folder": "runs/reviews",
        "task": "text-classification",
        "metric": "accuracy",
        "higher_is_better": True,
        "percent": True,
        "labels": labels,
        "records": tuple(made),
        "replicates": {
            number: [replicate(made[number], 1, 0.77), replicate(made[number], 2, 0.79)]
            for number in (0, 2, 3)
        },
        "choice": choice(made),
        "load_code": "from peft import PeftModel\nmodel = PeftModel.from_pretrained(base, 'best')",
        "gates": {
            3: [
                {"layer": layer, "part": part, "mean": 0.1 + 0.14 * layer, "spread": 0.02}
                for layer in range(6)
                for part in ("serial", "prefix", "lora")
            ]
        },
        "importance": Importance(
            shares={"method": (0.5, 0.02), "rank": (0.2, 0.03), "learning rate": (0.3, 0.01)},
            trials=24,
            trained=1 / 3,
            note="fANOVA over 24 trials.",
        ),
        "splits": [
            SplitView(
                name=name,
                rows=rows,
                labels={labels[0]: rows // 2, labels[1]: rows - rows // 2},
                words=[(1, 10, rows // 4), (11, 20, rows // 2), (21, 30, rows - 3 * rows // 4)],
            )
            for name, rows in (("train", 900), ("selection", 300), ("test", 300))
        ],
        "mistakes": MistakesView(
            rows=300,
            counts=counts,
            worst=[
                Mistake(
                    row=7,
                    text="not half bad",
                    text_pair=None,
                    label=labels[1],
                    prediction=labels[0],
                    probability=0.98,
                )
            ],
        ),
        "facts": facts(labels),
        "settings": {"seed": 0, "data": "172fa6def8c04f3a", "columns": ["text", None, "label"]},
        "versions": {"autopeft": "0.1.0", "torch": "2.13.0"},
        "wall_seconds": 171.0,
    }
    return RunView(**(defaults | values))


def facts(labels: Sequence[str]) -> dict[str, Any]:
    """Return what a search writes for its page."""
    return {
        "data": {
            "name": "reviews",
            "origin": "reviews.csv",
            "text": "text",
            "text_pair": None,
            "label": "label",
            "labels": list(labels),
            "notes": ["selection and test carved out of 1,500 rows with seed 0"],
            "rows": [900, 300],
            "max_length": 128,
            "longest": 128,
            "truncated": 12,
        },
        "model": {
            "name": "minilm",
            "architecture": "bert",
            "layers": 6,
            "hidden": 384,
            "total_params": 22_713_216,
        },
        "machine": {
            "device": "cpu",
            "precision": "bfloat16 backbone, eager attention",
            "processor": "A processor",
            "cores": 2,
            "memory_bytes": 24_000_000_000,
            "system": "Linux 6",
            "python": "3.11.9",
        },
        "command": "autopeft search reviews.csv --model minilm --time-limit 180",
    }


def folder(
    path: Path,
    count: int = 12,
    *,
    finished: bool = True,
    labels: Sequence[str] = ("negative", "positive"),
    texts: Mapping[int, str] | None = None,
    **identity: Any,
) -> Path:
    """Write a run folder; of an unfinished one the last trial is still running."""
    known = {"task": "text-classification", "metric": "accuracy", "seed": 0} | identity
    details = {"data": "reviews.csv", "model": "minilm", "versions": {"autopeft": "0.1.0"}}
    made = records(count)
    with RunFolder.open(path, identity=known, details=details) as run:
        trials = run.trials(higher_is_better=True)
        for record in made:
            proposal = {
                "candidate": record.candidate.to_json(),
                "seed": 0,
                "origin": record.origin,
                "params": {},
                "trainable_params": record.costs.trainable_params,
            }
            trials.enqueue(proposal)
            number = trials.study.ask().number
            if number == 3:
                trials.note(3, "gates", [{"layer": 0, "part": "lora", "mean": 0.7, "spread": 0.1}])
            if finished or number + 1 < count:
                trials.conclude(record)
        trials.replicate(replicate(made[2], 1, 0.77))
        trials.study.set_user_attr("seconds", 171.0)
        run.write_json("facts.json", facts(labels))
        if finished:
            run.write_json("result.json", {"asked": {}, "choice": choice(made)})
    _data(path, finished, labels, texts or {})
    return path


def _data(run: Path, finished: bool, labels: Sequence[str], texts: Mapping[int, str]) -> None:
    for split, rows in (("train", 30), ("selection", 10), ("test", 10)):
        table = pa.table(
            {
                "text": [texts.get(row, f"word {row} " * (row % 4 + 1)) for row in range(rows)],
                "label": [row % 2 for row in range(rows)],
                "row": [100 + row for row in range(rows)],
            }
        )
        place = run / "data" / split
        place.mkdir(parents=True)
        with (
            pa.OSFile(str(place / "data-00000-of-00001.arrow"), "wb") as file,
            pa.ipc.new_stream(file, table.schema) as writer,
        ):
            writer.write_table(table, max_chunksize=4)
        (place / "state.json").write_text("{}", encoding="utf-8")
    if finished:
        predictions = {
            "row": [100 + row for row in range(10)],
            "label": [labels[row % 2] for row in range(10)],
            "prediction": [labels[0] if row < 8 else labels[1] for row in range(10)],
            "probability": [0.5 + row / 20 for row in range(10)],
        }
        parquet.write_table(pa.table(predictions), run / "predictions.parquet")
