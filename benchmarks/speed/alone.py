"""A function in a process of its own, where nothing that an earlier one left behind is used."""

from __future__ import annotations

import multiprocessing
from typing import Any


def alone(function: Any, *arguments: Any) -> Any:
    """Return what a function gives in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)
