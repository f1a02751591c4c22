"""Draw the front of a run: score against trained parameters, finalists with their spread.

python docs/pictures/front.py RUN docs/pictures/front.png
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

GREY, BLUE, ORANGE = "#9aa0a6", "#1a73e8", "#e8710a"


def main(run: Path, picture: Path) -> None:
    """Read the leaderboard and the choice of a run and write a PNG."""
    with (run / "leaderboard.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["score"]]
    choice = json.loads((run / "result.json").read_text(encoding="utf-8"))["choice"]
    figure, axes = plt.subplots(figsize=(7.2, 4.2), dpi=150)
    _trials(axes, rows)
    _finalists(axes, choice)
    axes.set_xscale("symlog", linthresh=1000)
    axes.set_xlim(left=-100)
    axes.set_xlabel("trained parameters, head apart")
    axes.set_ylabel(f"{choice['metric']} on the selection split")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8)
    figure.tight_layout()
    figure.savefig(picture)


def _trials(axes: plt.Axes, rows: list[dict[str, str]]) -> None:
    for state, marker, label in (
        ("complete", "o", "trained to the end"),
        ("stopped", "x", "stopped at a rung"),
    ):
        chosen = [row for row in rows if row["state"] == state]
        axes.scatter(
            [int(row["trainable_params"]) for row in chosen],
            [float(row["score"]) for row in chosen],
            marker=marker,
            s=28,
            color=GREY,
            label=label,
            zorder=2,
        )


def _finalists(axes: plt.Axes, choice: dict) -> None:
    for row in choice["finalists"]:
        chosen = row["number"] == choice["number"]
        axes.errorbar(
            row["trainable_params"],
            row["mean"],
            yerr=row["spread"] or 0.0,
            fmt="o",
            capsize=3,
            color=ORANGE if chosen else BLUE,
            label="the choice, mean ± spread over seeds" if chosen else None,
            zorder=3,
        )
        axes.annotate(
            row["label"].split()[0] + (" (default)" if row["origin"] == "default" else ""),
            (row["trainable_params"], row["mean"]),
            textcoords="offset points",
            xytext=(6, 7),
            fontsize=8,
            color=ORANGE if chosen else BLUE,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
