"""The sentence that says why a model was chosen, with what stood beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from autopeft.report.wording import figures, points, score
from autopeft.search.finalist import Expected, Row, beside
from autopeft.search.paired import SIGNIFICANT


def reason(
    chosen: Row,
    table: Sequence[Row],
    expected: Expected,
    *,
    within: str,
    point: float,
    percent: bool,
) -> str:
    """Return why `chosen` was chosen.

    Args:
        chosen: one of the rows.
        table: all rows, the best first.
        expected: its score on new data.
        within: the tolerance as it was asked for.
        point: what a point of it is worth.
        percent: whether scores are printed as percentages and differences as points.
    """
    limits = [limit for part in within.split(",") if (limit := part.strip()) != "0"]

    def near(error: str) -> str:
        return " and ".join(_limit(limit, error, point, percent) for limit in limits) or "equal"

    best = next(row for row in table if row.finalist.eligible)
    default = next((row for row in table if row.finalist.origin == "default"), None)
    parts = [f"{_count(chosen)}{_against(chosen, default, percent)}"]
    ahead = any(row.behind < 0 for row in table)  # a reference that may not be chosen
    if chosen is best:
        smaller = [r for r in table if r.finalist.eligible and _params(r) < _params(chosen)]
        told = bool(smaller) and all(row.behind > row.margin for row in smaller)
        as_good = f"{near('')} of it" if limits else "as good"
        best_score = "the best score" + " of those" * ahead
        parts.append(best_score + f", and no smaller finalist is {as_good}" * told)
    else:
        error = f" ({_points(chosen.standard_error, percent)})"
        behind = _points(chosen.behind, percent)
        parts.append(f"{behind} behind the best (trial {_name(best)}), {near(error)}")
    one = "it is the best of those that may be chosen" if ahead else "it is the best"
    why = one if chosen is best else "it trains the fewest parameters of those as good"
    return (
        f"Trial {_name(chosen)} was chosen because {why}: {'; '.join(parts)}. "
        f"Score {score(chosen.mean, percent)}{_delivered(chosen, percent)}{_cut(chosen)}"
        f"{_beside(chosen, table, percent)}."
        f"{_sure(chosen, table, percent)}{_failures(chosen)}{_alike(chosen, table)}"
        f"{_promise(expected, chosen, percent)}"
    )


def _against(chosen: Row, default: Row | None, percent: bool) -> str:
    """Return how its parameters compare with the default LoRA's, and what more of them buy.

    They may buy nothing where the default may not be chosen.
    """
    if default is None:
        return ""
    if chosen is default:
        return ", the default LoRA itself"
    ours, theirs = _params(chosen), _params(default)
    if ours == 0:
        return f", where the default LoRA trains {theirs:,}"
    if ours <= theirs:
        return f", {_times(theirs / ours)} fewer than the default LoRA" if ours < theirs else ""
    gained = default.behind - chosen.behind
    size = _points(abs(gained), percent)
    told = f"which is {size} ahead" if gained else "which is as good"
    bought = f"which buy {size}" if gained > 0 else told
    return f", {_times(ours / theirs)} more than the default LoRA, {bought}"


def _beside(chosen: Row, table: Sequence[Row], percent: bool) -> str:
    words = {"runner-up": "the runner-up", "default": "the default LoRA", "head": "the head alone"}
    shown = beside(table, chosen.finalist.number)
    texts = [
        f"{word} {score(row.mean, percent)} with {_count(row)}{_cut(row)}"
        for name, word in words.items()
        if (row := shown.get(name)) is not None
    ]
    return f"; beside it {', '.join(texts)}" if texts else ""


def _delivered(chosen: Row, percent: bool) -> str:
    """Return the score of the seed that is delivered, where that is not the mean."""
    own = score(chosen.score, percent)
    return "" if own == score(chosen.mean, percent) else f", {own} of the seed that is delivered"


def _cut(row: Row) -> str:
    """Return that a score is not that of a whole training."""
    return " (the time limit cut its training short)" if row.finalist.cut_short else ""


def _sure(chosen: Row, table: Sequence[Row], percent: bool) -> str:
    """Return how likely it is the best that could have been chosen, or tied with it."""
    if sum(row.finalist.eligible for row in table) < 2:
        return ""
    every = all(row.finalist.eligible for row in table)
    whose = "the finalists" if every else "those that may be chosen"
    tied = f", or at most {_points(chosen.margin, percent)} behind it," if chosen.margin else ""
    sure = f" The chance that it is the best of {whose}{tied} is {_share(chosen.tied_share)}"
    if all(row.spread is None for row in table):
        return f"{sure}, if other seeds would change nothing: each was trained with one."
    return f"{sure}."


def _failures(chosen: Row) -> str:
    """Return that it does not learn under every seed, which the mean of the others hides."""
    failures = chosen.finalist.failures
    return f" Not every training of it succeeds: {'; '.join(failures)}." if failures else ""


def _alike(chosen: Row, table: Sequence[Row]) -> str:
    """Return which finalists no test tells apart from it: of many their number and two of them.

    These are the smallest and the largest.
    """
    alike = sorted(
        (
            row
            for row in table
            if row.finalist.number != chosen.finalist.number and row.chance > SIGNIFICANT
        ),
        key=_params,
    )
    shown = alike if len(alike) < 3 else [alike[0], alike[-1]]
    texts = [f"trial {_name(row)}, which trains {_more(row, chosen)}" for row in shown]
    if len(alike) > len(texts):
        told = f"{len(alike)} finalists, such as {', and '.join(texts)}"
        return f" It cannot be told apart from {told}."
    return f" It cannot be told apart from {', or '.join(texts)}." if texts else ""


def _more(row: Row, chosen: Row) -> str:
    """Return how the parameters of another compare with the chosen one's."""
    theirs, ours = _params(row), _params(chosen)
    if theirs == ours:
        return "as many parameters"
    if 0 in (theirs, ours):
        return f"{theirs:,} parameters"
    more = theirs > ours
    return (
        f"{_times(max(theirs, ours) / min(theirs, ours))} {'more' if more else 'fewer'} parameters"
    )


