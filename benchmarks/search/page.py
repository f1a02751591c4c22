"""Write docs/search.md: how searches are compared, and what came of it.

    python -m benchmarks.search.page

The results are those of ``results/search/BACKBONE.jsonl``; see `benchmarks.search.compare`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ledger
from benchmarks.protocol import examples_of
from benchmarks.search.compare import COMPUTE, RESULTS, current_lines
from benchmarks.search.policies import ENTRANTS
from benchmarks.search.summary import (
    HEADLINE,
    aims,
    ceilings,
    everything,
    lacking,
    summary,
    unplayed,
)
from benchmarks.table.candidates import DRAWN, TASKS
from docs.pages.markdown import table

PAGE = ledger.ROOT / "docs" / "search.md"


def _tasks() -> str:
    """Return the tasks by their training rows."""
    rows = {task: examples_of(task) for task in TASKS}
    sizes = sorted(set(rows.values()), reverse=True)
    named = {size: ", ".join(task for task in TASKS if rows[task] == size) for size in sizes}
    return "; ".join(f"{names} on {size:,} rows" for size, names in named.items())


INTRODUCTION = f"""\
<!-- Written by python -m benchmarks.search.page; do not edit. -->

# Which search is better

A search is judged by what it would have found on trainings that were recorded once: the same
candidates for everybody, many replays of each search in the time of one training.

## The table

Six tasks: {_tasks()}.

On each the same candidates, trained for five epochs under two seeds. They are every method with
its defaults, and {DRAWN} more drawn from a space of every method and knob in its full range
(`benchmarks/table/space.yaml`), spread over methods, sizes, places and learning rates. What is kept
of each training: the score on the selection split after every epoch, scores on selection and test,
what was predicted for every row, six costs, and failures as failures.
`python -m benchmarks.table.record --assets FOLDER` records it, and goes on where it was stopped;
`benchmarks/table/candidates.py` says how the candidates are drawn.

The splits of sts15 are given, and of different kinds: words alone tell its selection rows from its
training rows and from its test rows (AUC 0.96 each; 0.5 where rows are drawn alike, as
`autopeft search` warns). There the best on selection need not be the best on test, whoever chooses.

## A replay

A search proposes what it likes from its space: that of the table, or the program's default space,
which has fewer methods. The answer is the nearest candidate of the table that this search was not
given yet and whose method its space has; `benchmarks/search/distance.py` defines near, for every
search alike. It ends when there is none left. It is told the trained parameters and, epoch by
epoch, the score, as if its proposal had them, and pays for each epoch it is told; what it stops
early costs only that. A failure costs a whole training. Which of the recorded seeds it sees is
drawn anew in every replay. What a search learns beforehand it learns on the other five tasks.

`ours` compares trainings where the program does on so many rows, moved to the end of the epoch, and
ASHA compares them there too: after the second epoch on 1,000 rows, and never on 300, where the
first epochs are too few steps to tell. So on the four tasks of 300 rows nothing is stopped: there
`ours`, `ours-rungs`, `ours-chances`, `ours:curves` and `ours+curves` are the same policy, and with
ASHA random search and TPE are what they are without.

## What favours ours

The default space got KAdaptation, UniPELT and placements in the top layer alone when the tables
were recorded, and was then judged by these tables: what is measured in it, of `ours` and of others,
is in part hindsight. The portfolio is learnt anew for each task on the other five, but how it is
learnt was chosen on these tables too. What `ours:curves` and `ours+curves` expect of a curve before
they have seen any was measured on trainings of subj and tweet_emotion, so that on these two they
know something of the task. `ours+others` proposes what was recorded on other tasks, and a replay
has no other candidates than those.

## What is measured

- **Hypervolume**: the area that the trainings which were completed cover, accuracy against
  `log10(1 + trained parameters)`, above the head alone and left of the largest candidate; 1 is what
  the whole table covers. It is computed from means over the seeds, so that luck is not counted.
- **Epochs to 99 %** of it: the median over replays, the geometric mean over tasks. A replay that
  never came so far counts as the epochs of the whole table. **90 %**: the same to 90 %; **of its
  space**: to 99 % of what the candidates cover whose methods the search's space has.
- **Compute** to 99 %: the same, an epoch counted by what it takes: estimated as the program
  estimates it, in epochs of default LoRA. What is placed high takes less.
- **Regret**: the program's own choice among what was completed after {HEADLINE} epochs (five
  finalists, the recorded seeds of each, the usual rule), and how far its mean test
  score is below that of the oracle, the candidate of the table with the best mean test score;
  **for compute**, the same after the compute of {COMPUTE} epochs of default LoRA. **Tried**: how
  far the best of all that was completed is below the oracle; the rest is lost by choosing.
- **Fair** regret: against the candidate that half of the test rows would have picked, scored on the
  other half. A best of so many is lucky, so regret is too high; half of the rows know the best less
  well, so fair regret is too low.
- **Within one standard error** of the oracle, over resamples of test rows and seeds; and the
  choice's **parameters** as a multiple of the oracle's.

## The searches
"""

CEILINGS = """\
At most these shares of the table's hypervolume can be covered by a search of the default space,
because it is given no other methods. Where that is less than 99 %, or 90 %, its replays count as
the whole table in the figures to so much:"""

EVERYTHING = """\
If every candidate of the table were trained, the program's own choice would be:"""

NONE_YET = "There are none yet: the table is still being recorded."
PICTURES = """\
![Hypervolume against epochs](pictures/search-hypervolume.svg)

![Regret against epochs](pictures/search-regret.svg)"""

Line = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--output", type=Path, default=PAGE)
    options = parser.parse_args(arguments)
    lines = current_lines(options.results / f"{options.backbone}.jsonl")
    options.output.write_text(page(lines), encoding="utf-8")
    print(f"wrote {options.output}")


def page(lines: Sequence[Line]) -> str:
    """Return the page that tells of some replays."""
    return "\n".join([*_sections(lines)]) + "\n"


def _sections(lines: Sequence[Line]) -> Iterator[str]:
    yield INTRODUCTION
    yield from _table(
        [{"policy": f"`{name}`", "what": one.about} for name, one in ENTRANTS.items()]
    )
    yield from ("", "## Results", "")
    if not lines:
        yield NONE_YET
        return
    if said := lacking(lines):
        yield from (f"**{said}**", "")
    yield from (unplayed(lines, ENTRANTS), "")
    yield from _table(summary(lines))
    for said, rows in ((EVERYTHING, everything(lines)), (CEILINGS, ceilings(lines))):
        if rows:
            yield from ("", said, "", *_table(rows))
    yield from ("", *(f"- {aim}" for aim in aims(lines)), "", PICTURES)


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    cells = (["–" if value is None else str(value) for value in row.values()] for row in rows)
    return table(tuple(rows[0]), cells)


if __name__ == "__main__":
    main()
