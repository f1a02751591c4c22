"""What errors say."""

from __future__ import annotations

import pytest

from autopeft import errors
from autopeft.errors import AutoPeftError, UnknownNameError, UsageError


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lorra", "unknown method 'lorra' (a.yaml); did you mean 'lora'? See: autopeft methods"),
        ("x", "unknown method 'x' (a.yaml); allowed: lora, dora. See: autopeft methods"),
    ],
)
def test_an_unknown_name_says_where_what_else_and_where_to_look(given: str, said: str) -> None:
    error = UnknownNameError(
        "method", given, ["lora", "dora"], where="a.yaml", see="autopeft methods"
    )
    assert str(error) == said


def test_the_tree_that_is_drawn_is_the_tree_that_is_there() -> None:
    drawn = {line.split("── ")[1].split()[0] for line in str(errors.__doc__).splitlines()
             if "── " in line}  # fmt: skip
    there = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, AutoPeftError) and kind is not AutoPeftError
    }
    assert drawn == there


def test_exit_codes_follow_the_tree() -> None:
    assert {e.exit_code for e in AutoPeftError.__subclasses__() if e is not UsageError} == {1}
    assert {e.exit_code for e in UsageError.__subclasses__()} == {2}