def _promise(expected: Expected, chosen: Row, percent: bool) -> str:
    """Return what to expect on new data; of an error, luck taken off is more of it."""
    interval = f"{score(expected.low, percent)} to {score(expected.high, percent)}"
    turned = "more" if expected.score > chosen.score else "less"
    curse = (
        f", {_points(expected.optimism, percent)} {turned} for its luck in having been picked from "
        f"{expected.tried}"
    )
    if _points(expected.optimism, percent) == _points(0.0, percent) or expected.optimism < 0:
        curse = ""
    return f" On new data expect {score(expected.score, percent)}{curse} ({interval})."


def _share(share: float) -> str:
    """Return a probability, never called certain."""
    return f"{100 * min(max(share, 0.01), 0.99):.0f} %"


def _params(row: Row) -> int:
    return row.finalist.trainable_params


def _count(row: Row) -> str:
    return f"{_params(row):,} trained parameters"


def _name(row: Row) -> str:
    return f"{row.finalist.number} ({row.finalist.label})"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}×" if ratio < 10 else f"{ratio:.0f}×"


def _points(difference: float, percent: bool) -> str:
    return points(difference, percent) + " points" * percent


def _limit(limit: str, error: str, point: float, percent: bool) -> str:
    """Return a part of a tolerance in words; `error` says how much a standard error is."""
    if limit == "1se":
        return f"within one standard error{error}"
    match = re.fullmatch(r"([\d.]+)(se|pt)", limit)
    assert match is not None, limit
    if match[2] == "se":
        return f"within {match[1]} standard errors{error}"
    told = f"{match[1]} points" if percent else figures(float(match[1]) * point, 2)
    return f"within {told}"
