"""What the phases of a run share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autopeft.api.clock import Clock
from autopeft.methods.packing import PackKey
from autopeft.records import Candidate, TrialRecord
from autopeft.report.screen import Screen
from autopeft.search.select import finalists
from autopeft.store import TrialStore

FINALISTS = 5

REPLICATES = 3
"""Seeds per finalist, the search's own included."""

MARGIN_OF_A_PACK = 1.2
"""So many times what a pack is expected to take it needs: cut short, it loses all that it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """One process's work on a run, from its start or resumption to its end.

    Args:
        trials: the records of the run.
        clock: says whether there is time for another training.
        screen: shows what happens.
        folder: the run folder.
        higher_is_better: the direction of the metric.
        save: called after each record is kept, so that the time used survives a crash.
        tell: gets each record once it is kept.
        pack_size: how many candidates may be trained in one pass.
        pack_key: what candidates of a pack have in common; None for one that goes alone.
        pack_fits: whether candidates fit in memory together.
        folds: how many there are; see `autopeft.data.folds`.
    """

    trials: TrialStore
    clock: Clock
    screen: Screen
    folder: Path
    higher_is_better: bool
    save: Callable[[], None]
    tell: Callable[[TrialRecord], None] = lambda _: None
    pack_size: int = 1
    pack_key: Callable[[Candidate], PackKey | None] = lambda _: None
    pack_fits: Callable[[Sequence[Candidate]], bool] = lambda _: True
    folds: int = 1

    def finalists(self, count: int = FINALISTS) -> list[TrialRecord]:
        """Return at most `count` finalists so far, the best score first, then the references."""
        records = {record.number: record for record in self.trials.records()}
        numbers = finalists(list(records.values()), higher_is_better=self.higher_is_better, k=count)
        return [records[number] for number in numbers]

    def in_line(self) -> list[TrialRecord]:
        """Return the finalists so far, and as many who come next.

        Of those a newcomer that dominates several finalists makes finalists again.
        """
        return self.finalists(2 * FINALISTS)

    def rivals(self, count: int = FINALISTS) -> list[TrialRecord]:
        """Return the finalists that race for further seeds: the head alone only on folds."""
        return [r for r in self.finalists(count) if self.folds > 1 or r.origin != "head"]

    def seconds(self, candidates: Iterable[Candidate]) -> float:
        """Return the time to set aside for full trainings, in packs where they can share passes."""
        margin = MARGIN_OF_A_PACK if self.pack_size > 1 else 1.0
        return margin * sum(self.clock.estimate_seconds(one) or 0.0 for one in candidates)
