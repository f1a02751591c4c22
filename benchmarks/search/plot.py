"""Draw the comparison: hypervolume and regret against the training epochs spent.

    python -m benchmarks.search.plot

Reads ``results/search/BACKBONE.jsonl`` and writes ``docs/pictures/search-hypervolume.svg`` and
``search-regret.svg``. A line is the mean over tasks and replays, a band one standard deviation of
the replays' means over tasks.
"""

from __future__ import annotations

import argparse
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ledger
from benchmarks.search.compare import BUDGETS, RESULTS, current_lines
from benchmarks.search.summary import lacking

PICTURES = ledger.ROOT / "docs" / "pictures"
STEP = 5

Line = Mapping[str, Any]
Curve = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Epochs, mean and standard deviation, (E,) each."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--output", type=Path, default=PICTURES)
    options = parser.parse_args(arguments)
    lines = current_lines(options.results / f"{options.backbone}.jsonl")
    if not lines:
        raise SystemExit("no replay is kept; first: python -m benchmarks.search.compare")
    options.output.mkdir(parents=True, exist_ok=True)
    most = max(line["epochs_of_all"] for line in lines)
    grid = np.arange(0, most + 1, STEP)
    _draw(
        options.output / "search-hypervolume.svg",
        {name: hypervolume_curve(found, grid) for name, found in by_policy(lines).items()},
        "share of the table's hypervolume",
        lines,
    )
    _draw(
        options.output / "search-regret.svg",
        {name: regret_curve(found) for name, found in by_policy(lines).items()},
        "test regret of what would be delivered",
        lines,
    )


def by_policy(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Return the lines of each policy, in the order of their first."""
    found: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        found[line["policy"]].append(line)
    return found


def hypervolume_curve(lines: Sequence[Line], grid: np.ndarray) -> Curve:
    """Return the normalised hypervolume after each number of epochs."""

    def values(line: Line) -> np.ndarray:
        epochs, shares = zip((0, 0.0), *line["growth"], strict=True)
        return np.array(shares)[np.searchsorted(epochs, grid, side="right") - 1]

    return grid, *_over_replays(lines, values)


def regret_curve(lines: Sequence[Line]) -> Curve:
    """Return the test regret at each budget; NaN where a replay had nothing to deliver."""

    def values(line: Line) -> np.ndarray:
        made = [line["delivered"][str(budget)] for budget in BUDGETS]
        return np.array([np.nan if one is None else one["regret"] for one in made])

    return np.array(BUDGETS), *_over_replays(lines, values)


def _over_replays(
    lines: Sequence[Line], values: Callable[[Line], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation over seeds of the means over tasks."""
    by_seed: dict[int, list[np.ndarray]] = defaultdict(list)
    for line in lines:
        by_seed[line["seed"]].append(values(line))
    means = np.stack([np.mean(found, axis=0) for found in by_seed.values()])
    return means.mean(axis=0), means.std(axis=0)


def _draw(file: Path, curves: Mapping[str, Curve], label: str, lines: Sequence[Line]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for name, (epochs, mean, deviation) in curves.items():
        style = "-" if name.startswith("ours") else "--"
        (drawn,) = axes.plot(epochs, mean, style, label=name)
        axes.fill_between(
            epochs, mean - deviation, mean + deviation, color=drawn.get_color(), alpha=0.12, lw=0
        )
    axes.set(xlabel="training epochs spent", ylabel=label)
    if said := lacking(lines):
        axes.set_title(textwrap.fill(said, 90), fontsize="small")
    axes.legend(fontsize="small")
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
