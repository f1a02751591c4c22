"""What is tried before anything is learnt of the task: the two references, then a portfolio.

A portfolio is a short list of candidates that did well together on other tasks. One that was learnt
is shipped as data, ``portfolio.json`` beside this file; without it the portfolio is one default per
family.

Paper: Feurer et al. (2022), Auto-Sklearn 2.0, for portfolios learnt greedily on other tasks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from autopeft.methods import METHODS
from autopeft.records import Candidate
from autopeft.search.dimension import nearest
from autopeft.search.load import method_space
from autopeft.search.space import Space

DEFAULT_METHOD, HEAD_METHOD = "lora", "head_only"

LEARNT = Path(__file__).with_name("portfolio.json")
"""Made by ``python -m benchmarks.search.learn`` from a complete table."""


def references(space: Space) -> dict[str, Candidate]:
    """Return the field's default and the head alone, by origin.

    They are LoRA and the head as their records have them, trained as long as the space allows,
    whether or not the space names them: every choice is told against them. A reference is left out
    where it cannot run on the backbone or trains more parameters than allowed.
    """
    found: dict[str, Candidate] = {}
    for origin, method in (("default", DEFAULT_METHOD), ("head", HEAD_METHOD)):
        if method not in METHODS.names() or method in space.excluded:
            continue
        epochs = max(space.default_of(name).epochs for name in space.methods)
        plain = method_space(METHODS.get(method), {}, {"epochs": epochs})
        candidate = plain.candidate(plain.defaults)
        if space.max_params is None or space.count(candidate) <= space.max_params:
            found[origin] = candidate
    return found


def portfolio(
    space: Space, earlier: Iterable[Candidate] = (), *, learnt: Path = LEARNT
) -> list[Candidate]:
    """Return the shipped portfolio as far as the space has its methods, else `hand_made`.

    Args:
        space: narrowed to the backbone and the budget.
        earlier: what did best in runs on other data; it comes first.
        learnt: file of the shipped portfolio; there need not be one.
    """
    found = list(fitted(shipped(learnt), space)) if learnt.is_file() else []
    own = {one.fingerprint: one for one in (*fitted(earlier, space), *(found or hand_made(space)))}
    return list(own.values())


def shipped(file: Path) -> list[Candidate]:
    """Return the candidates of a portfolio's file, in order of trial."""
    values = json.loads(file.read_text(encoding="utf-8"))
    return [Candidate.from_json(one) for one in values["portfolio"]]


def hand_made(space: Space) -> Iterator[Candidate]:
    """Yield the default of the first method of each family, in the order of the space."""
    families: set[str] = set()
    for name, method in space.methods.items():
        if method.info.family not in families:
            families.add(method.info.family)
            yield space.default_of(name)


def fitted(candidates: Iterable[Candidate], space: Space) -> Iterator[Candidate]:
    """Yield what comes nearest to each candidate in a space, each once.

    Values that the space does not allow become the nearest that it does, epochs and batch size its
    defaults. Left out are methods that it has not, and what cannot run in it or is over its budget.
    """
    known: set[str] = set()
    for candidate in candidates:
        method = space.methods.get(candidate.method)
        if method is None:
            continue
        wanted = {
            **method.defaults,
            **method.values(candidate),
            "epochs": method.defaults["epochs"],
            "batch_size": method.defaults["batch_size"],
        }
        one = method.candidate(
            {name: nearest(dim, wanted[name]) for name, dim in method.dimensions.items()}
        )
        allowed = space.infeasible(one) is None and (
            space.max_params is None or space.count(one) <= space.max_params
        )
        if allowed and one.fingerprint not in known:
            known.add(one.fingerprint)
            yield one
