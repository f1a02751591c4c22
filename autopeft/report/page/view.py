"""What a page shows of a run, as plain values: nothing here is read, trained or drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autopeft.records import TrialRecord
from autopeft.report.gates import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitView:
    """One split of the data.

    Args:
        name: ``train``, ``selection`` or ``test``.
        rows: how many.
        labels: how often each class name occurs; empty for numbers.
        bins: lower edge, upper edge and count of each bin of the numbers; empty for classes.
        words: lower edge, upper edge and count of each bin of words per text.
    """

    name: str
    rows: int
    labels: Mapping[str, int] = field(default_factory=dict)
    bins: Sequence[tuple[float, float, int]] = ()
    words: Sequence[tuple[float, float, int]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A test row that the delivered model got wrong.

    Args:
        row: its number in the source's split.
        text: its text; None where the data are not there any more.
        text_pair: its second text, if any.
        label: what is true, a class name or a number.
        prediction: what was predicted.
        probability: of the predicted class; None for numbers.
    """

    row: int
    text: str | None
    text_pair: str | None
    label: str | float
    prediction: str | float
    probability: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MistakesView:
    """What the delivered model got right and wrong on the test split.

    Args:
        rows: how many.
        counts: how often a class was taken for a class, by (true, predicted); empty for numbers.
        pairs: true and predicted numbers; empty for classes.
        worst: the worst mistakes, the worst first.
    """

    rows: int
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    pairs: Sequence[tuple[float, float]] = ()
    worst: Sequence[Mistake] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """How much each setting mattered for the score.

    Args:
        shares: of the explained variance of the score, by setting: mean and standard deviation over
            repeats; empty where nothing can be said.
        trials: how many trials were compared.
        trained: the share of the training after which they were compared.
        note: why nothing can be said, or what else a reader should know.
    """

    shares: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    trials: int = 0
    trained: float = 1.0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run, finished or not.

    Args:
        name: of the data set.
        folder: of the run.
        task: its name.
        metric: that is chosen by.
        higher_is_better: its direction.
        percent: whether scores are shown as percentages.
        labels: class names in their order; empty for numbers.
        records: every trial.
        replicates: further seeds of finalists, by trial.
        choice: as in ``result.json``; None where nothing was delivered.
        load_code: Python that loads the delivered model.
        gates: of the trials of a mixture, by number.
        importance: what mattered.
        splits: of the data.
        mistakes: what the delivered model did on the test split; None where nothing was delivered.
        facts: what the search knew at its start: ``data``, ``model``, ``machine``, ``command``.
        settings: the run's identity: seed, limits, digests.
        versions: of the packages.
        wall_seconds: spent so far, over all sittings.
    """

    name: str
    folder: str
    task: str
    metric: str
    higher_is_better: bool
    percent: bool
    labels: tuple[str, ...] = ()
    records: tuple[TrialRecord, ...] = ()
    replicates: Mapping[int, Sequence[TrialRecord]] = field(default_factory=dict)
    choice: Mapping[str, Any] | None = None
    load_code: str = ""
    gates: Mapping[int, Sequence[Gate]] = field(default_factory=dict)
    importance: Importance = field(default_factory=Importance)
    splits: Sequence[SplitView] = ()
    mistakes: MistakesView | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    wall_seconds: float | None = None

    @property
    def finalists(self) -> Sequence[Mapping[str, Any]]:
        """The finalists as the choice saw them, the best first."""
        return [] if self.choice is None else list(self.choice["finalists"])
