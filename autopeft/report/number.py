"""Numbers in so many figures, as people write them."""

from __future__ import annotations

from decimal import Decimal


def figures(value: float, most: int) -> str:
    """Return so many figures of a number, or its whole part if that has as many; no exponent.

    >>> figures(0.0000114, 2), figures(3.14159, 4), figures(23456.7, 4), figures(-14.2, 2)
    ('0.000011', '3.142', '23,457', '-14')
    """
    if abs(value) >= 10 ** (most - 1):
        return f"{value:,.0f}"
    return f"{Decimal(f'{value:.{most}g}'):f}"
