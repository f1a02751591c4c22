"""Registries: a new file is all it takes, a name is given once, typos are met with a suggestion."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from autopeft import methods
from autopeft.errors import UnknownNameError
from autopeft.methods import METHODS
from autopeft.registry import Registry


@dataclass(frozen=True)
class Info:
    name: str


@pytest.fixture
def fruits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Info]:
    """A registry over a package of two files."""
    package = tmp_path / "fruits_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from autopeft.registry import Registry\nFRUITS = Registry('fruit', __name__)\n"
    )
    for name in ("pear", "apple"):
        write_fruit(package, name)
    monkeypatch.syspath_prepend(tmp_path)
    for module in [name for name in sys.modules if name.startswith("fruits_of_a_test")]:
        monkeypatch.delitem(sys.modules, module)
    import fruits_of_a_test  # type: ignore[import-not-found]

    found: Registry[Info] = fruits_of_a_test.FRUITS
    return found


def write_fruit(package: Path, name: str) -> None:
    (package / f"{name}.py").write_text(
        "from fruits_of_a_test import FRUITS\n"
        "from tests.test_registry import Info\n"
        f"FRUITS.register(Info(name={name!r}))\n"
    )


def test_every_file_of_the_package_is_found_in_order(fruits: Registry[Info]) -> None:
    assert fruits.names() == ("apple", "pear")
    assert [info.name for info in fruits] == ["apple", "pear"]
    assert fruits.get("pear").name == "pear"


def test_file_that_is_added_later_is_found(fruits: Registry[Info], tmp_path: Path) -> None:
    assert "plum" not in fruits.names()
    write_fruit(tmp_path / "fruits_of_a_test", "plum")
    assert fruits.get("plum").name == "plum"


def test_folder_joined_to_the_package_is_searched_too(
    fruits: Registry[Info], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fruits_of_a_test

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_fruit(elsewhere, "fig")
    monkeypatch.setattr(fruits_of_a_test, "__path__", [*fruits_of_a_test.__path__, str(elsewhere)])
    assert fruits.names() == ("apple", "fig", "pear")


def test_name_is_given_once(fruits: Registry[Info]) -> None:
    fruits.names()
    with pytest.raises(ValueError, match="fruit 'pear' is registered twice"):
        fruits.register(Info(name="pear"))


def test_unknown_name_says_where_it_stood_and_what_was_meant(fruits: Registry[Info]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        fruits.get("appel", where="basket.yaml, fruits[2]")
    assert str(caught.value) == (
        "unknown fruit 'appel' (basket.yaml, fruits[2]); did you mean 'apple'? See: autopeft fruits"
    )
    with pytest.raises(UnknownNameError, match="allowed: apple, pear"):
        fruits.get("xyz")


METHOD = """
from autopeft.methods import METHODS, LearningRatePrior, MethodInfo
METHODS.register(MethodInfo(
    name="nothing", family="none", description="trains the head", paper="-", knobs={},
    placement=None, sites=(), learning_rate=LearningRatePrior(median=1e-3),
    count=lambda *_: 0, config=lambda *_: None, excluded=lambda *_: None,
))
"""


def test_new_method_is_one_new_file(tmp_path: Path) -> None:
    (tmp_path / "nothing.py").write_text(METHOD)
    code = (
        "import autopeft.methods as m; m.__path__.append(__import__('sys').argv[1]);"
        "from autopeft.cli import app; app(['methods', '--format', 'csv'])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert "\nnothing,none,trains the head," in process.stdout


def test_records_of_methods_are_complete() -> None:
    assert methods.METHODS is METHODS
    for info in METHODS:
        assert info.description, info.name
        assert info.learning_rate.median > 0, info.name
        assert (info.placement is None) == (not info.sites), info.name


def test_records_of_a_prefix_are_made_when_they_are_asked_for(fruits: Registry[Info]) -> None:
    made: list[str] = []

    def make(name: str) -> Info | None:
        made.append(name)
        return Info(name) if name == "wild:plum" else None

    fruits.register_prefix("wild:", make, ("wild:plum",))
    assert fruits.names() == ("apple", "pear") and not made
    assert fruits.further() == ("wild:plum",)
    assert fruits.get("wild:plum") is fruits.get("wild:plum")
    assert made == ["wild:plum"]
    assert "wild:plum" in fruits and "wild:sloe" not in fruits and "plum" not in fruits
    with pytest.raises(UnknownNameError, match="did you mean 'wild:plum'"):
        fruits.get("wild:plums")
