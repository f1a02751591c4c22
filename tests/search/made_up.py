"""A made-up backbone and made-up learning curves: a whole search in a second, without torch."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path

from autopeft.records import (
    BackboneShape,
    Candidate,
    Cause,
    Costs,
    ModuleShape,
    RungPoint,
    TrialRecord,
    TrialState,
)
from autopeft.search.portfolio import hand_made
from autopeft.search.space import Space
from autopeft.search.study import Proposal, Search
from autopeft.store import RunFolder

SITES = {
    "attn.q": (32, 32),
    "attn.k": (32, 32),
    "attn.v": (32, 32),
    "attn.out": (32, 32),
    "ffn.in": (32, 64),
    "ffn.out": (64, 32),
    "norm": (32, 32),
}
NAMES = {"norm": "ffn.norm"}
"""Modules that are not called as their site: the norm ends the feed-forward, as BERT's does."""


def backbone(layers: int = 6, *, fused: bool = False) -> BackboneShape:
    """Return a small encoder; `fused` puts q, k and v into one projection."""
    sites = dict(SITES)
    if fused:
        for site in ("attn.q", "attn.k", "attn.v"):
            del sites[site]
        sites["attn.qkv"] = (32, 96)
    modules = tuple(
        ModuleShape(
            name=f"layer.{layer}.{NAMES.get(site, site)}",
            site=site,
            layer=layer,
            fan_in=fan_in,
            fan_out=fan_out,
            bias=fan_out,
            outputs=3 if site == "attn.qkv" else 1,
        )
        for layer in range(layers)
        for site, (fan_in, fan_out) in sites.items()
    )
    return BackboneShape(
        architecture="bert",
        kind="encoder",
        layers=layers,
        hidden=32,
        heads=4,
        kv_width=32,
        vocabulary=100,
        positions=64,
        modules=modules,
        total_params=100_000,
        biases=(("encoder", 1_900),),
        head_params=66,
        embedding=ModuleShape(
            name="words", site="embed.prompt", layer=-1, fan_in=100, fan_out=32, bias=0
        ),
        mask_token=4,
    )


def final_score(candidate: Candidate, params: int, seed: int) -> float:
    """Return a score that grows with parameters and falls with a wrong learning rate."""
    noise = random.Random(f"{candidate.fingerprint}/{seed}").random()
    wrong = abs(math.log10(candidate.learning_rate) + 2.5)
    return min(0.99, 0.6 + 0.06 * math.log10(1 + params) - 0.05 * wrong + 0.02 * noise)


class Killed(BaseException):
    """Stands for SIGKILL: nothing is cleaned up."""


def evaluate(
    search: Search,
    proposal: Proposal,
    *,
    dies: Callable[[str], None] = lambda where: None,
    fails: Callable[[Candidate], Cause | None] = lambda candidate: None,
) -> TrialRecord:
    """Train a proposal on made-up curves and report it; `dies` may raise `Killed` anywhere."""
    record = TrialRecord(
        number=proposal.number,
        candidate=proposal.candidate,
        seed=proposal.seed,
        state=TrialState.COMPLETE,
        origin=proposal.origin,
        costs=Costs(trainable_params=proposal.trainable_params),
    )
    cause = fails(proposal.candidate)
    if cause is not None:
        record = dataclasses.replace(
            record, state=TrialState.FAILED, cause=cause, message="made up"
        )
        search.finished(record)
        return record
    final = final_score(proposal.candidate, proposal.trainable_params, proposal.seed)
    curve: list[RungPoint] = []
    for rung, share in enumerate(proposal.rungs):
        dies(f"before rung {rung}")
        score = 0.5 + (final - 0.5) * share**0.3
        curve.append(RungPoint(rung=rung, share=share, score=score, wall_seconds=share))
        if not search.rung({proposal.number: curve[-1]}):
            record = dataclasses.replace(record, state=TrialState.STOPPED)
            break
    dies("before the record")
    record = dataclasses.replace(record, curve=tuple(curve), score=curve[-1].score)
    search.finished(record)
    return record


def begin(
    folder: Path, space: Space, *, seed: int = 0, max_trials: int | None = None
) -> tuple[RunFolder, Search]:
    """Open the run and its search as a new process would."""
    run = RunFolder.open(folder, identity={"space": space.fingerprint, "seed": seed})
    search = Search(
        trials=run.trials(higher_is_better=True),
        space=space,
        higher_is_better=True,
        seed=seed,
        max_trials=max_trials,
        first=list(hand_made(space)),
    )
    return run, search


def summary(records: list[TrialRecord]) -> list[tuple[str, str, str, float | None]]:
    """Return what must be equal in two runs of the same search; numbers may differ."""
    return [(r.origin, r.candidate.fingerprint, r.state.value, r.score) for r in records]
