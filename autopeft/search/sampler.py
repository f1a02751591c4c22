"""Asking Optuna for a trial: TPE, reseeded for every question.

A sampler that is restarted with its seed repeats its draws, and one that is not restarted cannot
be resumed. So each question gets a sampler of its own, seeded by what was proposed before it: a
run that is killed and resumed asks the same questions.
"""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autopeft.store.trials import study_errors

if TYPE_CHECKING:
    import optuna

STARTUP_TRIALS = 10
"""Random draws until this many trials are finished; references and portfolio count."""

GUIDED_ANSWERS = 16
"""So many answers to a question may be of no use, then further ones are drawn at random.

Where the best trials lie at the end of a range, TPE suggests just that end again and again.
"""


@contextlib.contextmanager
def asking(
    study: optuna.Study, *, seed: int, proposed: int, attempt: int
) -> Iterator[optuna.Trial]:
    """Yield the next queued trial, or a new one whose parameters are sampled inside the block.

    Args:
        study: the study.
        seed: of the run.
        proposed: how many trials were proposed before.
        attempt: counts the answers to this question that were of no use.
    """
    digest = hashlib.sha256(f"{seed}/{proposed}/{attempt}".encode()).digest()
    own = int.from_bytes(digest[:4], "big")
    idle, study.sampler = study.sampler, _sampler(own, guided=attempt < GUIDED_ANSWERS)
    try:
        with study_errors():
            yield study.ask()
    finally:
        study.sampler = idle


def _sampler(seed: int, *, guided: bool) -> optuna.samplers.BaseSampler:
    import optuna

    from autopeft.search.by_method import ByMethodSampler

    if not guided:
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return ByMethodSampler(seed=seed, startup=STARTUP_TRIALS)
