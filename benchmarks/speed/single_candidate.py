"""How fast one candidate trains, beside the loop that a practitioner would write.

    python -m benchmarks.speed.single_candidate --repeats 5
    python -m benchmarks.speed.single_candidate --accuracy --seeds 5
    python -m benchmarks.speed.single_candidate --accuracy --pack 8 --data FOLDER

The candidate is the field's default, LoRA r=8 on queries and values, on the real MiniLM and the
demo's movie reviews. The peer is transformers' Trainer with peft in fp32 with dynamic padding; with
``--strong`` also the same with bf16 and batches grouped by length. Same rows, batch size, rate and
schedule. Contenders take turns in one process, in changing order; a first round is thrown away.

Training examples per second count rows times epochs, over the time from entry into the training
loop to its last step, without and with an evaluation on the selection split after every epoch.
With ``--accuracy`` every seed draws its own sample, splits and initialisation, the same for all;
differences are taken seed by seed; ours delivers the best epoch's weights, the peer its last. With
``--pack`` ours trains it in one pass with candidates of smaller learning rates, with ``--dtype`` on
a backbone of that precision, faster here or not; what is not asked for is decided as in a search.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from rich.console import Console

from autopeft.data.demo import demo_model
from autopeft.report import table
from autopeft.train.precision import Plan, computes_bfloat16
from autopeft.train.session import Session
from benchmarks import ledger
from benchmarks.speed.contender import RATES, Contender, Runs, require_equal, take_turns
from benchmarks.speed.material import default_lora, save_splits, with_rates
from benchmarks.speed.ours import ours
from benchmarks.speed.peer import STRONG, practitioner
from benchmarks.speed.widened import widened
from benchmarks.spread import paired, plus_minus, spread

FILE = ledger.RESULTS / "speed-single-candidate.json"
OURS = "autopeft"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    options = _parser().parse_args(arguments)
    options.epochs = options.epochs or (3 if options.accuracy else 1)
    datasets.disable_progress_bars()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    measure = _accuracy if options.accuracy else _speed
    runs, plan = measure(options)
    if options.pack == 1:
        require_equal(runs)
    result = {
        "benchmark": "accuracy" if options.accuracy else "speed",
        "settings": {n: v for n, v in vars(options).items() if n not in ("result", "model")}
        | {"data": Path(options.data).name},
        "candidate": default_lora(options.epochs).to_json(),
        "plan": plan,
        "runs": {name: [run.to_json() for run in done] for name, done in runs.items()},
        "summary": (_accuracy_summary if options.accuracy else _speed_summary)(runs),
    }
    ledger.append(options.result, result)
    _show(result, options.result)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--examples", type=int, default=900, help="training rows")
    parser.add_argument("--others", type=int, help="selection and test rows each; default: all")
    parser.add_argument("--epochs", type=int, help="default: 1, for accuracy 3")
    parser.add_argument("--accuracy", action="store_true", help="compare accuracy, not speed")
    parser.add_argument("--seeds", type=int, default=5, help="for --accuracy")
    parser.add_argument("--pack", type=int, default=1, help="candidates in our pass")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="of our backbone")
    parser.add_argument("--strong", action="store_true", help="add bf16 + group by length")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    return parser


def _speed(options: argparse.Namespace) -> tuple[Runs, dict[str, Any]]:
    """Train each contender once per repeat, in changing order, after a round that warms up."""
    with tempfile.TemporaryDirectory() as folder:
        contenders, plan = _contenders(options, 0, Path(folder))
        runs = take_turns(contenders, range(options.repeats + 1))
    return {name: done[1:] for name, done in runs.items()}, plan


def _accuracy(options: argparse.Namespace) -> tuple[Runs, dict[str, Any]]:
    """Train and test each contender once per seed, on that seed's sample and splits."""
    runs: Runs = {}
    plan: dict[str, Any] = {}
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            contenders, plan = _contenders(options, seed, Path(folder))
            for name, done in take_turns(contenders, [seed]).items():
                runs.setdefault(name, []).extend(done)
    return runs, plan


def _contenders(
    options: argparse.Namespace, seed: int, folder: Path
) -> tuple[dict[str, Contender], dict[str, Any]]:
    """Return the contenders by name, and how our session decided to train."""
    model = options.model or str(demo_model())
    setting = save_splits(options.data, model, options.examples, seed, folder, options.others)
    session = Session(dataclasses.replace(setting, plan=_plan(options.dtype)))
    candidate, score = default_lora(options.epochs), options.accuracy
    mine = ours(session, *with_rates(candidate, options.pack), score=score)
    if score and session.plan.dtype == "bfloat16" and not computes_bfloat16(session.device):
        mine = widened(mine)  # slower than float32 all the same: nothing to time
    contenders = {
        OURS: mine,
        "trainer": practitioner(setting, candidate, score=score),
    }
    if options.strong:
        contenders["trainer-strong"] = practitioner(setting, candidate, score=score, **STRONG)
    return contenders, session.plan.to_json()


def _plan(dtype: str | None) -> dict[str, Any] | None:
    """Return a plan with that precision, None for one that is measured."""
    return None if dtype is None else Plan(dtype=dtype, attention="eager").to_json()


def _speed_summary(runs: Runs) -> dict[str, Any]:
    """Return examples per second of each contender, and how many times faster ours is."""
    summary: dict[str, Any] = {}
    for what, rate in RATES.items():
        found = {name: [rate(run) for run in done] for name, done in runs.items()}
        summary[what] = {
            name: {
                "examples_per_second": spread(values),
                "ours_is_faster": spread([a / b for a, b in zip(found[OURS], values, strict=True)]),
            }
            for name, values in found.items()
        }
    return summary


def _accuracy_summary(runs: Runs) -> dict[str, Any]:
    """Return test accuracy of each contender, and ours minus theirs."""
    found = {name: [run.test_accuracy or 0.0 for run in done] for name, done in runs.items()}
    return {
        name: {"test_accuracy": spread(values), "ours_minus_theirs": paired(found[OURS], values)}
        for name, values in found.items()
    }


def _show(result: dict[str, Any], file: Path) -> None:
    rows = (_accuracy_rows if result["benchmark"] == "accuracy" else _speed_rows)(result["summary"])
    plan = result["plan"]
    print(f"our plan: {plan['dtype']} backbone, {plan['attention']} attention")
    table.show(rows, "table", Console(width=100))
    print(f"kept in {file}")


def _speed_rows(summary: dict[str, Any]) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "counted": what,
            "examples_per_second": values["examples_per_second"]["median"],
            "ours_is_faster": values["ours_is_faster"]["median"],
            "lowest": values["ours_is_faster"]["low"],
            "highest": values["ours_is_faster"]["high"],
        }
        for what, contenders in summary.items()
        for name, values in contenders.items()
    ]


def _accuracy_rows(summary: dict[str, Any]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, values in summary.items():
        accuracy, ahead = values["test_accuracy"], values["ours_minus_theirs"]
        rows.append(
            {
                "name": name,
                "test_accuracy (± sd)": plus_minus(accuracy["mean"], accuracy["sd"]),
                "ours − theirs (± se)": plus_minus(ahead["mean"], ahead["standard_error"]),
            }
        )
    return rows


if __name__ == "__main__":
    main()
