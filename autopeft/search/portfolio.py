"""What is tried before anything is learnt: the two references, then one default per family."""

from __future__ import annotations

from collections.abc import Iterator

from autopeft.methods import METHODS
from autopeft.records import Candidate
from autopeft.search.load import method_space
from autopeft.search.space import Space

DEFAULT_METHOD, HEAD_METHOD = "lora", "head_only"


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


def portfolio(space: Space) -> Iterator[Candidate]:
    """Yield the default of the first method of each family, in the order of the space."""
    families: set[str] = set()
    for name, method in space.methods.items():
        if method.info.family not in families:
            families.add(method.info.family)
            yield space.default_of(name)
