"""Every form of data gives the same source; every fault is told with its place."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest

from autopeft.data.columns import profile
from autopeft.data.load import load
from autopeft.data.place import offline_by
from autopeft.errors import DataError

ROWS = [
    {"text": 'he said "hi", then left', "label": 1},
    {"text": "two\nlines", "label": 2},
    {"text": "naïve café — 日本", "label": 1},
]
FRAME = pd.DataFrame(ROWS)


def _dataset() -> datasets.Dataset:
    return datasets.Dataset.from_list(ROWS)


def _write_arrow(path: Path) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda path: FRAME.to_csv(path, index=False),
    "a.csv.gz": lambda path: FRAME.to_csv(path, index=False),
    "B.CSV.GZ": lambda path: FRAME.to_csv(path, index=False, compression="gzip"),
    "a.tsv": lambda path: FRAME.to_csv(path, index=False, sep="\t"),
    "a.json": lambda path: path.write_text(json.dumps(ROWS)),
    "b.json": lambda path: path.write_text(json.dumps(FRAME.to_dict("list"))),
    "e.json": lambda path: FRAME.to_json(path),
    "f.json": lambda path: FRAME.to_json(path, orient="records"),
    "c.json": lambda path: path.write_text(json.dumps({"version": 1, "data": ROWS})),
    "d.json": lambda path: path.write_text("\n".join(map(json.dumps, ROWS))),
    "a.jsonl": lambda path: path.write_text("\n".join(map(json.dumps, ROWS))),
    "a.jsonl.gz": lambda path: path.write_bytes(
        gzip.compress("\n".join(map(json.dumps, ROWS)).encode())
    ),
    "a.parquet": lambda path: FRAME.to_parquet(path),
    "b.parquet": lambda path: FRAME.astype({"text": "category"}).to_parquet(path),
    "a.arrow": _write_arrow,
    "folder": lambda path: _dataset().save_to_disk(path),
}

IN_MEMORY = {
    "frame": FRAME,
    "rows": ROWS,
    "columns": FRAME.to_dict("list"),
    "arrays": {"text": FRAME["text"].to_numpy(), "label": np.array([1, 2, 1])},
    "texts and labels": (list(FRAME["text"]), [1, 2, 1]),
    "dataset": _dataset(),
    "dataset dict": datasets.DatasetDict(train=_dataset()),
}


def test_every_format_gives_the_same_rows_and_digest(tmp_path: Path) -> None:
    sources = {}
    for name, write in WRITERS.items():
        write(tmp_path / name)
        sources[name] = load(tmp_path / name)
    sources |= {name: load(data) for name, data in IN_MEMORY.items()}
    for name, source in sources.items():
        assert source.splits["train"].to_list() == ROWS, name
    assert len({source.digest for source in sources.values()}) == 1


def test_digest_changes_with_a_cell_a_name_and_the_order() -> None:
    changed = [
        ROWS,
        [*ROWS[:2], {"text": "naïve", "label": 1}],
        [{"texts": row["text"], "label": row["label"]} for row in ROWS],
        ROWS[::-1],
    ]
    assert len({load(rows).digest for rows in changed}) == 4


def test_reading_leaves_the_users_folder_alone(tmp_path: Path) -> None:
    for name, write in WRITERS.items():
        write(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    for name in WRITERS:
        load(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_name_is_safe_for_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "My Reviews (final).csv.gz"
    FRAME.to_csv(path, index=False)
    assert load(path).name == "my-reviews-final"
    assert load(path, name="../x").name == "x"


def test_name_is_without_the_format_in_capitals_too(tmp_path: Path) -> None:
    path = tmp_path / "REVIEWS.CSV.GZ"
    FRAME.to_csv(path, index=False, compression="gzip")
    assert load(path).name == "reviews"


def test_a_cell_of_a_tsv_in_capitals_may_hold_commas(tmp_path: Path) -> None:
    path = tmp_path / "A.TSV"
    path.write_text("a, b, c\tlabel\none\t1\n")
    assert load(path).splits["train"].column_names == ["a, b, c", "label"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_with_a_mark_and_all_line_ends_are_read(
    tmp_path: Path, encoding: str, newline: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(newline.join(["text,label", "äöü,a", "日本,b", ""]).encode(encoding))
    train = load(path).splits["train"]
    assert train.to_list() == [{"text": "äöü", "label": "a"}, {"text": "日本", "label": "b"}]


def test_utf16_jsonl_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes("\r\n".join(map(json.dumps, ROWS)).encode("utf-16"))
    assert load(path).splits["train"].to_list() == ROWS


def test_semicolons_are_recognised_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text;label\na, b;1\nc;2\n")
    source = load(path)
    assert source.splits["train"][0] == {"text": "a, b", "label": 1}
    assert source.notes == ("a.csv: read with the delimiter ';'",)


def test_bare_quotes_in_tsv_are_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('text\tlabel\n"open\t1\nfine\t2\n')
    source = load(path)
    assert source.splits["train"][0]["text"] == '"open'
    assert "quotes do not match" in source.notes[0]


def test_bare_quotes_that_happen_to_match_swallow_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    texts = ['"all is well, he said', "fine", 'the end"', 'she said "no" twice']
    path.write_text("text\tlabel\n" + "".join(f"{text}\tx\n" for text in texts))
    source = load(path)
    assert source.splits["train"]["text"][:] == texts
    assert "quotes do not match" in source.notes[0]


def test_quoted_cells_of_a_tsv_may_hold_tabs_and_line_ends(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["one\ttwo\nthree\tfour\tfive", "b"], "label": ["x", "y"]})
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    source = load(tmp_path / "a.tsv")
    assert source.splits["train"].to_list() == frame.to_dict("records")
    assert source.notes == ()


def test_type_of_a_column_comes_from_all_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [f"{row},{row},{row}" for row in range(1, 12_000)]
    path.write_text("\n".join(["whole,mixed,text", *lines, "1,0.5,oops"]))
    features = load(path).splits["train"].features
    assert [features[name].dtype for name in features] == ["int64", "float64", "string"]


def test_blanks_around_a_number_leave_it_a_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("whole,score,text\n1, 0.5, a\n 2 , NaN,b \n3, ,4\n")
    assert load(path).splits["train"].to_list() == [
        {"whole": 1, "score": 0.5, "text": " a"},
        {"whole": 2, "score": None, "text": "b "},
        {"whole": 3, "score": None, "text": "4"},
    ]


def test_whole_numbers_beyond_64_bits_are_text_in_every_format(tmp_path: Path) -> None:
    names = ["9223372036854775807", "9223372036854775808", "-12345678901234567890123"]
    for name, codes in (("some", names[:1] * 2), ("all", names)):
        (tmp_path / f"{name}.csv").write_text("\n".join(["code", *codes]))
        (tmp_path / f"{name}.json").write_text(json.dumps([{"code": int(code)} for code in codes]))
        read = [load(tmp_path / f"{name}.{form}").splits["train"] for form in ("csv", "json")]
        assert read[0]["code"][:] == read[1]["code"][:]
        assert list(map(str, read[0]["code"])) == codes


def test_a_text_that_is_empty_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for frame in (
        pd.DataFrame({"text": ["one", "", "three"]}),
        pd.DataFrame({"text": ["one", "", "three"], "label": ["a", None, "b"]}),
    ):
        frame.to_csv(path, index=False)
        assert load(path).splits["train"]["text"][:] == ["one", None, "three"]
    path.write_text(",\n\ntext,label\n\none,a\n\n,,,\n")
    assert load(path).splits["train"].to_list() == [{"text": "one", "label": "a"}]


def test_a_delimiter_is_recognised_below_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n  \ntext;label\na, b;1\n")
    assert load(path).splits["train"].to_list() == [{"text": "a, b", "label": 1}]


def test_decimals_are_numbers(tmp_path: Path) -> None:
    scores = [Decimal("0.25"), None, Decimal("1.50")]
    frame = pd.DataFrame({"text": ["a", "b", "c"], "score": scores})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    sources = [load(frame), load(tmp_path / "a.parquet"), load(tmp_path / "a.csv")]
    for source in sources:
        assert profile(source.splits["train"])[1].kind == "number"
    assert len({source.digest for source in sources}) == 1


def test_leading_zeros_stay_and_nan_is_missing_among_numbers_only(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("code,score,word\n007,1.5,nan\n008,NaN,bread\n")
    assert load(path).splits["train"].to_list() == [
        {"code": "007", "score": 1.5, "word": "nan"},
        {"code": "008", "score": None, "word": "bread"},
    ]


def test_mixed_types_become_text_with_a_note_that_says_where() -> None:
    source = load([{"text": "a", "label": 1}, {"text": "b", "label": "x"}])
    assert source.splits["train"]["label"][:] == ["1", "x"]
    assert source.notes == (
        "column 'label' mixes text (row 2) and other values (row 1): all read as text",
    )


def test_nested_values_are_left_out_with_a_note() -> None:
    source = load([{"text": "a", "meta": {"x": 1}}])
    assert source.splits["train"].column_names == ["text"]
    assert source.notes == ("column 'meta' was left out: it holds nested values (first: row 1)",)


def test_lists_of_words_are_kept() -> None:
    source = load([{"tokens": ["a", "b"], "tags": []}, {"tokens": ["c"], "tags": [1]}])
    assert source.splits["train"].to_list()[1] == {"tokens": ["c"], "tags": [1]}


def test_missing_values_of_pandas_are_missing() -> None:
    frame = pd.DataFrame(
        {"text": ["a", None, "c"], "label": pd.Categorical(["x", None, "y"]), "n": [1, None, 3]}
    )
    assert load(frame).splits["train"].to_list() == [
        {"text": "a", "label": "x", "n": 1.0},
        {"text": None, "label": None, "n": None},
        {"text": "c", "label": "y", "n": 3.0},
    ]


def test_pairs_of_texts_give_two_columns() -> None:
    train = load(([("a", "b"), ("c", "d")], [0, 1])).splits["train"]
    assert train[1] == {"text": "c", "text_pair": "d", "label": 1}


@pytest.mark.parametrize("validation", ["validation", "valid", "val", "dev", "selection"])
def test_folder_gives_splits_by_what_people_call_them(tmp_path: Path, validation: str) -> None:
    FRAME.to_csv(tmp_path / "train.csv", index=False)
    FRAME.to_json(tmp_path / f"{validation}.jsonl", orient="records", lines=True)
    FRAME.to_parquet(tmp_path / "test-00000-of-00002.parquet")
    FRAME.to_parquet(tmp_path / "test-00001-of-00002.parquet")
    (tmp_path / "corpus.csv").write_text("a,b\n1,2\n")
    source = load(tmp_path)
    assert {name: len(rows) for name, rows in source.splits.items()} == {
        "train": 3,
        "selection": 3,
        "test": 6,
    }
    assert source.notes == ("corpus.csv was left out: its name says no split",)


def test_shards_of_whole_and_broken_numbers_are_one_column_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "train-0-of-2.csv").write_text("text,label\na,1\n")
    (tmp_path / "train-1-of-2.csv").write_text("text,label\nb,0.5\n")
    assert load(tmp_path).splits["train"]["label"][:] == [1.0, 0.5]


def test_shards_that_do_not_go_together_are_told(tmp_path: Path) -> None:
    (tmp_path / "train-0-of-2.csv").write_text("text,label\na,1\n")
    (tmp_path / "train-1-of-2.csv").write_text("text,label\nb,x\n")
    with pytest.raises(DataError, match="train: the columns of its files do not go together"):
        load(tmp_path)


def test_mapping_of_splits() -> None:
    source = load({"train": FRAME, "dev": _dataset(), "test": FRAME[:1]})
    assert {name: len(rows) for name, rows in source.splits.items()} == {
        "train": 3,
        "selection": 3,
        "test": 1,
    }


def test_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("autopeft.data.cache.new_file", lambda: tmp_path / "missing" / "x.arrow")
    with pytest.raises(DataError, match="a temporary copy of the data cannot be written"):
        load(ROWS)


def test_saved_dataset_dict_keeps_its_splits(tmp_path: Path) -> None:
    saved = datasets.DatasetDict(train=_dataset(), validation=_dataset(), other=_dataset())
    saved.save_to_disk(tmp_path / "saved")
    source = load(tmp_path / "saved")
    assert list(source.splits) == ["train", "selection"]
    assert "'other' was left out" in source.notes[0]


FAULTS = {
    "empty": ("a.csv", b"", "the file is empty"),
    "blank": ("a.csv", b"\n\n  \n", "the file is empty"),
    "header only": ("a.csv", b"text,label\n", "has no rows"),
    "empty list": ("a.json", b"[]", "has no rows"),
    "empty gzip": ("a.csv.gz", gzip.compress(b""), "the file is empty"),
    "not gzip": ("a.csv.gz", b"text,label\n", "damaged gzip file"),
    "binary": ("a.csv", bytes(range(256)) * 9, "not a text file"),
    "png": ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(64), "not a text file"),
    "utf-16 without mark": ("a.csv", "text,label\na,1\n".encode("utf-16-le"), "UTF-16 without its"),
    "latin-1": ("a.csv", "text,label\nfine,1\näh,2\n".encode("latin1"), "line 3: not UTF-8 text"),
    "duplicate columns": ("a.csv", b"text,label,text\na,1,b\n", "columns are named 'text'"),
    "duplicate keys": ("a.jsonl", b'{"a": 1}\n{"a": 1, "a": 2}', "line 2: 'a' is there twice"),
    "cp1252": ("a.csv", b"text\n\x93a\x94\n", "iconv -f cp1252 -t utf-8 a.csv > new-a.csv"),
    "cp1252 in gzip": (
        "a b.CSV.gz",
        gzip.compress(b"text\n\x93a\x94\n"),
        "gunzip -c 'a b.CSV.gz' | iconv -f cp1252 -t utf-8 > 'new-a b.CSV'",
    ),
    "ragged": ("a.csv", b"text,label\na,1\nb,2,3\nc\n", "line 3 has 3 cells, line 4 has 1 cells"),
    "open quote": ("a.csv", b'text,label\na,1\n"b,2\n', "line 3: unexpected end of data"),
    "bad json line": ("a.jsonl", b'{"a": 1}\n{"a": }\n', "line 2, column 7: not valid JSON"),
    "bad json": ("a.json", b'[{"a": 1},\n {"a" 1}]', "line 2: not valid JSON"),
    "bad json of lines": ("lines.json", b'[{"a": 1},\n {"a" 1}]', ", line 2: not valid JSON"),
    "json number": ("a.json", b"17", "a list of objects is expected"),
    "json strings": ("a.json", b'["a", "b"]', "row 1: an object"),
    "jsonl list": ("a.jsonl", b"[1]\n[2]\n", "line 1: an object"),
    "uneven columns": ("a.json", b'{"a": [1, 2], "b": [1]}', "columns differ in length"),
    "json of splits": (
        "a.json",
        b'{"train": [{"a": 1}, {"a": 2}], "test": [{"a": 3}]}',
        "holds several tables (train, test); give each split a file of its own",
    ),
    "nested json": ("a.json", b'{"a": {"b": 1}}', "no usable columns; it needs a text and a label"),
    "named nested": ("b.json", b'{"a": {"b": 1}}', "column 'a' was left out: it holds nested"),
    "deep json": ("a.json", b"[" * 100_000, "JSON that cannot be read"),
    "half a surrogate": ("a.jsonl", b'{"a": "x"}\n{"a": "\\ud800"}', "line 2, column 'a'"),
    "list and value": ("a.jsonl", b'{"a": [1]}\n{"a": 2}', "mixes lists (line 1) and single"),
    "parquet": ("a.parquet", b"not parquet at all", "not a readable parquet file"),
    "arrow": ("a.arrow", b"not arrow at all", "not a readable arrow file"),
    "format": ("a.xlsx", b"PK", "unknown format; allowed: csv, tsv"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_names_the_file_and_its_place(tmp_path: Path, fault: str) -> None:
    name, content, message = FAULTS[fault]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_faults_of_memory_are_told() -> None:
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    for data, message in (
        (twice, "columns are named 'a'"),
        ([], "has no rows"),
        ([1, 2], "row 1: a mapping"),
        ((["a"], [1, 2]), "1 texts but 2 labels"),
        ({"a": [1], "b": [1, 2]}, "columns differ in length"),
        ({"a": "text"}, "must be a list"),
        (3, "data of type int"),
        (datasets.DatasetDict(test=_dataset()), "no train split"),
        (datasets.Dataset.from_dict({"a": []}), "has no rows"),
    ):
        with pytest.raises(DataError, match=message):
            load(data)


def test_folder_without_data_or_training_or_with_two_candidates(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data files"):
        load(tmp_path)
    FRAME.to_csv(tmp_path / "test.csv", index=False)
    FRAME.to_csv(tmp_path / "dev.csv", index=False)
    with pytest.raises(DataError, match="no train split"):
        load(tmp_path)
    FRAME.to_csv(tmp_path / "train.csv", index=False)
    FRAME.to_csv(tmp_path / "train.tsv", index=False, sep="\t")
    with pytest.raises(DataError, match=r"several files for train \(train.csv, train.tsv\)"):
        load(tmp_path)


def test_missing_path_and_bad_names() -> None:
    for name in ("nowhere.csv", "./nowhere", "/no/where/at/all", "a\0b", Path("nowhere")):
        with pytest.raises(DataError):
            load(name)


def test_hub_name_without_network_says_what_to_do() -> None:
    code = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from autopeft.data.load import load\n"
        "from autopeft.errors import DataError\n"
        "try: load('nobody/nothing')\n"
        "except DataError as fault: print(fault)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "no such file or folder, and not available from the hub (HF_HUB_OFFLINE is set)" in (
        done.stdout
    )


def test_a_file_that_exists_is_never_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FRAME.to_csv(tmp_path / "train.csv", index=False)
    (tmp_path / "imdb").mkdir()
    FRAME.to_csv(tmp_path / "imdb" / "train.csv", index=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("autopeft.data.place.read_hub", lambda *_: pytest.fail("hub asked"))
    assert load("imdb").origin == "imdb"


@pytest.mark.parametrize(
    ("hub", "transformers", "named"),
    [
        (None, None, None),
        ("", "", None),
        ("0", None, None),
        ("no", None, None),
        ("1", None, "HF_HUB_OFFLINE"),
        ("true", "0", "HF_HUB_OFFLINE"),
        ("", "ON", "TRANSFORMERS_OFFLINE"),
        ("0", "1", None),
    ],
)
def test_what_forbids_the_hub_is_read_as_the_hub_library_reads_it(
    monkeypatch: pytest.MonkeyPatch, hub: str | None, transformers: str | None, named: str | None
) -> None:
    import huggingface_hub.constants

    for name, value in (("HF_HUB_OFFLINE", hub), ("TRANSFORMERS_OFFLINE", transformers)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert offline_by() == named
    theirs = huggingface_hub.constants._is_true(hub or transformers)
    assert theirs == (named is not None)
