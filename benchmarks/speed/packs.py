"""How fast packs of candidates train, beside the loop that a practitioner would write.

    python -m benchmarks.speed.packs
    python -m benchmarks.speed.packs --growth

Ours, on the demo's movie reviews and the real MiniLM: ``alone``, one LoRA r=8 on queries and values
of all layers; ``pack``, eight such candidates of different learning rates in one pass; ``top half``
and ``top layer``, eight adapters after the feed-forward in so much of the backbone, the frozen
layers below recycled. The peers are transformers' Trainer with peft and that LoRA, one candidate
at a time: (a) fp32 with dynamic padding; (b) bf16 with batches grouped by length, unless the
processor only emulates it; (b') the same in fp32; (c) fp32 with every text padded to 128 tokens.
With ``--autogluon PYTHON`` also (d), AutoGluon MultiModal with LoRA in fp32, run by the Python of
an environment of its own; its evaluations cannot be told from its training. Contenders take turns
in one process, in changing order.

Candidate-examples per second count rows times epochs times candidates; ratios are taken round by
round. A first round is thrown away but shown as ``first``: only it computes the states that leave
the recycled layers. To see what a processor does that has neither AMX nor other units for bf16, set
ONEDNN_MAX_CPU_ISA=AVX512_CORE before the command; AVX512_CORE_BF16 leaves only AMX out.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from rich.console import Console

from autopeft.data.demo import demo_model
from autopeft.report import table
from autopeft.train.precision import computes_bfloat16
from autopeft.train.session import Session
from benchmarks import ledger
from benchmarks.speed import gemm, growth
from benchmarks.speed.contender import RATES, Contender, Runs, require_equal, take_turns
from benchmarks.speed.material import default_lora, save_splits, serial_adapter, with_rates
from benchmarks.speed.ours import ours
from benchmarks.speed.peer import GROUPED, STRONG, practitioner
from benchmarks.speed.peer_autogluon import autogluon
from benchmarks.spread import spread

FILE = ledger.RESULTS / "speed-packs.json"
OURS = ("alone", "pack", "top half", "top layer")
BF16_PEER = "strong (b)"
PEERS: dict[str, dict[str, Any]] = {
    "trainer (a)": {},
    BF16_PEER: STRONG,
    "strong fp32 (b')": GROUPED,
    "padded (c)": {"pad_to": 128},
}

AUTOGLUON = "autogluon (d)"


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark, keep the result and return it."""
    options = _parser().parse_args(arguments)
    unsaid = ("result", "autogluon")
    asked = {name: value for name, value in vars(options).items() if name not in unsaid}
    asked |= {name: asked[name] and Path(asked[name]).name for name in ("data", "model")}
    options.model = options.model or str(demo_model())
    datasets.disable_progress_bars()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        found = (growth.measure if options.growth else _beside_peers)(options, Path(folder))
    result = {
        "benchmark": "growth" if options.growth else "packs",
        "settings": asked | {"onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA")},
        **found,
    }
    ledger.append(options.result, result)
    _show(result, options.result)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--examples", type=int, default=900, help="training rows")
    parser.add_argument("--evaluated", type=int, default=240, help="selection rows")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--pack", type=int, default=8, help="candidates in a pass")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--model", help="default: the demo's MiniLM")
    parser.add_argument("--result", type=Path, default=FILE, help="file that the run is added to")
    parser.add_argument("--autogluon", metavar="PYTHON", help="add (d), run by this Python")
    parser.add_argument("--growth", action="store_true", help="measure what the cost grows with")
    parser.add_argument(
        "--sweeps", nargs="+", choices=growth.SWEEPS, default=growth.SWEEPS, help="for --growth"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32], help="of packs, for --growth"
    )
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[16, 32, 64, 128], help="tokens, for --growth"
    )
    return parser


def _beside_peers(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train each contender once per repeat, after a round that warms up."""
    setting = save_splits(
        options.data, options.model, options.examples, 0, folder, others=options.evaluated
    )
    session = Session(setting)
    default = default_lora(options.epochs)
    peers = [name for name in PEERS if name != BF16_PEER or computes_bfloat16(session.device)]
    contenders = _packs(session, options.epochs, options.pack) | {
        name: practitioner(setting, default, **PEERS[name]) for name in peers
    }
    if options.autogluon:
        contenders[AUTOGLUON] = autogluon(options.autogluon, setting, default)
    rounds = take_turns(contenders, range(options.repeats + 1))
    require_equal({name: rounds[name] for name in ("alone", *peers)})
    runs = {name: done[1:] for name, done in rounds.items()}
    limit = gemm.limit(session)
    summary = summarise(rounds)
    return {
        "candidate": default.to_json(),
        "plan": session.plan.to_json(),
        "recycled": {
            "seconds": {name: rounds[name][0].recycle_seconds for name in OURS[2:]},
            "bytes": sum(file.stat().st_size for file in (folder / "frozen").glob("*")),
        },
        "gemm_limit": limit,
        "share_of_gemm_limit": {
            name: summary["training"][name]["candidate_examples_per_second"]["median"]
            / limit["examples_per_second"]
            for name in OURS[:2]
        },
        "first": {name: done[0].to_json() for name, done in rounds.items()},
        "runs": {name: [run.to_json() for run in done] for name, done in runs.items()},
        "summary": summary,
    }


def _packs(session: Session, epochs: int, size: int) -> dict[str, Contender]:
    """Return our contenders by name."""
    default, layers = default_lora(epochs), session.delivered.shape.layers
    packs = {
        "pack": default,
        "top half": serial_adapter(epochs, f"top:{layers // 2}"),
        "top layer": serial_adapter(epochs, "top:1"),
    }
    return {
        "alone": ours(session, default),
        **{name: ours(session, *with_rates(one, size)) for name, one in packs.items()},
    }


def summarise(rounds: Runs) -> dict[str, Any]:
    """Return rates without the first round, the first, and ratios to the peers round by round."""
    summary: dict[str, Any] = {}
    for what, rate in RATES.items():
        found = {name: [rate(run) for run in done] for name, done in rounds.items()}
        summary[what] = {
            name: {
                "candidate_examples_per_second": spread(values[1:]),
                "first": values[0],
                "times_faster_than": {
                    peer: spread([a / b for a, b in zip(values[1:], found[peer][1:], strict=True)])
                    for peer in (*PEERS, AUTOGLUON)
                    if peer in found
                },
            }
            for name, values in found.items()
        }
    return summary


def _show(result: dict[str, Any], file: Path) -> None:
    plan = result["plan"]
    print(f"our plan: {plan['dtype']} backbone, {plan['attention']} attention")
    console = Console(width=120)
    if result["benchmark"] == "growth":
        table.show(growth.rows(result["growth"]), "table", console)
        if result["no_memory_for"]:
            print(f"left out, for memory: packs of {result['no_memory_for']}")
    else:
        for what, contenders in result["summary"].items():
            print(f"\n{what}:")
            table.show(_rows(contenders), "table", console)
        print()
        for name, share in result["share_of_gemm_limit"].items():
            print(f"{name}: {share:.0%} of what the matrix products alone would allow")
        for name, seconds in result["recycled"]["seconds"].items():
            print(f"{name}: recycled states computed once, in {seconds:.2f} s")
    print(f"kept in {file}")


def _rows(contenders: dict[str, Any]) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "per second": values["candidate_examples_per_second"]["median"],
            "first": values["first"],
            **{
                f"× {peer.split()[-1]}": _range(ratio)
                for peer, ratio in values["times_faster_than"].items()
            },
        }
        for name, values in contenders.items()
    ]


def _range(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"


if __name__ == "__main__":
    main()
