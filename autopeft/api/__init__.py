"""The only room that knows both the search and the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autopeft.api.opened import Opened
from autopeft.api.result import SearchResult
from autopeft.api.searching import Searching
from autopeft.config import SearchConfig
from autopeft.delivery import TunedModel
from autopeft.errors import ConfigError
from autopeft.report.screen import PlainScreen, Screen, SilentScreen

__all__ = ["SearchResult", "TunedModel", "load", "search"]


def search(
    data: Any, *, verbose: bool = False, screen: Screen | None = None, **settings: object
) -> SearchResult:
    """Find and deliver the model with the most accuracy for the fewest trained parameters.

    Args:
        data: a file, a folder, a hub name, a data set, a frame, lists; or ``"demo"``.
        verbose: whether to print a line per event.
        screen: shows what happens, instead of printing.
        settings: as the options of ``autopeft search``: ``model``, ``time_limit``, ``trials`` …

    Raises:
        UsageError: something cannot be used as given; before any training.
        NoCandidateError: nothing feasible within the budget, or every training failed.
        DeliveryError: the delivered model does not reproduce what was measured.

    Example:
        result = autopeft.search("reviews.csv", model="roberta-base", time_limit="30m")
        result.predict(["a fine film"])
    """
    config = SearchConfig.build(**settings)
    if config.dry_run:
        raise ConfigError("dry_run is of the command line; call autopeft.api.dry_run.dry_run")
    shown = screen or (PlainScreen() if verbose else SilentScreen())
    with Opened(data, config, shown) as opened:
        return Searching(opened).result()


def load(folder: str | Path, *, model: str | None = None) -> TunedModel:
    """Load a tuned model from the folder of a run or of a delivered model.

    Args:
        folder: a run folder, its ``best/``, or a copy of that.
        model: where the backbone is now, if it moved.

    Raises:
        ModelError: the folder holds no tuned model, or the backbone is not there.
    """
    return TunedModel(Path(folder), model=model)
