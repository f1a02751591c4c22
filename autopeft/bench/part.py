"""The part of a suite that a command asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autopeft.bench.suite import Block, Entry, Policy, Suite
from autopeft.errors import UnknownNameError


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some blocks, rows and seeds of a suite.

    Args:
        suite: the whole: a part may depend on what it leaves out.
        backbones: names.
        tasks: names.
        examples: numbers of rows to train on.
        rows: names of methods, variants and policies.
        seeds: of trainings and searches.
    """

    suite: Suite
    backbones: tuple[str, ...]
    tasks: tuple[str, ...]
    examples: tuple[int, ...]
    rows: tuple[str, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(
        cls,
        suite: Suite,
        *,
        backbones: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        examples: Sequence[int | str] | None = None,
        rows: Sequence[str] | None = None,
        seeds: Sequence[int | str] | None = None,
    ) -> Part:
        """Return what is named, of everything that is not the whole.

        Raises:
            UnknownNameError: a name or number that the suite does not have.
        """
        where = f"suite {suite.name}"
        return cls(
            suite=suite,
            backbones=_some("backbone", backbones, tuple(suite.backbones), where),
            tasks=_some("task", tasks, tuple(suite.tasks), where),
            examples=_numbers("number of examples", examples, tuple(suite.epochs), where),
            rows=_some("method", rows, suite.rows(), where),
            seeds=_numbers("seed", seeds, suite.seeds, where),
        )

    @property
    def entries(self) -> list[Entry]:
        """The methods and variants."""
        return [entry for entry in self.suite.entries if entry.name in self.rows]

    @property
    def policies(self) -> list[Policy]:
        """The searches."""
        return [policy for policy in self.suite.policies if policy.name in self.rows]

    def blocks(self) -> list[Block]:
        """Return the blocks, backbone by backbone."""
        return [
            block
            for block in self.suite.blocks()
            if block.backbone in self.backbones
            and block.task in self.tasks
            and block.examples in self.examples
        ]


def _some(
    kind: str, asked: Iterable[str] | None, known: tuple[str, ...], where: str
) -> tuple[str, ...]:
    if asked is None:
        return known
    names = tuple(asked)
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known, where=where)
    return names


def _numbers(
    kind: str, asked: Iterable[int | str] | None, known: tuple[int, ...], where: str
) -> tuple[int, ...]:
    names = None if asked is None else map(str, asked)
    return tuple(int(name) for name in _some(kind, names, tuple(map(str, known)), where))
