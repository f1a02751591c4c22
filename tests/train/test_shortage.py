"""Memory that is given back."""

from __future__ import annotations

import weakref

import torch

from autopeft.train.shortage import release


class _Pair:
    other: _Pair


def test_what_refers_to_itself_is_given_back() -> None:
    one, two = _Pair(), _Pair()
    one.other, two.other = two, one
    seen = weakref.ref(one)
    del one, two
    release(torch.device("cpu"))
    assert seen() is None
