"""A search space: methods, and for each the dimensions of its candidates.

Parameters are conditional and named after their method: ``method``, ``lora.r``, ``lora.sites``,
``lora.layers``, ``lora.learning_rate``, ``lora.epochs``, ``lora.batch_size``. A mask of layers is
one parameter per layer, ``lora.layers.0`` and so on. Dimensions of one value are no parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autopeft.errors import IncompatibleMethodError, UnknownNameError
from autopeft.methods import METHODS, MethodInfo
from autopeft.methods.recipe import layers_of
from autopeft.records import BackboneShape, Candidate, Placement, Scalar, fingerprint
from autopeft.search.dimension import (
    Choices,
    Dimension,
    contains,
    ends,
    fixed,
    parameters,
    suggest,
)

if TYPE_CHECKING:
    import optuna

SETTINGS = ("learning_rate", "epochs", "batch_size")
PLACES = ("sites", "layers")


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSpace:
    """The dimensions of one method's candidates.

    Args:
        info: the method's record.
        dimensions: by name: the knobs, `SETTINGS`, and `PLACES` where the method has sites. A site
            set is one value, its sites joined by commas.
        defaults: one value of each dimension: the method as the field would first try it.
    """

    info: MethodInfo
    dimensions: Mapping[str, Dimension]
    defaults: Mapping[str, Scalar]

    def candidate(self, values: Mapping[str, Scalar]) -> Candidate:
        """Return the candidate of one value per dimension."""
        return Candidate(
            method=self.info.name,
            learning_rate=float(values["learning_rate"]),
            epochs=int(values["epochs"]),
            batch_size=int(values["batch_size"]),
            knobs={name: values[name] for name in self.info.knobs},
            placement=self.placement(values),
        )

    def values(self, candidate: Candidate) -> dict[str, Scalar]:
        """Return the value of each dimension for a candidate: the inverse of `candidate`."""
        place = candidate.placement
        return {
            **candidate.knobs,
            "learning_rate": candidate.learning_rate,
            "epochs": candidate.epochs,
            "batch_size": candidate.batch_size,
            **({} if place is None else {"sites": ",".join(place.sites), "layers": place.layers}),
        }

    def placement(self, values: Mapping[str, Scalar]) -> Placement | None:
        """Return the placement among the values, None where the method has no sites."""
        if "sites" not in self.dimensions:
            return None
        sites = tuple(str(values["sites"]).split(","))
        return Placement(sites=sites, layers=str(values["layers"]))

    def count(self, shape: BackboneShape, values: Mapping[str, Scalar]) -> int:
        """Return the exact number of trained parameters without the head.

        Raises:
            IncompatibleMethodError: these values cannot run on the backbone.
        """
        knobs = {name: values[name] for name in self.info.knobs}
        return self.info.count(shape, self.placement(values), knobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What the search may try.

    Args:
        source: the file it came from.
        methods: in order of trial.
        excluded: methods that were taken out, with the reason.
        shape: the backbone it was narrowed to; None as read from the file.
        max_params: the budget it was narrowed to.
        description: one sentence for people.
        min_steps: optimizer steps that a training has at least, see `narrow.lengthen`.
        common: what the file says of all methods, for one that it does not name.
    """

    source: str
    methods: Mapping[str, MethodSpace]
    excluded: Mapping[str, str] = field(default_factory=dict)
    shape: BackboneShape | None = None
    max_params: int | None = None
    description: str = ""
    min_steps: int = 1
    common: Mapping[str, Any] = field(default_factory=dict)

    def suggest(self, trial: optuna.Trial) -> Candidate:
        """Ask a trial for a candidate: first its method, then only what that method has.

        Not every combination of values can be trained; see `infeasible`.
        """
        method = str(suggest(self._methods(), trial, "method"))
        space = self.methods[method]
        return space.candidate(
            {
                name: suggest(dimension, trial, f"{method}.{name}")
                for name, dimension in space.dimensions.items()
            }
        )

    def encode(self, candidate: Candidate) -> dict[str, Scalar]:
        """Return the parameters under which `suggest` yields this candidate.

        Raises:
            ValueError: the candidate lies outside the space; see `contains`.
        """
        if candidate not in self:
            raise ValueError(f"{candidate.describe()} is not in the space {self.source}")
        space = self.methods[candidate.method]
        values = space.values(candidate)
        chosen: dict[str, Scalar] = {}
        for name, dimension in space.dimensions.items():
            if not fixed(dimension):
                chosen |= parameters(dimension, f"{candidate.method}.{name}", values[name])
        return chosen if fixed(self._methods()) else {"method": candidate.method, **chosen}

    def __contains__(self, candidate: object) -> bool:
        if not isinstance(candidate, Candidate) or candidate.method not in self.methods:
            return False
        space = self.methods[candidate.method]
        values = space.values(candidate)
        return set(values) == set(space.dimensions) and all(
            contains(dimension, values[name]) for name, dimension in space.dimensions.items()
        )

    def default_of(self, method: str) -> Candidate:
        """Return the method as the field would first try it, as near as this space allows.

        Raises:
            UnknownNameError: the space has no such method.
        """
        if method not in self.methods:
            raise UnknownNameError("method", method, tuple(self.methods), where=self.source)
        space = self.methods[method]
        return space.candidate(space.defaults)

    def least_steps(self, rows: int) -> int:
        """Return the optimizer steps of the shortest training on `rows` training rows."""
        return min(
            int(epochs) * -(-rows // int(size))
            for space in self.methods.values()
            for epochs in ends(space.dimensions["epochs"])
            for size in ends(space.dimensions["batch_size"])
        )

    def count(self, candidate: Candidate) -> int:
        """Return the exact number of trained parameters without the head.

        Raises:
            ValueError: the space was not narrowed to a backbone yet.
        """
        if self.shape is None:
            raise ValueError("narrow the space to a backbone first: space.restrict(shape=...)")
        return METHODS.get(candidate.method).count(self.shape, candidate.placement, candidate.knobs)

    def infeasible(self, candidate: Candidate) -> str | None:
        """Return why a candidate of this space cannot be trained, None if it can.

        Each value of a narrowed space can be trained beside some others, but not beside all: a
        mask may name no layer, a mixture may be left with no part. Such a candidate would be the
        head alone, which every search trains anyway.

        Raises:
            ValueError: the space was not narrowed to a backbone yet.
        """
        try:
            if self.shape is not None and candidate.placement is not None:
                layers_of(self.shape, candidate.placement)
            self.count(candidate)
        except IncompatibleMethodError as error:
            return str(error)
        return None

    def restrict(
        self,
        *,
        shape: BackboneShape,
        methods: tuple[str, ...] | None = None,
        excluded: Mapping[str, str] | None = None,
        max_params: int | None = None,
    ) -> Space:
        """Return the space narrowed to a backbone and a budget; see `narrow.restrict`."""
        from autopeft.search.narrow import restrict

        return restrict(
            self, shape=shape, methods=methods, excluded=excluded or {}, max_params=max_params
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: what `fingerprint` is made of and ``--dry-run`` shows."""
        return {
            "methods": {
                name: {key: dataclasses.asdict(d) for key, d in space.dimensions.items()}
                for name, space in self.methods.items()
            },
            "excluded": dict(self.excluded),
            "max_params": self.max_params,
            "min_steps": self.min_steps,
        }

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that change whenever anything else could be proposed."""
        order = list(self.methods)  # what is tried first follows from it
        return fingerprint([order, self.to_json(), self.common])

    def _methods(self) -> Choices:
        return Choices(values=tuple(self.methods))
