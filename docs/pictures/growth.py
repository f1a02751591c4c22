"""Draw what a candidate-example costs as packs, trained layers, texts and data grow.

python docs/pictures/growth.py benchmarks/results/speed-packs.json docs/pictures
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

BLUE = "#1a73e8"
LABELS = {
    "pack": "candidates in a pass",
    "layer": "lowest adapted layer; those below are recycled",
    "length": "tokens per text",
    "rows": "training rows",
}


def main(results: Path, folder: Path) -> None:
    """Read the last run of the growth benchmark on a processor and write a PNG per sweep."""
    runs = json.loads(results.read_text(encoding="utf-8"))
    grown = (run for run in runs if run["benchmark"] == "growth")
    last = [run for run in grown if not run["hardware"]["gpu"]][-1]
    for name, points in last["growth"].items():
        _draw(name, points, folder / f"growth-{name}.png")


def _draw(name: str, points: list[dict], picture: Path) -> None:
    at = [point["at"] for point in points]
    costs = [point["ms_per_candidate_example"] for point in points]
    figure, axes = plt.subplots(figsize=(4.8, 3.2), dpi=150)
    low, high = [cost["low"] for cost in costs], [cost["high"] for cost in costs]
    axes.fill_between(at, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(at, [cost["median"] for cost in costs], color=BLUE, marker="o", markersize=4)
    if name != "layer":
        axes.set_xscale("log", base=2)
    axes.set_xticks(at, [f"{value:,}" for value in at], minor=False)
    axes.set_ylim(0, 1.08 * max(high))
    axes.set_xlabel(LABELS[name])
    axes.set_ylabel("ms per candidate-example")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    figure.tight_layout()
    figure.savefig(picture)
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
