"""What earlier runs teach: what did best there is tried first here."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from autopeft.api.result import RESULT
from autopeft.errors import RunFolderError
from autopeft.records import Candidate
from autopeft.search.front import front_of
from autopeft.store import RunFolder
from autopeft.tasks.metric import METRICS

MOST = 8
"""Candidates that are taken from earlier runs, however many the runs."""


def best_of_runs(runs: Sequence[Path]) -> list[Candidate]:
    """Return what did best in other runs: of each what it chose, then its front from the top.

    The runs take turns, so that of many runs each has its say.

    Args:
        runs: their folders; of one that is not finished the front alone counts.

    Raises:
        RunFolderError: a folder holds no run, or no training of it came to its end.
    """
    return in_turns(map(_best, runs))


def in_turns(best: Iterable[Iterable[Candidate]]) -> list[Candidate]:
    """Return the best candidates of runs, the first of each before the second of any.

    Args:
        best: of each run, best first.
    """
    turns = itertools.zip_longest(*best)
    found = {one.fingerprint: one for turn in turns for one in turn if one is not None}
    return list(found.values())[:MOST]


def _best(run: Path) -> Iterator[Candidate]:
    with RunFolder.read(run) as folder:
        higher = METRICS.get(folder.manifest["identity"]["metric"]).higher_is_better
        trials = folder.trials(higher_is_better=higher)
        records, replicates = trials.records(), trials.all_replicates()
        result = folder.read_json(RESULT)
    front = front_of(records, higher, replicates)
    if not front:
        raise RunFolderError(f"{run} has nothing to learn from: none of its trainings has ended")
    chosen = None if result is None else result["choice"]["number"]
    yield from (record.candidate for record in records if record.number == chosen)
    yield from (record.candidate for record in reversed(front) if record.number != chosen)
