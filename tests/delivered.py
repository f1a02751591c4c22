"""A delivered model, trained for a moment."""

from __future__ import annotations

from pathlib import Path

from autopeft.delivery import About, write
from autopeft.records import Candidate
from autopeft.train.session import Session, open_session
from tests.train.toy import order, save_splits

Delivered = tuple[Session, Path, Path, About]
"""The session, the artifact, the delivered folder, and what it says of itself."""


def deliver(folder: Path, model: Path, method: str = "lora", *, numeric: bool = False) -> Delivered:
    """Train for a moment and write the delivered folder."""
    data = save_splits(folder / "data", rows=32, numbers=(5e3, 9e2) if numeric else None)
    session = open_session(order(data, model, numeric=numeric))[0]
    rate = 1e-3 if method == "full" else 2e-2
    candidate = Candidate(method=method, learning_rate=rate, epochs=4, batch_size=8)
    artifact = folder / "artifact"
    session.trial(candidate, seed=1, artifact=artifact)
    about = About(
        model=str(model),
        task="regression" if numeric else "text-classification",
        labels=() if numeric else ("bad", "good"),
        text="review",
        text_pair=None,
        max_length=32,
        method=method,
    )
    write(artifact, folder / "best", about)
    return session, artifact, folder / "best", about
