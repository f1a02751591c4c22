"""Where the data, the backbones and the results of a suite lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autopeft.bench import RESULTS
from autopeft.bench.suite import Block
from autopeft.data.demo import DEMOS, demo_model
from autopeft.errors import DataError, ModelError

USUAL_EXAMPLES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Folders that a suite itself does not name, so that it can be run on any machine.

    Args:
        results: a folder per backbone with a file per task.
        data: a folder per task.
        models: a folder per backbone.
    """

    results: Path
    data: Path | None = None
    models: Path | None = None

    def cells(self, block: Block) -> Path:
        """Return the file of a block."""
        return self.results / block.backbone / cells_name(block.task, block.examples)

    def data_of(self, place: str) -> str:
        """Return a path, or the name of a demo.

        Raises:
            DataError: it is not there.
        """
        if place in DEMOS:
            return place
        path = _outright(place)
        if path is None:
            if self.data is None:
                raise DataError(f"no data root; --data-root or AUTOPEFT_DATA names that of {place}")
            path = self.data / place
        if not path.exists():
            raise DataError(f"the data root has no {place}")
        return str(path)

    def model_of(self, place: str) -> str:
        """Return a folder, or a hub name: what has a slash and is no folder of the model root.

        Raises:
            ModelError: it is not there.
        """
        if place == "demo":
            return str(demo_model())
        path = _outright(place) or (self.models / place if self.models else None)
        if path is not None and path.is_dir():
            return str(path)
        if path is None and "/" not in place:
            raise ModelError(
                f"no model root; --model-root or AUTOPEFT_MODELS names that of {place}"
            )
        if "/" not in place or _outright(place):
            raise ModelError(f"the model root has no {place}")
        return place

    def options(self) -> list[str]:
        """Return the words of a command that name these folders; the usual one goes unsaid."""
        named = {"--data-root": self.data, "--model-root": self.models}
        named["--results"] = None if self.results == RESULTS else self.results
        return [word for key, root in named.items() if root for word in (key, str(root))]

    def private(self, said: str) -> str:
        """Return a message without the paths of this machine."""
        roots = {"DATA": self.data, "MODELS": self.models, "RESULTS": self.results}
        for name, root in roots.items():
            if root is not None:
                said = said.replace(str(root.resolve()), name)
        return said.replace(str(Path.home()), "~")


def cells_name(task: str, examples: int) -> str:
    """Return the name of a task's file; that of the usual number of rows goes by the task alone.

    >>> cells_name("subj", 1_000), cells_name("subj", 500)
    ('subj.jsonl', 'subj-500.jsonl')
    """
    size = "" if examples == USUAL_EXAMPLES else f"-{examples}"
    return f"{task}{size}.jsonl"


def _outright(place: str) -> Path | None:
    """Return the path that a place is by itself, wherever the roots are."""
    beginnings = ("/", "./", "../", "~")
    return Path(place).expanduser() if place.startswith(beginnings) else None
