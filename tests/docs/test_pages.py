"""What the pages say can be done, done: commands, snippets, spaces and links.

Snippets run as they stand, in a folder where `reviews.csv` is a small made-up table and
`roberta-base` a tiny random model, so that the names mean something quick. What is replaced in
commands is listed in `INSTEAD`; what installs or tests is left out, see `LEFT_OUT`: continuous
integration runs it.
"""

from __future__ import annotations

import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autopeft.bench.suite import load_suite
from autopeft.search.load import load_space
from tests.command import COMMAND, ROOT
from tests.docs.page import PAGES, Block, blocks, links
from tests.tiny import WORDS

LEFT_OUT = ("pip install", "pre-commit install", "make ", "git clone", "cd ")
INSTEAD = {
    "--time-limit 30m": "--trials 3",
    "autopeft bench ": "autopeft bench --dry-run ",
    "--space my-space.yaml": "--space my-space.yaml --dry-run",
    **{
        f"python docs/{script}.py": f"python -m py_compile {ROOT}/docs/{script}.py"
        for script in ("generate", "failed_ideas")  # the first is tested in `test_generated`
    },
}

COMMANDS = [
    (block, line)
    for block in blocks("sh", "bash", "console")
    for line in block.text.splitlines()
    if line.strip() and not line.startswith(("#", *LEFT_OUT))
]

SNIPPETS = [block for block in blocks("python") if block.file is None]


@pytest.fixture
def place(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> Path:
    """Return a folder with what the pages take for granted."""
    shutil.copytree(tiny_folder("bert"), tmp_path / "roberta-base")
    teach(tmp_path / "roberta-base", words_of(SNIPPETS))
    draw = random.Random(0)
    lines = [f"{draw.choice(WORDS[2:])} {WORDS[row % 2]},{row % 2}" for row in range(80)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    (tmp_path / "my-space.yaml").write_text("epochs: 2\nmethods:\n  lora:\n", encoding="utf-8")
    return tmp_path


def words_of(snippets: list[Block]) -> list[str]:
    """Return the words in the texts of all snippets."""
    trees = [ast.parse(block.text) for block in snippets]
    texts = [
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    ]
    return sorted({word for text in texts for word in re.findall(r"[a-z]+", text)})


def teach(model: Path, words: list[str]) -> None:
    """Put words in the place of the last ones of a tiny tokenizer: others are all unknown to it."""
    file = model / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    new = [word for word in words if word not in vocabulary]
    assert len(new) < len(WORDS) // 2
    for word, old in zip(new, reversed(WORDS), strict=False):
        vocabulary[word] = vocabulary.pop(old)
    file.write_text(json.dumps(tokenizer), encoding="utf-8")


def run(arguments: list[str], place: Path) -> str:
    path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        arguments, cwd=place, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("block", "line"), COMMANDS, ids=lambda value: str(value))
def test_command(block: Block, line: str, place: Path) -> None:
    for given, quick in INSTEAD.items():
        line = line.replace(given, quick)
    run(["bash", "-euc", line], place)


@pytest.mark.slow
@pytest.mark.parametrize("block", SNIPPETS, ids=lambda block: str(block))
def test_python(block: Block, place: Path) -> None:
    run([sys.executable, "-c", block.text], place)


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: str(block))
def test_space_or_suite(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(block.text, encoding="utf-8")
    if "\ntasks:" in block.text:
        assert load_suite(str(file)).blocks()
    else:
        assert load_space(file).methods


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's sections; of equal ones, the later are numbered."""
    found: list[str] = []
    for title in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        before = sum(
            re.fullmatch(rf"{re.escape(plain)}(-\d+)?", name) is not None for name in found
        )
        found.append(f"{plain}-{before}" if before else plain)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        if target.startswith("https://"):
            continue
        name, _, section = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name} leads to {target}, which is not there"
        if section:
            assert section in anchors(file), f"{page.name} leads to {target}, a missing section"


def test_commands_and_files_that_are_named_exist() -> None:
    from autopeft.cli import app

    commands = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    commands |= {group.name for group in app.registered_groups}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`autopeft ([a-z]+)", text):
            assert name in commands, f"{page.name} names autopeft {name}"
        for name in re.findall(r"`((?:autopeft|tests|docs|search_spaces)/[\w/.-]+)`", text):
            assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_the_layers_that_are_told_are_those_that_are_checked() -> None:
    import tomllib

    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    checked = config["tool"]["importlinter"]["contracts"][0]["layers"]
    here = [sorted(r for r in re.findall(r"[a-z_]+(?![a-z]*\))", layer)
                   if (ROOT / "autopeft" / r).exists() or (ROOT / f"autopeft/{r}.py").exists())
            for layer in checked]  # fmt: skip
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| ", text, re.MULTILINE)
    told = [sorted(re.findall(r"`([a-z_]+)`", row)) for row in rows]
    assert told == [rooms for rooms in here if rooms]


def test_the_changelog_tells_of_this_version() -> None:
    import autopeft

    assert autopeft.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_commit_hooks_run_the_tools_of_make_check() -> None:
    import yaml

    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    assert {repo["repo"] for repo in config["repos"]} == {"local"}, "hooks need no network"
    assert entries[:4] == ["ruff format", "ruff check", "mypy", "lint-imports"]
