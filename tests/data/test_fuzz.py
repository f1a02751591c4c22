"""Whatever bytes a file holds, nothing but our own errors comes out."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autopeft.data.load import load
from autopeft.errors import AutoPeftError
from autopeft.tasks.prepare import prepare
from autopeft.tasks.problem import infer

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

tabular = st.text(st.sampled_from('ab1.,;\t"\n\r\0 ï»¿-eE\ud7ff'), max_size=200)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "label", "x", ""]), inner, max_size=3)
    ),
    max_leaves=20,
)
cells = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
rows = st.lists(
    st.fixed_dictionaries({"text": st.text(max_size=8) | cells}, optional={"label": cells}),
    max_size=12,
)


def _whole_way(data: Any) -> None:
    """Load, infer and prepare; our own errors are what a user may see."""
    try:
        source = load(data)
        prepared = prepare(source, infer(source), seed=0)
    except AutoPeftError as fault:
        assert str(fault)
    else:
        assert len(prepared.train)
        assert len(prepared.selection)
        assert len(prepared.test)


def _as_file(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        _whole_way(path)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.json", "a.jsonl", "a.csv.gz"])
@FUZZ
@given(content=st.binary(max_size=300))
def test_random_bytes(name: str, content: bytes) -> None:
    _as_file(name, content)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@settings(FUZZ, max_examples=5)
@given(content=st.binary(max_size=300))
def test_random_bytes_as_binary_formats(name: str, content: bytes) -> None:
    _as_file(name, content)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@FUZZ
@given(text=tabular)
def test_random_tables(name: str, encoding: str, text: str) -> None:
    _as_file(name, f"text,label\n{text}".encode(encoding, "surrogatepass"))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@FUZZ
@given(value=json_values)
def test_random_json(name: str, value: Any) -> None:
    _as_file(name, json.dumps(value).encode())


@FUZZ
@given(rows=rows)
def test_random_rows(rows: list[dict[str, Any]]) -> None:
    _whole_way(rows)
