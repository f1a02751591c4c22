"""Trains packs of candidates in a session, from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autopeft.records import Candidate
from autopeft.train.attempt import Order
from autopeft.train.session import open_session


def train_packs(
    opening: Mapping[str, Any], packs: Sequence[Sequence[Mapping[str, Any]]], folder: str
) -> None:
    """Train packs of one epoch; each method's outputs on selection are in a folder of its name.

    Args:
        opening: of a session.
        packs: of candidates, as JSON has them; every method at most once.
        folder: for what is trained.

    Raises:
        TrialError: the first that failed.
        AssertionError: a pack failed.
    """
    session, _ = open_session(opening)

    for pack in packs:
        size = len(pack)

        def ended(_: int, outcome: Any, size: int = size) -> None:
            if isinstance(outcome, Exception):
                raise outcome
            together = f"one of {size} in a pass" if size > 1 else ""
            assert outcome["message"] == together, "the pack failed, and was tried in parts"

        candidates = [Candidate.from_json(values) for values in pack]
        orders = [Order(candidate=c, artifact=Path(folder) / c.method) for c in candidates]
        session.pack(orders, seed=0, ended=ended)
