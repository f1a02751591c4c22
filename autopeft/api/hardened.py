"""What is left of a gated mixture when its gates are rounded: trained again, and delivered."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from autopeft import delivery
from autopeft.api.alone import train_alone
from autopeft.api.handover import FreshProcess, write_card
from autopeft.api.opened import Opened
from autopeft.records import Candidate

REASON = "What is left of a gated mixture when its gates are rounded to on or off, trained again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardened:
    """A hardened mixture that was delivered.

    Args:
        folder: loads like any delivered folder; with plain peft where peft has all of its parts.
        score: on the selection split.
        test_score: on the test split.
    """

    folder: Path
    score: float
    test_score: float


def deliver_hardened(opened: Opened, candidate: Candidate, folder: Path, scratch: Path) -> Hardened:
    """Train a hardened mixture and deliver it, checked in a fresh process.

    Args:
        opened: the run whose data and workers are used.
        candidate: of `autopeft.methods.hardening.hardened`.
        folder: where it is delivered.
        scratch: for what is not kept.

    Raises:
        NoCandidateError: the training failed.
        DeliveryError: the reloaded model does not give the measured outputs.
    """
    artifact, data = scratch / "hardened", opened.path / "data"
    outcome = train_alone(opened, candidate, artifact, "plain")
    about = opened.about_delivery(candidate.method)
    selection, expected = str(data / "selection"), str(artifact / "selection.npy")
    with contextlib.closing(FreshProcess(opened.interrupt.check)) as fresh:
        with delivery.written(artifact, folder, about) as new:
            fresh.ask(op="check", best=str(new), selection=selection, expected=expected)
        asked = {"test": str(data / "test"), "outputs": str(scratch / "test.npy"), "others": {}}
        scores = fresh.ask(op="test", best=str(folder), **asked)["scores"]["chosen"]
    write_card(
        folder,
        about,
        opened.prepared,
        title=opened.source.name,
        candidate=candidate.describe(),
        reason=REASON,
        selection_score=outcome["score"],
        test_scores=scores,
        trainable_params=outcome["costs"]["trainable_params"],
        head_params=outcome["costs"]["head_params"],
    )
    metric = opened.prepared.problem.metric
    return Hardened(folder=folder, score=outcome["score"], test_score=scores[metric])
