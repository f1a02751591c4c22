"""What a board says of its trainings: what they have in common, and where they were done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from autopeft.bench.suite import Suite


def terms(suite: Suite) -> list[str]:
    """Return what all rows have in common."""
    rates = ", ".join(f"{rate:.3g}" for rate in suite.rates)
    often = "" if suite.rates == (1.0,) else f"{rates} times "
    tried = (
        f"A method is tried at {rates} times the median of its learning-rate prior under seed "
        f"{suite.seeds[0]}; the rate that is best on the selection rows trains under every seed."
        if len(suite.rates) > 1
        else f"A method trains at {often}the median of its learning-rate prior."
    )
    limits = {policy.limit_seconds for policy in suite.policies if isfinite(policy.limit_seconds)}
    at_most = "".join(f", and at most {limit:,.0f}" for limit in sorted(limits))
    searched = (
        "A search gets as many seconds of wall clock, start and delivery included, as the training "
        f"of all single methods took on the same task and seed together{at_most}; its training "
        "time is that of the whole search."
    )
    return [
        f"{suite.selection:,} rows to select by, at most {suite.test:,} to test on, the same for "
        f"all; texts of at most {suite.max_length} tokens; seeds "
        f"{', '.join(map(str, suite.seeds))}.",
        tried,
        *([searched] if suite.policies else []),
    ]


def circumstances_of(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return when, where and with what the lines were measured."""
    if not lines:
        return []
    dates = sorted(line["date"][:10] for line in lines)
    machines = Counter(
        f"{line['hardware']['processor']}, {line['hardware']['cores']} cores"
        + (f", {line['hardware']['gpu']}" if line["hardware"]["gpu"] else "")
        for line in lines
    )
    dtypes = Counter(line["dtype"] for line in lines if "dtype" in line)
    versions = Counter(
        ", ".join(f"{name} {version}" for name, version in line["versions"].items())
        for line in lines
    )
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    failed = Counter(line["cause"] for line in lines if line["state"] == "failed")
    causes = ", ".join(f"{count} × {cause}" for cause, count in sorted(failed.items()))
    return [
        f"{len(lines):,} trainings and searches, {span}; failed: {causes or 'none'}.",
        *(f"{count:,} on {name}." for name, count in sorted(machines.items())),
        *(
            f"{count:,} over a {dtype} backbone, which was the fastest there."
            for dtype, count in sorted(dtypes.items())
        ),
        *(f"{count:,} with {name}." for name, count in sorted(versions.items())),
    ]
