"""A space without conditions, for samplers that know none.

A Gaussian process and a genetic algorithm compare candidates dimension by dimension, and Optuna's
draw at random what only some candidates have. So every candidate is described alike: its method,
and shares of its method's ranges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autopeft.records import Candidate, Scalar
from autopeft.search.dimension import Choices, Dimension, ends, fixed
from autopeft.search.space import Space
from benchmarks.table.candidates import value_at

if TYPE_CHECKING:
    import optuna


def suggest_flat(space: Space, trial: optuna.Trial) -> Candidate:
    """Ask a trial for a candidate.

    Its parameters are ``method``; ``learning_rate``, ``sites`` and ``size`` as shares of the
    method's ranges, ``size`` for all its numbers together; and ``layers``. Other choices stay at
    their defaults.
    """
    method = space.methods[str(trial.suggest_categorical("method", list(space.methods)))]
    shares = {
        name: trial.suggest_float(name, 0.0, 1.0) for name in ("learning_rate", "sites", "size")
    }
    layers = trial.suggest_categorical("layers", list(_rules(space)))
    values = dict(method.defaults)
    for name, dimension in method.dimensions.items():
        if name == "layers":
            rules = ends(dimension)
            values[name] = layers if layers in rules else rules[0]
        elif not fixed(dimension):
            share = shares.get(name, shares["size"] if _numbers(dimension) else None)
            if share is not None:
                values[name] = value_at(dimension, min(share, 1 - 1e-9))
    return method.candidate(values)


def _rules(space: Space) -> dict[Scalar, None]:
    """Return every rule for layers that some method has."""
    methods = space.methods.values()
    found = (ends(m.dimensions["layers"]) for m in methods if "layers" in m.dimensions)
    return dict.fromkeys(rule for rules in found for rule in rules)


def _numbers(dimension: Dimension) -> bool:
    return not isinstance(dimension, Choices) or not any(
        isinstance(value, bool | str) for value in dimension.values
    )
