"""A suite of a tiny model and made-up texts, run once."""

from __future__ import annotations

import csv
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from autopeft.bench.part import Part
from autopeft.bench.places import Places
from autopeft.bench.run import Running
from autopeft.bench.suite import Suite, load_suite

MINI = """
description: made-up texts
tasks: {fine: fine.csv, gone: gone.csv}
backbones: {tiny: tiny, huge: huge}
methods: [head_only, lora, p_tuning_v2]
policies: {search: {space: quick}}
rates: [1, 3]
seeds: [0, 1]
examples: [40]
selection: 20
test: 30
epochs: 1
max_length: 16
"""


@dataclass(frozen=True)
class Ran:
    """A suite that was run but for its search, and what it said."""

    suite: Suite
    places: Places
    said: tuple[str, ...]

    def running(self, folder: Path, said: list[str], **options: object) -> Running:
        """Return the suite on a copy of what was trained."""
        results = folder / "cells"
        if not results.exists():
            shutil.copytree(self.places.results, results)
        places = Places(results=results, data=self.places.data, models=self.places.models)
        again = bool(options.pop("again", False))
        part = Part.of(self.suite, **options)  # type: ignore[arg-type]
        return Running(part=part, places=places, say=said.append, again=again)


@pytest.fixture(scope="session")
def ran(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return the suite after its methods were trained on what there is."""
    folder = tmp_path_factory.mktemp("suite")
    draw = random.Random(0)
    with (folder / "fine.csv").open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(["text", "label"])
        for number in range(120):
            words = [("good", "bad")[number % 2], *(f"w{draw.randrange(93)}" for _ in range(4))]
            writer.writerow([" ".join(words), ("positive", "negative")[number % 2]])
    (folder / "mini.yaml").write_text(MINI, encoding="utf-8")
    (folder / "models").mkdir()
    (folder / "models" / "tiny").symlink_to(tiny_folder("bert"))
    suite = load_suite(str(folder / "mini.yaml"))
    places = Places(results=folder / "cells", data=folder, models=folder / "models")
    said: list[str] = []
    part = Part.of(suite, rows=["head_only", "lora", "p_tuning_v2"])
    Running(part=part, places=places, say=said.append).run()
    return Ran(suite, places, tuple(said))
