"""The comparison of methods says what the cells say, and of what is missing that it is missing."""

from __future__ import annotations

from pathlib import Path

from autopeft.bench.cells import Cell, Cells
from autopeft.bench.chosen import tries
from autopeft.bench.suite import Block, load_suite
from autopeft.methods import METHODS
from docs.pages.comparison import SUITE as NAME
from docs.pages.comparison import comparison
from tests.bench.made_up import AT, about

SUITE = load_suite(NAME)
TASKS = tuple(SUITE.tasks)


Scores = tuple[float | None, ...]
"""By seed; None of a seed that failed."""


def write(cells: Path, task: str, scores: dict[str, Scores]) -> None:
    """Write what methods scored under three seeds; the lowest rate was the best."""
    block = Block(backbone="minilm-l6", task=task, examples=1_000, epochs=5)
    kept = Cells(cells / block.backbone / f"{task}.jsonl", about(task))
    for entry in SUITE.entries:
        if entry.name in scores:
            low, *others = tries(SUITE, entry, block)
            own = scores[entry.name]
            for cell in others:
                kept.add(cell, line(0.99, selection=0.1))
            for seed, score in zip(SUITE.seeds, own, strict=True):
                made = FAILED if score is None else line(score, selection=0.9)
                kept.add(Cell(low.candidate, seed), made)


def line(score: float, *, selection: float) -> dict[str, object]:
    return {
        "state": "complete",
        "dtype": "float32",
        "selection": {"accuracy": selection},
        "test": {"accuracy": score},
        "costs": {"trainable_params": 1_000, "artifact_bytes": 4_000, "train_seconds": 2.0},
        **AT,
    }


FAILED = {"state": "failed", "cause": "constant-predictions", "message": "", "costs": {}, **AT}


def test_nothing_trained_is_said() -> None:
    text = "\n".join(comparison(Path("nowhere")))
    assert text.count("Not trained yet.") == 2
    assert f"- {TASKS[0]}: {len(SUITE.entries)} methods not trained yet" in text
    assert text.endswith("Nowhere yet.")


def test_scores_unipelt_and_rates_are_told(tmp_path: Path) -> None:
    scores = {
        "lora": (0.80, 0.82, 0.84),
        "prefix": (0.60, 0.60, 0.60),
        "pfeiffer": (0.70, 0.70, 0.70),
        "unipelt": (0.85, 0.86, 0.90),
        "unipelt_ungated": (0.90, 0.90, 0.90),
    }
    write(tmp_path, "subj", scores)
    lines = list(comparison(tmp_path))
    assert "- 25 over a float32 backbone, which was the fastest there." in lines
    rows = [line for line in lines if line.startswith("| `")]
    assert rows[0] == "| `unipelt_ungated` | 90.0 ± 0.0 | – | – | 1,000 | 4,000 | 2 |"
    assert rows[1].startswith("| `unipelt` | 87.0 ± 2.6 | – | – |")
    best = next(line for line in lines if line.startswith("| subj"))
    assert best == (
        "| subj | 87.0 ± 2.6 | 82.0 ± 2.0 (`lora`) | +5.0 ± 0.6 | 90.0 ± 0.0 | -3.0 ± 1.5 |"
    )
    said = " ".join(lines)
    assert "Against its best part UniPELT is ahead by more than a standard error on 1 of 1" in said
    assert (
        "Against the ungated sum UniPELT is ahead by more than a standard error on 0 of 1" in said
    )
    assert "behind on 1; on average -3.0 points" in said
    assert "0.333 times in 4 cases, 1 times in 0 cases" in said  # a variant has no prior of its own
    assert "| `lora` | 0.002 | × 0.333 | – | – |" in lines


def test_a_seed_that_failed_counts_and_is_said(tmp_path: Path) -> None:
    scores: dict[str, Scores] = {
        "lora": (0.80, 0.80, 0.80),
        "prefix": (0.60, 0.60, 0.60),
        "pfeiffer": (0.90, 0.90, None),
        "unipelt": (0.85, 0.85, None),
        "unipelt_ungated": (0.85, 0.85, 0.85),
    }
    write(tmp_path, "subj", scores)
    lines = list(comparison(tmp_path))
    best = next(line for line in lines if line.startswith("| subj"))
    assert "| 80.0 ± 0.0 (`lora`) |" in best  # two good seeds of three are not the best part
    assert best.endswith("| 85.0 ± 0.0 | -8.3 ± 8.3 |")  # 0.6 is what no skill scores
    assert "- `unipelt`, subj: seed 2 failed: constant-predictions" in lines
    assert "A seed that failed counts as a model that learnt nothing." in " ".join(lines)


def test_a_rate_counts_as_chosen_once_all_were_tried(tmp_path: Path) -> None:
    write(tmp_path, "subj", {"lora": (0.80, 0.82, 0.84)})
    file = tmp_path / "minilm-l6" / "subj.jsonl"
    whole = file.read_text(encoding="utf-8").splitlines(keepends=True)
    highest = METHODS.get("lora").learning_rate.median * SUITE.rates[-1]
    some = [line for line in whole if f'"learning_rate": {highest:.3g},' not in line]
    assert len(some) == len(whole) - 1
    file.write_text("".join(some), encoding="utf-8")
    lines = list(comparison(tmp_path))
    assert "- `lora`, subj: 1 of 3 rates not trained yet" in lines
    assert "Not trained yet." in lines[lines.index("## Learning rates") :]
