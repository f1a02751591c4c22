"""Numbers as people read them: scores, prices, counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from autopeft.records import Costs

MISSING = "–"


def figures(value: float, most: int) -> str:
    """Return so many figures of a number, or its whole part if that has as many; no exponent.

    >>> figures(0.0000114, 2), figures(3.14159, 4), figures(23456.7, 4), figures(-14.2, 2)
    ('0.000011', '3.142', '23,457', '-14')
    """
    if abs(value) >= 10 ** (most - 1):
        return f"{value:,.0f}"
    return f"{Decimal(f'{value:.{most}g}'):f}"


def score(value: float | None, percent: bool) -> str:
    """Return a score: ``78.5 %``, or ``0.7853`` for what is no share."""
    if value is None:
        return MISSING
    return f"{100 * value:.1f} %" if percent else figures(value, 4)


def number(value: float) -> str:
    """Return a number of the data, such as a label: ``4.5``, ``249,900``."""
    return figures(value, 4)


def points(value: float | None, percent: bool) -> str:
    """Return a difference of scores: in points, or as it is."""
    if value is None:
        return MISSING
    return f"{100 * value:.1f}" if percent else figures(value, 2)


def trainings(seeds: int, failures: Sequence[str]) -> str:
    """Return how many trainings a finalist has, and how many more failed.

    >>> trainings(2, ["constant-predictions under seed 4"])
    '2, 1 failed'
    """
    return f"{seeds}, {len(failures)} failed" if failures else str(seeds)


def count(value: float | None) -> str:
    """Return a count with separators: ``73,728``."""
    return MISSING if value is None else f"{value:,.0f}"


def share(part: float, whole: float) -> str:
    """Return a share: ``0.061 %``."""
    return f"{figures(100 * part / whole, 2)} %"


def short_count(value: float) -> str:
    """Return a count for an axis: ``74k``, ``1.2M``."""
    return _scaled(value, ("", "k", "M", "B", "T"), "")


def size(value: float | None) -> str:
    """Return bytes: ``302 kB``."""
    return MISSING if value is None else _scaled(value, ("B", "kB", "MB", "GB", "TB"), " ")


def seconds(value: float | None) -> str:
    """Return a time: ``4.1 ms``, ``26 s``, ``3 min 5 s``, ``2 h 4 min``."""
    if value is None:
        return MISSING
    if value < 0.9995:
        return f"{1000 * value:.3g} ms"
    if value < 60.0:
        return f"{value:.3g} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _scaled(value: float, units: tuple[str, ...], gap: str) -> str:
    for unit in units:
        if abs(value) < 999.5 or unit == units[-1]:
            return f"{value:.3g}{gap if unit else ''}{unit}"
        value /= 1000
    raise AssertionError("the last unit takes everything")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One of the six costs, for people.

    Args:
        name: its field in `Costs`.
        title: what it is called.
        show: from a value, its text in full.
        tick: from a value, its text on an axis.
    """

    name: str
    title: str
    show: Callable[[float | None], str]
    tick: Callable[[float], str]

    def of(self, costs: Costs) -> float | None:
        """Return its value; None where it was not measured."""
        value: float | None = getattr(costs, self.name)
        return value


PRICES: Mapping[str, Price] = {
    price.name: price
    for price in (
        Price(
            name="trainable_params",
            title="trained parameters",
            show=count,
            tick=short_count,
        ),
        Price(
            name="head_params",
            title="head parameters",
            show=count,
            tick=short_count,
        ),
        Price(
            name="artifact_bytes",
            title="size on disk",
            show=size,
            tick=size,
        ),
        Price(
            name="peak_memory_bytes",
            title="peak memory",
            show=size,
            tick=size,
        ),
        Price(
            name="train_seconds",
            title="training time",
            show=seconds,
            tick=seconds,
        ),
        Price(
            name="latency_seconds",
            title="latency",
            show=seconds,
            tick=seconds,
        ),
    )
}
"""The six costs by name; the first is the one that is chosen by."""
