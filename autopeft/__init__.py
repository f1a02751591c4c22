"""AutoML for parameter-efficient fine-tuning.

import autopeft
result = autopeft.search("reviews.csv", model="roberta-base", time_limit="30m")
result.predict(["a fine film"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from autopeft.tuner.register import register_with_peft

if TYPE_CHECKING:
    from autopeft.api import SearchResult, TunedModel, load, search
    from autopeft.estimator import AutoPeftClassifier, AutoPeftRegressor
    from autopeft.methods import METHODS
    from autopeft.tasks import TASKS

__version__ = "0.1.0"

_HOMES = {
    "AutoPeftClassifier": "autopeft.estimator",
    "AutoPeftRegressor": "autopeft.estimator",
    "METHODS": "autopeft.methods",
    "SearchResult": "autopeft.api",
    "TASKS": "autopeft.tasks",
    "TunedModel": "autopeft.api",
    "load": "autopeft.api",
    "search": "autopeft.api",
}

__all__ = [
    "METHODS",
    "TASKS",
    "AutoPeftClassifier",
    "AutoPeftRegressor",
    "SearchResult",
    "TunedModel",
    "load",
    "search",
]

register_with_peft()


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used, so that ``import autopeft`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'autopeft' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
