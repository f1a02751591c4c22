"""What is tried before anything is learnt of the task: the two references, then a portfolio.

A portfolio is a short list of candidates. What covers most on other tasks takes turns with one
default per family: the first are the better guesses, the second are what tasks unlike those need.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

from autopeft.methods import METHODS
from autopeft.records import Candidate, layer_indices
from autopeft.search.dimension import nearest
from autopeft.search.front import size
from autopeft.search.load import method_space
from autopeft.search.other_tasks import Seen, covering, read
from autopeft.search.space import Space

DEFAULT_METHOD, HEAD_METHOD = "lora", "head_only"


def references(space: Space) -> dict[str, Candidate]:
    """Return the field's default and the head alone, by origin.

    They are LoRA and the head as their records have them, trained as long as the space allows,
    whether or not the space names them, and whatever it makes of them: every choice is told against
    them. A reference is left out where it cannot run on the backbone or trains more parameters than
    allowed.
    """
    found: dict[str, Candidate] = {}
    for origin, method in (("default", DEFAULT_METHOD), ("head", HEAD_METHOD)):
        if method not in METHODS.names():
            continue
        epochs = max(space.default_of(name).epochs for name in space.methods)
        plain = method_space(METHODS.get(method), {}, {"epochs": epochs})
        candidate = plain.candidate(plain.defaults)
        if space.infeasible(candidate) is not None:
            continue
        if space.max_params is None or space.count(candidate) <= space.max_params:
            found[origin] = candidate
    return found


def portfolio(
    space: Space, earlier: Iterable[Candidate] = (), *, seen: Sequence[Seen] | None = None
) -> list[Candidate]:
    """Return what did best in earlier runs, then `learnt` and `hand_made` in turns.

    Args:
        space: narrowed to the backbone and the budget.
        earlier: what did best in runs on other data.
        seen: what was recorded on other tasks; by default what is shipped.
    """
    others = learnt(read() if seen is None else seen, space)
    turns = itertools.chain.from_iterable(itertools.zip_longest(others, hand_made(space)))
    candidates = (*fitted(earlier, space), *turns)
    return list({one.fingerprint: one for one in candidates if one is not None}.values())


def learnt(seen: Sequence[Seen], space: Space) -> list[Candidate]:
    """Return what of a space covers most on other tasks, see `other_tasks.covering`.

    What was seen is fitted to the space; what would sit elsewhere then does not count.
    """
    found: dict[str, tuple[Candidate, Seen]] = {}
    for one in seen:
        for own in fitted([one.candidate], space):
            if _place(own, space) == _place(one.candidate, space):
                found.setdefault(own.fingerprint, (own, one))
    candidates = [own for own, _ in found.values()]
    known = {_untimed(one) for one in references(space).values()}
    begun = [i for i, (_, one) in enumerate(found.values()) if _untimed(one.candidate) in known]
    sizes = [size(space.count(one)) for one in candidates]
    gains = [one.gains for _, one in found.values()]
    assert space.shape is not None
    chosen = covering(gains, sizes, most=size(space.shape.total_params), begun=begun)
    return [candidates[i] for i in chosen]


def _place(candidate: Candidate, space: Space) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Return the sites of a candidate and its layers on the backbone."""
    where = candidate.placement
    if where is None:
        return None
    assert space.shape is not None
    return where.sites, layer_indices(where.layers, space.shape.layers)


def _untimed(candidate: Candidate) -> str:
    """Return what names a candidate whatever the length of its training."""
    return dataclasses.replace(candidate, epochs=1, batch_size=1).fingerprint


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
