"""Proposals, asked for a cohort at a time and sorted into packs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from autopeft.api.packs import take_pack
from autopeft.methods.packing import PackKey
from autopeft.records import Candidate
from autopeft.search.convergence import COHORT
from autopeft.search.portfolio import HEAD_METHOD
from autopeft.search.study import Proposal, Search


class Cohorts:
    """Takes proposals from a search and hands them out as packs.

    A cohort ends where the number of proposals is a multiple of `COHORT`, so that a run that was
    killed asks the same questions with the same knowledge as one that was not. The head alone comes
    first: it costs next to nothing, and the others have to beat it at their first rung.

    Args:
        search: proposes.
        key: from a candidate, what it must have in common with the others of a pack; None for
            alone.
        fits: whether candidates fit in memory together.
    """

    def __init__(
        self,
        search: Search,
        key: Callable[[Candidate], PackKey | None],
        fits: Callable[[Sequence[Candidate]], bool],
    ) -> None:
        self._search, self._key, self._fits = search, key, fits
        self._waiting: list[Proposal] = []

    @property
    def begun(self) -> bool:
        """Whether a cohort was asked for and a part of it still waits to be handed out."""
        return bool(self._waiting)

    def pack(self, size: int) -> list[Proposal]:
        """Return at most `size` proposals that can share a pass; none if there is none left."""
        if not self._waiting:
            asked = self._ask(max(size, 1))
            self._waiting = sorted(asked, key=lambda one: one.candidate.method != HEAD_METHOD)
        if not self._waiting:
            return []
        return take_pack(
            self._waiting,
            size,
            key=self._key_of,
            fits=lambda some: self._fits([one.candidate for one in some]),
        )

    def give_up(self) -> None:
        """Take back the proposals that nobody will train."""
        for proposal in self._waiting:
            self._search.withdraw(proposal.number)
        self._waiting.clear()

    def leave(self) -> None:
        """Leave the proposals that were handed to nobody to the next sitting, as they are."""
        for proposal in self._waiting:
            self._search.trials.not_begun(proposal.number)
        self._waiting.clear()

    def _key_of(self, proposal: Proposal) -> PackKey | None:
        return None if proposal.alone else self._key(proposal.candidate)

    def _ask(self, size: int) -> Iterator[Proposal]:
        """Yield a cohort; with packs of one, a single proposal, which knows all before it.

        Second chances come with the new proposals, which alone are counted. What was in the queue
        is the rest of an earlier cohort.
        """
        begun = self._search.queued
        for _ in range(COHORT if size > 1 else 1):
            known = self._search.proposed
            while self._search.proposed == known:
                if begun and known % COHORT == 0 and not self._search.queued:
                    return
                proposal = self._search.propose()
                if proposal is None:
                    return
                yield proposal
                if size == 1:
                    return
            begun = True
