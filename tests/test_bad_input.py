"""What a user can get wrong on the command line: said before any training, with what to do.

Each line is exit code 2, one message that names the file, row, column or key, and no run left
behind that was not there before.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autopeft.store import RunFolder
from autopeft.store import write as write_module
from tests.command import Command

pytestmark = pytest.mark.usefixtures("forked_workers")

TEXTS = [f"w{row % 90} w{row % 7} good" for row in range(60)]
LABELS = ["yes", "no"] * 30
GARBAGE = random.Random(0).randbytes(4000)


@pytest.fixture
def place(
    tmp_path: Path, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return the working directory: reviews.csv, and a model that may be damaged."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_folder("bert"), tmp_path / "model")
    (tmp_path / "reviews.csv").write_text(table(LABELS), encoding="utf-8")
    return tmp_path


def table(labels: list[str], header: str = "text,label") -> str:
    cells = zip(TEXTS, labels, strict=False)
    return "\n".join([header, *(f"{text},{label}" for text, label in cells)]) + "\n"


def refused(command: Command, *arguments: str | Path, data: str = "reviews.csv") -> str:
    """Return what is said; nothing was trained."""
    model = () if "--model" in arguments else ("--model", "model")
    done = command("search", data, *model, "--trials", "1", *arguments)
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert "search (" not in done.out, "the search had begun"
    return done.err


DATA = {
    "missing.csv": (None, ["missing.csv: no such file or folder", "check the path"]),
    "empty.csv": (b"", ["empty.csv: the file is empty", "give it one row"]),
    "header.csv": (b"text,label\n", ["header.csv: has no rows", "give it one row"]),
    "unlabelled.csv": (
        "text\n" + "\n".join(TEXTS),
        ["unlabelled.csv: no label column found", "--label", "'text'"],
    ),
    "one.csv": (
        table(["yes"] * 60),
        ["one.csv: column 'label' has one class only ('yes')", "give examples of another class"],
    ),
    "blank.csv": (
        table([""] * 60),
        ["blank.csv: column 'label' has no values at all", "give labels, or another --label"],
    ),
    "nan.csv": (table(["nan"] * 60), ["nan.csv", "'label'", "label"]),
    "single.csv": (
        table([*LABELS[:-1], "rare"]),
        ["class 'rare' with one example only", "add examples"],
    ),
    "garbage.csv": (GARBAGE, ["garbage.csv: not a text file", "save it as UTF-8"]),
    "garbage.parquet": (GARBAGE, ["garbage.parquet: not a readable parquet file"]),
    "utf16.csv": (
        table(LABELS).encode("utf-16-le"),
        ["utf16.csv: not a text file (binary, or UTF-16 without its mark)", "save it as UTF-8"],
    ),
    "twice.csv": (
        table(LABELS, "text,text"),
        ["twice.csv, line 1: several columns are named 'text'", "its own name"],
    ),
    "ragged.csv": (
        "text,label\nw1,yes\nw2,no,more\n",
        ["ragged.csv", "line 3 has 3 cells", "the header names 2 columns"],
    ),
    "cut.jsonl": (
        '{"text": "w1", "label": 1}\n{"text": ',
        ["cut.jsonl, line 2, column", "not valid JSON"],
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_data_that_cannot_be_used(place: Path, command: Command, name: str) -> None:
    content, said = DATA[name]
    if content is not None:
        (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(command, data=name)
    assert all(part in message for part in said), message
    assert not (place / "runs").exists()


def test_utf16_with_its_mark_is_read(place: Path, command: Command) -> None:
    (place / "marked.csv").write_text(table(LABELS), encoding="utf-16")
    done = command("search", "marked.csv", "--model", "model", "--output", "reviews.csv/run")
    assert "2 classes: no, yes" in done.out
    assert "marked.csv" not in done.err


def test_a_number_that_is_none_names_row_and_column(place: Path, command: Command) -> None:
    lines = [json.dumps({"text": text, "score": 0.5 + row}) for row, text in enumerate(TEXTS)]
    lines[6] = '{"text": "w1", "score": Infinity}'
    (place / "numbers.jsonl").write_text("\n".join(lines), encoding="utf-8")
    message = refused(command, data="numbers.jsonl")
    assert "numbers.jsonl, train, row 7, column 'score': inf is not a finite number" in message


@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        ("--label", "labell", "reviews.csv: there is no column 'labell' (--label); did you mean"),
        ("--text", "txet", "reviews.csv: there is no column 'txet' (--text); did you mean 'text'?"),
        ("--text-pair", "text", "--text-pair needs --text as well"),
        ("--metric", "acuracy", "unknown metric 'acuracy' (--metric); did you mean 'accuracy'?"),
        ("--metric", "rmse", "not for text-classification; allowed: accuracy, macro-f1, mcc"),
        ("--task", "regresion", "unknown task 'regresion' (--task); did you mean 'regression'?"),
        ("--methods", "lora,lorra", "unknown method 'lorra' (--methods); did you mean 'lora'?"),
        ("--space", "quik", "unknown space 'quik'; did you mean 'quick'?"),
        (
            "--space",
            "none.yaml",
            "none.yaml: 1 fault\n  - no such file; shipped spaces: autopeft_paper, default",
        ),
        ("--max-params", "many", "--max-params: 'many' is not a count such as 300000"),
        ("--max-memory", "-1GB", "--max-memory: '-1GB' is not a size such as 2GB"),
        ("--workers", "0", "--workers: '0' is below 1"),
    ],
)
def test_options_that_cannot_be_used(
    place: Path, command: Command, option: str, given: str, said: str
) -> None:
    assert said in refused(command, option, given)
    assert not (place / "runs").exists()


def test_all_faults_of_a_space_come_at_once_with_their_keys(place: Path, command: Command) -> None:
    (place / "bad.yaml").write_text(
        "epocs: 3\nmethods:\n  lorra:\n  lora:\n    rank: 8\n    r: 0\n", encoding="utf-8"
    )
    message = refused(command, "--space", "bad.yaml")
    assert "bad.yaml: 4 faults" in message
    for fault in (
        "epocs: unknown key 'epocs'; did you mean 'epochs'?",
        "methods.lorra: unknown method 'lorra'; did you mean 'lora'?",
        "methods.lora.rank: unknown knob 'rank'",
        "methods.lora.r: 0; allowed: an integer from 1 to 64",
    ):
        assert fault in message


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("model.safetensors", "model has no weights (looked for model.safetensors"),
        ("tokenizer*.json", "model has no tokenizer (looked for tokenizer.json"),
        ("config.json", "model has no config.json"),
    ],
)
def test_a_model_folder_that_lacks_a_file(
    place: Path, command: Command, gone: str, said: str
) -> None:
    for file in (place / "model").glob(gone):
        file.unlink()
    assert said in refused(command)
    assert not (place / "runs").exists()


def test_weights_that_are_cut(place: Path, command: Command) -> None:
    file = place / "model" / "model.safetensors"
    os.truncate(file, file.stat().st_size // 2)
    message = refused(command)
    assert f"{file} is truncated or damaged" in message and "fetch it again" in message


def test_a_model_that_is_not_there(place: Path, command: Command) -> None:
    message = refused(command, "--model", "./nothere")
    assert "nothere" in message and "give a folder or a hub name" in message


def test_no_pad_token(place: Path, command: Command) -> None:
    file = place / "model" / "tokenizer_config.json"
    known = json.loads(file.read_text(encoding="utf-8"))
    del known["pad_token"]
    file.write_text(json.dumps(known), encoding="utf-8")
    message = refused(command)
    assert "has no pad token" in message and "tokenizer_config.json" in message
    assert not list((place / "runs").glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nosuch", "gpt2"])
def test_an_architecture_that_does_not_fit(place: Path, command: Command, kind: str) -> None:
    file = place / "model" / "config.json"
    known = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(known | {"model_type": kind}), encoding="utf-8")
    message = refused(command)
    assert kind in message and str(place / "model") in message


def test_a_folder_of_another_run_is_refused_with_what_differs(
    place: Path, command: Command
) -> None:
    with RunFolder.open("run", identity={"seed": 7, "metric": "accuracy"}) as run:
        run.trials(higher_is_better=True)
    before = {file.name: file.read_bytes() for file in (place / "run").iterdir()}
    message = refused(command, "--output", "run")
    assert "run holds another run:" in message
    assert "seed: 7 there, 0 now" in message
    assert "metric" not in message
    assert "--output" in message and "--fork" in message
    assert {file.name: file.read_bytes() for file in (place / "run").iterdir()} == before


def test_a_folder_of_something_else_is_left_alone(place: Path, command: Command) -> None:
    (place / "thesis").mkdir()
    (place / "thesis" / "main.tex").write_text("years", encoding="utf-8")
    assert "files that are no run: main.tex" in refused(command, "--output", "thesis")
    assert [file.name for file in (place / "thesis").iterdir()] == ["main.tex"]


def test_a_run_in_use_names_its_holder(place: Path, command: Command) -> None:
    (place / "run").mkdir()
    with RunFolder.open("run", identity={"seed": 7}):
        (place / "run" / "manifest.json").unlink()  # as new, but held
        assert f"run is in use by process {os.getpid()}" in refused(command, "--output", "run")


@pytest.mark.parametrize("output", ["/proc/none/run", "reviews.csv", "reviews.csv/run"])
def test_a_folder_that_cannot_be_written(place: Path, command: Command, output: str) -> None:
    message = refused(command, "--output", output)
    assert f"cannot write {output}" in message
    assert "choose another folder with --output" in message


def test_a_full_disk(place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(100, 99, 1)  # type: ignore[attr-defined]
    monkeypatch.setattr(write_module.shutil, "disk_usage", lambda path: usage)
    message = refused(command, "--output", "run")
    assert "the disk of run has 0 MB left" in message and "free some space" in message
    assert not (place / "run" / "manifest.json").exists()
