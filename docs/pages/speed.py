"""The page of speed: what was measured beside other loops, and what was aimed at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ledger
from benchmarks.speed.material import SEEDS
from benchmarks.speed.packs import AUTOGLUON
from benchmarks.speed.race import DEMO_MODEL, TASKS, latest, median_share
from docs.pages.markdown import sentence, table, wrapped

PACK = 8
"""Candidates in the packs that aims are about."""

AIMS = {
    "pack": {"trainer (a)": 5.0, "strong (b)": 2.5},
    "top half": {"trainer (a)": 10.0, "strong (b)": 5.0},
    "top layer": {"trainer (a)": 25.0, "strong (b)": 12.0},
}
"""How many times as fast as a peer packs were to be on MiniLM and short texts, on a processor with
units for bfloat16."""

FLOAT_AIM = {"pack": {"strong fp32 (b')": 1.5}}
"""The same on a processor without."""

AS_IT_IS = ("demo:bbc",)
"""Data sets of long texts, for which nothing was aimed at."""

GEMM_AIM = 0.3
MEMORY_AIM = 1.2e9
RACE_AIM = 1 / 8
GPU_AIM = 10.0
"""How many times as fast as one by one packs were to be on a GPU."""

_EMULATED = "This processor only emulates bfloat16, so that (b) is no rival here. "

SWEEPS = {
    "pack": "candidates in a pass, LoRA in all layers",
    "layer": "lowest of the layers with adapters, {pack} candidates, those below computed once",
    "length": "tokens of every text, {pack} LoRA in a pass",
    "rows": "training rows, {pack} LoRA in a pass",
}
"""What grows, by the name of the sweep."""

ACCURACY_DATA = 3
"""Data sets on which accuracy is to be compared."""

Run = Mapping[str, Any]


def speed(results: Path = ledger.RESULTS) -> Iterator[str]:
    """Yield the lines of speed.md."""
    packs = _read(results, "packs")
    yield from ("# How fast candidates train", "")
    yield from wrapped(
        "What the benchmarks of `benchmarks/speed/` found, beside the loops that people write by "
        "hand: (a) transformers' Trainer with peft in float32 with batches padded to their longest "
        "text, (b) the same in bfloat16 with batches grouped by length, (b') that in float32, (c) "
        "all texts padded or cut to 128 tokens, (d) AutoGluon MultiModal with its own LoRA in "
        "float32, all of its time counted. Each section is one run of a benchmark, in which all "
        "took turns on the same machine; ratios are medians of the turns. What was aimed at stands "
        "beside what came, reached or not."
    )
    yield ""
    for run in _latest(_of(packs, "packs")):
        yield from _packs(run)
    yield from _alone(_read(results, "single-candidate"))
    yield from _memory(_read(results, "memory"))
    yield from _padding(_read(results, "padding"))
    yield from _race(_read(results, "race"))
    yield from _growth(_of(packs, "growth"))
    yield from _blanks(results)


def _read(results: Path, name: str) -> list[dict[str, Any]]:
    return ledger.read(results / f"speed-{name}.json")


def _of(runs: Sequence[Run], benchmark: str) -> list[Run]:
    return [run for run in runs if run["benchmark"] == benchmark]


def _latest(runs: Sequence[Run]) -> list[Run]:
    """Return the last run of each data set, backbone, dtype and device."""

    def circumstance(run: Run) -> tuple[Any, ...]:
        settings = run["settings"]
        return settings["data"], settings["model"], run["plan"]["dtype"], run["hardware"]["gpu"]

    return list({circumstance(run): run for run in runs}.values())


def _packs(run: Run) -> Iterator[str]:
    settings, training = run["settings"], run["summary"]["training"]
    peers = list(training["pack"]["times_faster_than"])
    low = run["plan"]["dtype"] == "bfloat16"
    yield from (
        f"## {_backbone(run)} on {_data(settings['data'])}, {run['plan']['dtype']} backbone",
        "",
    )
    yield from wrapped(
        f"Candidate-examples per second while training, {settings['examples']:,} rows, packs of "
        f"{settings['pack']} candidates: default LoRA in all layers, adapters in the top half and "
        f"in the top layer with what lies below computed once. {_EMULATED * (not low)}"
        f"{_measured(run)}"
    )
    yield ""
    aims: Mapping[str, Mapping[str, float]] = {}
    if settings["model"] is None and settings["data"] not in AS_IT_IS:
        aims = AIMS if low else FLOAT_AIM
    yield from table(
        ("", "per second", *(f"× {peer}" for peer in peers)),
        (
            (
                name,
                _rate(values["candidate_examples_per_second"]["median"]),
                *(
                    _ratio(values["times_faster_than"][peer], aims.get(name, {}).get(peer))
                    for peer in peers
                ),
            )
            for name, values in training.items()
        ),
    )
    shares = run["share_of_gemm_limit"]
    yield ""
    yield from wrapped(
        f"Of what the matrix products alone would allow, a pack does {shares['pack']:.0%} and one "
        f"candidate alone {shares['alone']:.0%}{f' (aimed at: {GEMM_AIM:.0%})' * bool(aims)}. "
        f"{_missing_to(aims.get('pack', {}), training['pack'], shares['pack'])}By what a search "
        f"measures before its first trial, it would train {_together(run['plan'])} here."
        f"{_beside_autogluon(run['summary']['whole']['pack']) if AUTOGLUON in peers else ''}"
    )
    yield from _command(f"packs {_material(run)}")


def _missing_to(aims: Mapping[str, float], pack: Run, share: float) -> str:
    """Say what a pack would have to do of what the products allow, for the aims that it missed."""
    came = {peer: pack["times_faster_than"][peer]["median"] for peer in aims}
    needed = [
        f"{share * aim / came[peer]:.0%} to be {aim:g} times as fast as {peer}"
        for peer, aim in aims.items()
        if came[peer] < aim
    ]
    return f"A pack would have to do {' and '.join(needed)}. " if needed else ""


def _beside_autogluon(pack: Run) -> str:
    """Say how fast a pack is where everything counts, as it does for that peer."""
    times = _ratio(pack["times_faster_than"][AUTOGLUON])
    return f" From loaded data to saved adapters a pack is {times} times as fast as {AUTOGLUON}."


def _alone(runs: Sequence[Run]) -> Iterator[str]:
    yield from ("## One candidate alone", "")
    for run in _of(runs, "speed")[-1:]:
        found = run["summary"]["training"]
        yield from wrapped(
            "Against "
            + " and ".join(
                f"the {_peer(name)} it is {_ratio(values['ours_is_faster'])} times as fast"
                for name, values in found.items()
                if name != "autopeft"
            )
            + f", while training. {_measured(run)}"
        )
        yield from _command("single_candidate")
    yield from _accuracy(_of(runs, "accuracy"))


def _accuracy(runs: Sequence[Run]) -> Iterator[str]:
    if not runs:
        return
    yield from ("## Accuracy", "")
    yield from wrapped(
        "Test accuracy of default LoRA as a search trains it, alone or in a pack with smaller "
        "learning rates (without the backbone's own dropout, batches grouped by length, weights of "
        "the best epoch), and as the Trainer (a) does; each seed draws its own sample and splits, "
        "and differences are taken seed by seed: points ± standard error. Where a processor only "
        "emulates bfloat16, its products are computed in float32 and rounded, as its units would."
    )
    yield ""
    yield from table(
        ("", "candidates in the pass", "backbone", "seeds", "ours", "Trainer (a)", "difference"),
        {row[:3]: row for row in map(_accuracies, runs)}.values(),
    )
    settings = runs[-1]["settings"]
    given = {name: settings.get(name) for name in ("pack", "dtype", "examples", "others")}
    options = "".join(f" --{name} {value}" for name, value in given.items() if value is not None)
    yield from _command(f"single_candidate --accuracy{options} --data FOLDER")


def _accuracies(run: Run) -> tuple[str, ...]:
    """Return a row of the table, its circumstances first: data set, size of the pass, dtype."""
    summary, settings = run["summary"], run["settings"]
    apart = summary["trainer"]["ours_minus_theirs"]
    return (
        _data(settings["data"]),
        str(settings.get("pack", 1)),
        run["plan"]["dtype"],
        str(settings["seeds"]),
        _percent(summary["autopeft"]["test_accuracy"]),
        _percent(summary["trainer"]["test_accuracy"]),
        f"{100 * apart['mean']:+.1f} ± {100 * apart['standard_error']:.1f}",
    )


def _memory(runs: Sequence[Run]) -> Iterator[str]:
    yield from ("## Memory of packs", "")
    for run in runs[-1:]:
        settings = run["settings"]
        yield from wrapped(
            f"Peak above the loaded backbone, {settings['batch_size']} × {settings['tokens']} "
            f"tokens for each candidate, {run['plan']['dtype']} backbone. {_measured(run)}"
        )
        yield ""
        yield from table(
            ("candidates", "MB", "MB each"),
            (
                (
                    str(one["pack"]),
                    _aimed(
                        f"{one['summary']['median'] / 1e6:,.0f}",
                        f"at most {MEMORY_AIM / 1e6:,.0f}" if one["pack"] == PACK else None,
                    ),
                    f"{one['summary']['median'] / one['pack'] / 1e6:,.0f}",
                )
                for one in run["found"]
            ),
        )
        yield from _command("memory")


def _padding(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs[-1:]:
        settings = run["settings"]
        least, most = settings["lengths"]
        yield from ("## Rounded lengths in bfloat16", "")
        yield from wrapped(
            f"A pack of {', '.join(settings['methods'])} with their defaults on "
            f"{_data(settings['data'])}, {settings['examples']} rows of {least} to {most} tokens, "
            f"{settings['epochs']} epochs, in a fresh process with {settings['threads']} thread "
            "each time: batches as long as their longest text; lengths rounded up to multiples of "
            "eight; and besides a larger store of generated code. "
            f"{_measured(run)}"
        )
        yield ""
        yield from table(
            ("lengths", "seconds", "times as fast", "MB at most"),
            (
                (
                    name,
                    f"{run['seconds'][name]['median']:.1f}",
                    f"{run['speed'][name]['median']:.2f}",
                    f"{max(one['peak_bytes'] for one in done) / 1e6:,.0f}",
                )
                for name, done in run["runs"].items()
            ),
        )
        yield from _command("padding")


def _race(runs: Sequence[Run]) -> Iterator[str]:
    last = latest(runs)
    for model, task in dict.fromkeys(who[:2] for who in last):
        races = [last[who] for who in sorted(last) if who[:2] == (model, task)]
        run = races[-1]
        peer = "(b)" if "bf16" in run["settings"]["peer"] else "(b')"
        yield from (f"## A race of searches on {task} with {model}", "")
        yield from wrapped(
            f"Optuna around {peer} searches for {run['settings']['seconds'] / 60:.0f} minutes from "
            "when everything is imported and tokenised, then `autopeft search` in the same time, "
            "from the start of the command until its best selection score is as good. That was to "
            f"take {RACE_AIM:.3g} of the time at most. {_measured(run)}"
        )
        yield ""
        yield from table(
            (
                "",
                "by hand",
                "after",
                "trials",
                "ours",
                "as good after",
                "trials ",
                "share of the time",
            ),
            (
                (
                    f"seed {race['seed']}",
                    f"{race['peer']['best'][-1][1]:.3f}",
                    f"{race['peer']['best'][-1][0]:.0f} s",
                    str(race["peer"]["trials"]),
                    f"{race['ours']['best'][-1][1]:.3f}",
                    "never" if race["share"] is None else f"{race['seconds']:.0f} s",
                    str(race["ours"]["trials"]),
                    "" if race["share"] is None else f"{race['share']:.2f}",
                )
                for race in races
            ),
        )
        yield ""
        share = median_share(races)
        first = [race["ours"]["best"][0][0] for race in races]
        yield from wrapped(
            (
                "More than half of the races missed it. "
                if share is None
                else f"The median is {share:.2f}. "
            )
            + f"Ours had its first score, of a training under way, after {min(first):.0f} to "
            f"{max(first):.0f} s."
        )
        yield from _command("race --assets FOLDER")


def _growth(runs: Sequence[Run]) -> Iterator[str]:
    for run in _latest(runs):
        settings, plan, gpu = run["settings"], run["plan"], run["hardware"]["gpu"]
        where = f"{_backbone(run)}{' on a GPU' * bool(gpu)}"
        yield from (f"## What a candidate costs as things grow: {where}", "")
        yield from wrapped(
            f"Milliseconds per candidate-example while training on {_data(settings['data'])}, "
            f"{settings['examples']} rows, {plan['dtype']} backbone with {plan['attention']} "
            f"attention. {_measured(run)}"
        )
        for name, points in run["growth"].items():
            what = SWEEPS[name].format(pack=settings["pack"])
            yield ""
            if not gpu:
                yield from (f"![ms by {what}](pictures/growth-{name}.png)", "")
            yield from table(
                (what, *(f"{point['at']:,}" for point in points)),
                [("ms", *(_ms(p["ms_per_candidate_example"]["median"]) for p in points))],
            )
            if gpu:
                yield ""
                yield from wrapped(_over_one_by_one(points))
        yield from _command(f"packs --growth {_material(run)}{_sizes(run)}")


def _over_one_by_one(points: Sequence[Mapping[str, Any]]) -> str:
    """Say how many times as fast the largest pack is as its candidates one by one."""
    one, *_, most = (point["ms_per_candidate_example"]["median"] for point in points)
    return (
        f"{points[-1]['at']} in a pass are **{one / most:.1f}** times as fast as one by one "
        f"(aimed at: {GPU_AIM:g})."
    )


def _blanks(results: Path) -> Iterator[str]:
    """Say what nobody has measured yet."""
    packs = _read(results, "packs")
    settings = [(run["settings"]["data"], run["settings"]["model"]) for run in _of(packs, "packs")]
    single = _of(_read(results, "single-candidate"), "accuracy")
    accuracy = len({run["settings"]["data"] for run in single})
    missing = [
        ("the peers on a GPU", not any(run["hardware"]["gpu"] for run in _of(packs, "packs"))),
        ("long texts (BBC news)", not any("bbc" in data for data, _ in settings)),
        ("MPNet-base", not any("mpnet" in str(model) for _, model in settings)),
        (f"accuracy on {ACCURACY_DATA} data sets ({accuracy} so far)", accuracy < ACCURACY_DATA),
        *_missing_races(_read(results, "race")),
        ("growth", not _of(packs, "growth")),
    ]
    found = [name for name, lacking in missing if lacking]
    if found:
        yield from ("## Not measured yet", "")
        yield from wrapped(sentence("; ".join(found)))


def _missing_races(runs: Sequence[Run]) -> Iterator[tuple[str, bool]]:
    """Yield of each task how many seeds were raced, and whether that is too few."""
    for task in TASKS:
        seeds = len([who for who in latest(runs) if who[:2] == (DEMO_MODEL, task)])
        name = f"the race of searches on {task} ({seeds} of {SEEDS} seeds)"
        yield name, seeds < SEEDS


def _data(name: str) -> str:
    return {"demo": "the demo's movie sentences", "demo:bbc": "BBC news"}.get(name, name)


def _backbone(run: Run) -> str:
    return run["settings"]["model"] or "MiniLM"


def _material(run: Run) -> str:
    """Return the options that give a run its rows and its backbone."""
    settings = run["settings"]
    data = settings["data"] if settings["data"].startswith("demo") else "FOLDER"
    data = "" if data == "demo" else f" --data {data}"
    model = "" if settings["model"] is None else " --model FOLDER"
    return f"--examples {settings['examples']}{data}{model}"


def _sizes(run: Run) -> str:
    """Return the options of a run that grew the pack alone; nothing for one with every sweep."""
    if list(run["growth"]) != ["pack"]:
        return ""
    sizes = " ".join(str(point["at"]) for point in run["growth"]["pack"])
    return f" --sweeps pack --sizes {sizes}"


def _peer(name: str) -> str:
    return {"trainer": "Trainer (a)", "trainer-strong": "stronger one (b)"}[name]


def _together(plan: Mapping[str, Any]) -> str:
    """Return how many candidates a search trains in one pass, by its plan."""
    return "one at a time" if plan["pack"] == 1 else f"up to {plan['pack']} in one pass"


def _ms(value: float) -> str:
    return f"{value:.{1 if value >= 1.5 else 2}f}"


def _rate(per_second: float) -> str:
    return f"{per_second:.{0 if per_second > 20 else 1}f}"


def _percent(found: Mapping[str, float]) -> str:
    return f"{100 * found['mean']:.1f} ± {100 * found['sd']:.1f} %"


def _ratio(found: Mapping[str, float], aim: float | None = None) -> str:
    return _aimed(f"{found['median']:.2f}", None if aim is None else f"{aim:g}")


def _aimed(came: str, aim: str | None) -> str:
    return came if aim is None else f"**{came}** (aimed at: {aim})"


def _measured(run: Run) -> str:
    """Return where and when a run was made."""
    hardware = run["hardware"]
    machine = hardware["gpu"] or f"{hardware['cores']} cores of {hardware['processor']}"
    if "instructions" in hardware and not hardware["gpu"]:
        machine += f" with {hardware['instructions']}"
    note = f" {run['note']}" if "note" in run else ""
    return f"Measured on {machine}, {run['date'][:10]}, commit {run['commit']}.{note}"


def _command(benchmark: str) -> Iterator[str]:
    yield from ("", f"Repeat it with `python -m benchmarks.speed.{benchmark}`.", "")
