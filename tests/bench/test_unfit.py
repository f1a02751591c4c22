"""A row that a backbone cannot have is told with its reason, whatever makes it unfit."""

from __future__ import annotations

import dataclasses

from autopeft.bench.suite import Entry
from autopeft.bench.unfit import unfit
from tests.search.made_up import backbone

OWN_ATTENTION = dataclasses.replace(backbone(), architecture="mpnet", attention_interface=False)
REASON = "mpnet computes its attention itself, so that no prefix reaches it"


def test_a_method_and_a_variant_s_knobs_can_be_unfit() -> None:
    knobs = {"serial": 48, "lora": 8, "gates": "none"}
    entries = [
        Entry(name="lora", method="lora"),
        Entry(name="prefix", method="prefix"),
        Entry(name="ungated", method="mixture", knobs={**knobs, "prefix": 10}),
        Entry(name="without", method="mixture", knobs={**knobs, "prefix": 0}),
    ]
    assert unfit(entries, OWN_ATTENTION, 32) == {"prefix": REASON, "ungated": REASON}
    assert unfit(entries, backbone(), 32) == {}
