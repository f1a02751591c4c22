"""Source prompts: trained, kept by model, listed, mixed by a search, and delivered."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from autopeft.backbone.checkpoint import digest
from tests.command import Command
from tests.tiny import HIDDEN, WORDS

TOKENS, ROWS, EPOCHS = 4, 80, 4

pytestmark = pytest.mark.usefixtures("forked_workers")


@pytest.fixture
def place(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a folder with `a.csv`, `b.csv` and a model, `bert`, and go there."""
    shutil.copytree(tiny_folder("bert"), tmp_path / "bert")
    for name in "ab":
        draw = random.Random(name)
        texts = [f"{' '.join(draw.choices(WORDS[2:], k=4))} {WORDS[r % 2]}" for r in range(ROWS)]
        lines = ["text,label", *(f"{text},{r % 2}" for r, text in enumerate(texts))]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(**more: object) -> list[str]:
    given = {"model": "bert", "tokens": TOKENS, "epochs": EPOCHS, **more}
    return [text for name, value in given.items() for text in (f"--{name}", str(value))]


def test_a_prompt_is_kept_with_how_it_was_made(command: Command, place: Path) -> None:
    done = command("sources", "add", "one", "a.csv", *options(seed=3))
    assert done.code == 0, done.err
    folder = Path("sources") / digest(place / "bert")
    file = folder / "one.safetensors"
    assert done.out.endswith(f"kept in {file}\n")
    assert {name: tuple(v.shape) for name, v in load_file(file).items()} == {
        "prompt": (TOKENS, HIDDEN)
    }
    listed = command("sources", "list", "--format", "json")
    (row,) = json.loads(listed.out)
    assert row == json.loads((folder / "one.json").read_text(encoding="utf-8"))
    about = {name: row[name] for name in ("name", "file", "model", "data", "task", "metric")}
    assert about == {
        "name": "one", "file": str(file), "model": "bert", "data": "a.csv",
        "task": "text-classification", "metric": "accuracy",
    }  # fmt: skip
    assert (row["rows"], row["tokens"], row["epochs"], row["seed"]) == (48, TOKENS, EPOCHS, 3)
    assert 0 <= row["score"] <= 1 and "torch" in row["versions"]
    again = command("sources", "add", "one", "b.csv", *options())
    assert again.code == 2
    assert "one.safetensors is there already" in again.err


def test_nothing_to_list(command: Command, place: Path) -> None:
    assert command("sources", "list").out == "nothing to show\n"


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("../up", {}, "a name of letters, digits, '-', '_' and dots is needed, not '../up'"),
        ("one", {"tokens": 51}, "--tokens 51; allowed: 1 to 50"),
        ("one", {"epochs": 0}, "--epochs 0 is below 1"),
        ("one", {"label": "lable"}, "did you mean 'label'"),
        ("one", {"model": "./gone"}, "./gone"),
    ],
)
def test_what_cannot_be_done_is_said_before_training(
    command: Command, place: Path, name: str, more: dict[str, object], said: str
) -> None:
    done = command("sources", "add", name, "a.csv", *options(**more))
    assert done.code == 2
    assert said in done.err
    assert not (place / "sources").exists()


@pytest.mark.slow
def test_texts_that_leave_no_room_are_refused(command: Command, place: Path) -> None:
    draw = random.Random(0)
    texts = [f"{WORDS[r % 2]} {' '.join(draw.choices(WORDS[2:], k=90))}" for r in range(ROWS)]
    lines = ["text,label", *(f"{text},{r % 2}" for r, text in enumerate(texts))]
    (place / "long.csv").write_text("\n".join(lines), encoding="utf-8")
    done = command("sources", "add", "one", "long.csv", *options())
    assert done.code == 1
    assert "exceed the 128 positions of bert; --max-length cuts texts" in done.err
    assert command("sources", "add", "one", "long.csv", *options(), "--max-length", "70").code == 0


@pytest.mark.slow
def test_a_search_mixes_them_and_delivers_them(command: Command, place: Path) -> None:
    for name, data in (("one", "a.csv"), ("two", "b.csv")):
        assert command("sources", "add", name, data, *options()).code == 0
    folder = Path("sources") / digest(place / "bert")
    (place / "space.yaml").write_text(
        f"epochs: 2\nmethods:\n  attempt:\n    sources: {folder}\n    tokens: {TOKENS}\n",
        encoding="utf-8",
    )
    done = command(
        "search", "a.csv", "--model", "bert", "--space", "space.yaml", "--methods", "attempt",
        "--trials", "3", "--output", "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    weights = load_file(place / "run" / "best" / "adapter_model.safetensors")
    (sources,) = [value for name, value in weights.items() if name.endswith(".sources")]
    kept = [load_file(folder / f"{name}.safetensors")["prompt"] for name in ("one", "two")]
    assert all((sources[index] == prompt).all() for index, prompt in enumerate(kept))
    shutil.rmtree("sources")
    predicted = command("predict", "run", "b.csv", "--format", "json")
    assert len(json.loads(predicted.out)) == ROWS
