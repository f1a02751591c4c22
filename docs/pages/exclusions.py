"""The page of what cannot run where."""

from __future__ import annotations

from collections.abc import Iterator

from autopeft.methods import METHODS
from docs.pages.markdown import table
from docs.pages.shapes import bert_base, shape

LONGEST = 24
"""Tokens of the inputs for which exclusions are listed, as in the method contract's tests."""


def exclusions() -> Iterator[str]:
    """Yield the lines of methods/exclusions.md."""
    yield from (
        "# Where a method cannot run",
        "",
        "Told before training, from the backbone's numbers alone, and never found out by failing.",
        "",
        f"Of the ten architectures that the tests run on, with inputs of up to {LONGEST} tokens:",
        "",
    )
    yield from table(("method", "architecture", "reason"), _on_small_models())
    yield from ("", "And on BERT-base with inputs of up to 512 tokens, all of its positions:", "")
    base = bert_base()
    yield from table(
        ("method", "reason"),
        (
            (f"`{info.name}`", reason)
            for info in sorted(METHODS, key=lambda info: (info.family, info.name))
            if (reason := info.excluded(base, 512))
        ),
    )


def _on_small_models() -> Iterator[tuple[str, ...]]:
    from tests.tiny import ARCHITECTURES, head_for, tiny_config

    shapes = [
        shape(tiny_config(name, num_labels=2, pad_token_id=0), head_for(name)["auto_class"])
        for name in ARCHITECTURES
    ]
    for info in sorted(METHODS, key=lambda info: (info.family, info.name)):
        for one in shapes:
            reason = info.excluded(one, LONGEST)
            if reason is not None:
                yield f"`{info.name}`", one.architecture, reason
