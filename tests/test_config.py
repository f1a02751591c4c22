"""Settings: parsed once, every fault at once."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopeft.config import WITHIN, SearchConfig, byte_size, count, duration, name_list
from autopeft.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(90, 90), ("90", 90), ("90s", 90), ("3m", 180), ("1.5h", 5400), ("1d", 86400), (" 2 M ", 120)],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "number"),
    [(300_000, 300_000), ("300k", 300_000), ("1.2M", 1_200_000), ("1e3", 1000), ("2b", 2 * 10**9)],
)
def test_counts(text: str | float, number: int) -> None:
    assert count(text) == number


@pytest.mark.parametrize(
    ("text", "number"), [("2GB", 2 * 10**9), ("512MiB", 512 * 2**20), ("1kb", 1000), (77, 77)]
)
def test_byte_sizes(text: str | float, number: int) -> None:
    assert byte_size(text) == number


@pytest.mark.parametrize("parse", [duration, count, byte_size])
@pytest.mark.parametrize("text", ["", "x", "3 parsecs", "-5", "1,5h", "nan", "inf", "5m5s", None])
def test_what_is_no_quantity_is_refused_with_an_example(parse: Any, text: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a .* such as"):
        parse(text)


@pytest.mark.parametrize("parse", [duration, count, byte_size])
def test_nothing_is_no_quantity(parse: Any) -> None:
    with pytest.raises(ValueError, match="not positive"):
        parse("0")


@pytest.mark.parametrize(("name", "value"), [("max_params", "0.4"), ("seed", -1), ("trials", 0)])
def test_what_is_too_little_is_refused(name: str, value: str | int) -> None:
    with pytest.raises(ConfigError, match="is below"):
        SearchConfig.build(**{name: value})


@given(st.text(max_size=8))
def test_parsers_raise_nothing_but_value_errors(text: str) -> None:
    for parse in (duration, count, byte_size):
        try:
            assert parse(text) >= 0
        except ValueError as error:
            assert repr(text) in str(error)


def test_names_come_from_commas_and_lists() -> None:
    assert name_list("lora, ia3,") == name_list(["lora", "ia3"]) == ("lora", "ia3")
    with pytest.raises(ValueError, match="at least one"):
        name_list(" , ")


def test_nothing_given_is_the_defaults() -> None:
    assert SearchConfig.build() == SearchConfig()
    assert SearchConfig.build(model=None, trials=None) == SearchConfig()


def test_given_settings_are_parsed() -> None:
    config = SearchConfig.build(
        output="runs/a", time_limit="3m", trials="7", max_params="1k", methods="lora,ia3", seed="4"
    )
    assert config.output == Path("runs/a")
    assert (config.time_limit, config.trials, config.max_params) == (180.0, 7, 1000)
    assert (config.methods, config.seed) == (("lora", "ia3"), 4)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        SearchConfig.build(time_limit="soon", trials=0, within="1s", sede=3, workers="many")
    said = str(caught.value)
    for part in ("--time-limit", "'soon'", "--trials", "--within", "--workers"):
        assert part in said
    assert "did you mean '1se'?" in said
    assert "unknown setting 'sede'; did you mean 'seed'?" in said
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("rule", WITHIN)
def test_every_rule_of_choice_that_is_named_is_accepted_and_understood(rule: str) -> None:
    from autopeft.search.select import tolerance

    assert SearchConfig.build(within=rule).within == rule
    assert tolerance(rule)(1.0) >= 0


def test_identity_is_what_changes_results_and_nothing_else() -> None:
    identity = SearchConfig().identity()
    assert {"model", "space", "seed", "methods", "max_params", "metric"} <= identity.keys()
    assert not {"output", "time_limit", "trials", "workers", "debug", "within"} & identity.keys()


def test_every_setting_has_a_sentence_and_is_plain_json() -> None:
    for field in dataclasses.fields(SearchConfig):
        assert field.metadata["help"].endswith("."), field.name
    config = SearchConfig.build(output="x", methods="lora")
    values = config.to_json()
    assert json.loads(json.dumps(values)) == values
    assert values["methods"] == ["lora"]
