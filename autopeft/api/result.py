"""What a search returns."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopeft.delivery import TunedModel, about_of, load_code
from autopeft.records import TrialRecord
from autopeft.search.finalist import Expected

if TYPE_CHECKING:
    import numpy as np
    import plotly.graph_objects
    import torch

RESULT = "result.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalRow:
    """A finalist as the choice saw it.

    Args:
        number: of its trial.
        label: its candidate in one line.
        origin: of its trial.
        trainable_params: without the head.
        seeds: how often it was trained to the end.
        mean: of the selection scores over seeds.
        spread: their standard deviation; None for a single seed.
        behind: how far the mean is behind the best.
        standard_error: of `behind`.
        best_share: probability of being the best.
        tied_share: probability of being the best or tied with it; None in older runs.
        chance: how often chance alone makes a difference as large as that from the choice, by a
            corrected paired test; None in older runs.
        test_score: on the test split; None where it was not scored there.
        failures: a phrase for each further seed under which its training failed of itself.
    """

    number: int
    label: str
    origin: str
    trainable_params: int
    seeds: int
    mean: float
    spread: float | None
    behind: float
    standard_error: float
    best_share: float
    tied_share: float | None = None
    chance: float | None = None
    test_score: float | None = None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRecord:
    """What was chosen and why.

    Args:
        number: of the chosen trial.
        seed: of the delivered weights.
        method: its method.
        label: its candidate in one line.
        reason: the sentence why.
        metric: that was chosen by.
        trainable_params: without the head.
        selection_score: of the delivered weights.
        test_scores: every metric of the task, of the delivered weights.
        untrained_test_score: of the majority class (of the mean, for numbers) on the test split.
        finalists: the best first.
        expected: score of the delivered weights on new data, as foreseen before the test; None in
            older runs.
    """

    number: int
    seed: int
    method: str
    label: str
    reason: str
    metric: str
    trainable_params: int
    selection_score: float
    test_scores: Mapping[str, float]
    untrained_test_score: float
    finalists: tuple[FinalRow, ...]
    expected: Expected | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ChoiceRecord:
        """Rebuild a choice from plain values."""
        rows = tuple(
            FinalRow(**{**row, "failures": tuple(row.get("failures", ()))})
            for row in values["finalists"]
        )
        kept = values.get("expected")
        expected = None if kept is None else Expected(**kept)
        return cls(**{**values, "finalists": rows, "expected": expected})


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """A finished search.

    Attributes:
        folder: of the run.
        choice: what was chosen and why.
        records: every trial.
        front: the trials on the Pareto front of score and trained parameters, smallest first.
        higher_is_better: the metric's direction.
    """

    folder: Path
    choice: ChoiceRecord
    records: tuple[TrialRecord, ...]
    front: tuple[TrialRecord, ...]
    higher_is_better: bool

    @property
    def best(self) -> Path:
        """Folder of the delivered model."""
        return self.folder / "best"

    @cached_property
    def tuned(self) -> TunedModel:
        """The delivered model with its tokenizer, loaded on first use."""
        return TunedModel(self.best)

    @property
    def model(self) -> torch.nn.Module:
        """The tuned model: a peft model, or a transformers model after full fine-tuning."""
        return self.tuned.model

    def predict(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None
    ) -> list[str] | list[float]:
        """Return a label name, or a number, per text; see `TunedModel.predict`."""
        return self.tuned.predict(texts, text_pairs)

    def predict_proba(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None
    ) -> np.ndarray:
        """Return the probabilities (N, C) of the classes; see `TunedModel.predict_proba`."""
        return self.tuned.predict_proba(texts, text_pairs)

    def leaderboard(self) -> list[dict[str, object]]:
        """Return one row per trial, the best first, as ``leaderboard.csv`` has them."""
        from autopeft.api.reading import read_leaderboard

        return read_leaderboard(self.folder)

    def plot_front(self) -> plotly.graph_objects.Figure:
        """Return the front of score and trained parameters, for a notebook to show.

        Every trial is a point, the finalists have error bars over their seeds.
        """
        from autopeft.api.page import read_view
        from autopeft.report.page.front import front_figure
        from autopeft.report.page.notebook import plotly_figure

        figure = front_figure(read_view(self.folder))
        assert figure is not None, "a finished search has a score"
        return plotly_figure(figure)

    def _repr_html_(self) -> str:
        from autopeft.report.page.notebook import summary_html

        rows = [
            {
                "candidate": row.label,
                "trained parameters": row.trainable_params,
                "seeds": row.seeds,
                f"{self.choice.metric} (selection)": row.mean,
                "±": row.spread,
                f"{self.choice.metric} (test)": row.test_score,
            }
            for row in self.choice.finalists
        ]
        return summary_html(
            title=self.choice.label, reason=self.choice.reason, rows=rows, folder=str(self.folder)
        )

    def load_code(self) -> str:
        """Return Python that loads the delivered model with plain transformers and peft."""
        return load_code(*about_of(self.best))

    def save(self, folder: str | Path) -> Path:
        """Copy the delivered model to another folder and return it.

        Raises:
            FileExistsError: the folder is there already.
        """
        return Path(shutil.copytree(self.best, Path(folder)))
