"""How fast one candidate trains, beside the loop that a practitioner would write.

    python -m benchmarks.speed.single_candidate --repeats 5
    python -m benchmarks.speed.single_candidate --accuracy --seeds 5

The candidate is the field's default, LoRA r=8 on queries and values, on the real MiniLM and the
demo's movie reviews. The peer is transformers' Trainer with peft in fp32 with dynamic padding; with
``--strong`` also the same with bf16 and batches grouped by length. Same rows, batch size, rate and
schedule. Contenders take turns in one process, in changing order; a first round is thrown away.

Training examples per second count rows times epochs, over the time from entry into the training
loop to its last step, without and with an evaluation on the selection split after every epoch.
With ``--accuracy`` every seed draws its own sample, splits and initialisation, the same for all;
differences are taken seed by seed; ours delivers the best epoch's weights, the peer its last.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from rich.console import Console

from autopeft.data.demo import demo_model
from autopeft.records import Candidate
from autopeft.report import table
from autopeft.train.session import Session
from benchmarks import ledger
from benchmarks.speed.contender import STRONG, Contender, Outcome, ours, practitioner
from benchmarks.speed.material import default_lora, save_splits
from benchmarks.spread import paired, plus_minus, spread

FILE = ledger.RESULTS / "speed-single-candidate.json"
OURS = "autopeft"

Runs = dict[str, list[Outcome]]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    options = _parser().parse_args(arguments)
    options.epochs = options.epochs or (3 if options.accuracy else 1)
    datasets.disable_progress_bars()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    measure = _accuracy if options.accuracy else _speed
    runs, plan = measure(options)
    _require_equal(runs)
    result = {
        "benchmark": "accuracy" if options.accuracy else "speed",
        "settings": {n: v for n, v in vars(options).items() if n != "result"},
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
    parser.add_argument("--epochs", type=int, help="default: 1, for accuracy 3")
    parser.add_argument("--accuracy", action="store_true", help="compare accuracy, not speed")
    parser.add_argument("--seeds", type=int, default=5, help="for --accuracy")
    parser.add_argument("--strong", action="store_true", help="add bf16 + group by length")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    return parser


def _speed(options: argparse.Namespace) -> tuple[Runs, dict[str, Any]]:
    """Train each contender once per repeat, in changing order, after a round that warms up."""
    with tempfile.TemporaryDirectory() as folder:
        contenders, plan = _contenders(options, 0, Path(folder))
        candidate = default_lora(options.epochs)
        rounds = [_round(contenders, candidate, seed, False) for seed in range(options.repeats + 1)]
    return _by_name(rounds[1:]), plan


def _accuracy(options: argparse.Namespace) -> tuple[Runs, dict[str, Any]]:
    """Train and test each contender once per seed, on that seed's sample and splits."""
    rounds, plan = [], {}
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            contenders, plan = _contenders(options, seed, Path(folder))
            rounds.append(_round(contenders, default_lora(options.epochs), seed, True))
    return _by_name(rounds), plan


def _contenders(
    options: argparse.Namespace, seed: int, folder: Path
) -> tuple[dict[str, Contender], dict[str, Any]]:
    """Return the contenders by name, and how our session decided to train."""
    model = options.model or str(demo_model())
    setting = save_splits(options.data, model, options.examples, seed, folder)
    session = Session(setting)
    contenders = {OURS: ours(session), "trainer": practitioner(setting)}
    if options.strong:
        contenders["trainer-strong"] = practitioner(setting, **STRONG)
    return contenders, session.plan.to_json()


def _round(
    contenders: dict[str, Contender], candidate: Candidate, seed: int, score: bool
) -> dict[str, Outcome]:
    """Train each contender once; every other round in reverse order."""
    order = list(contenders) if seed % 2 == 0 else list(reversed(contenders))
    return {name: contenders[name](candidate, seed, score) for name in order}


def _by_name(rounds: list[dict[str, Outcome]]) -> Runs:
    return {name: [done[name] for done in rounds] for name in sorted(rounds[0])}


def _require_equal(runs: Runs) -> None:
    """Raise unless every contender saw as many examples and trained as many parameters."""
    seen = {(run.examples, run.trained_params) for done in runs.values() for run in done}
    if len(seen) > 1:
        raise RuntimeError(f"the contenders did different work (examples, parameters): {seen}")


def _speed_summary(runs: Runs) -> dict[str, Any]:
    """Return examples per second of each contender, and how many times faster ours is."""
    rates = {
        "training": lambda run: run.examples / run.train_seconds,
        "with_evaluation": lambda run: run.examples / (run.train_seconds + run.evaluation_seconds),
        "whole": lambda run: run.examples / run.whole_seconds,
    }
    summary: dict[str, Any] = {}
    for what, rate in rates.items():
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
