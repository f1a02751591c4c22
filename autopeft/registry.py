"""A registry of frozen info records, filled by discovery.

A package such as `autopeft.methods` owns one `Registry`. Every module in it registers its records
when it is imported; `Registry` imports them all on first use, so a new file is all it takes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from autopeft.errors import UnknownNameError


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


InfoT = TypeVar("InfoT", bound=Named)


class Registry(Generic[InfoT]):
    """Info records in the order of their names, whichever was imported first.

    Args:
        kind: the noun for messages, such as ``"method"``.
        package: the package whose modules register the records.
        see: the command that lists the records; ``autopeft <kind>s`` if not given.
    """

    def __init__(self, kind: str, package: str, *, see: str = "") -> None:
        self.kind = kind
        self._see = see or f"autopeft {kind}s"
        self._package = package
        self._infos: dict[str, InfoT] = {}
        self._modules: set[str] = set()
        self._makers: dict[str, Callable[[str], InfoT | None]] = {}
        self._further: tuple[str, ...] = ()
        self._made: dict[str, InfoT] = {}

    def register(self, info: InfoT) -> InfoT:
        """Add `info` and return it.

        Raises:
            ValueError: the name is taken.
        """
        if info.name in self._infos:
            raise ValueError(f"{self.kind} {info.name!r} is registered twice")
        self._infos[info.name] = info
        return info

    def register_prefix(
        self, prefix: str, make: Callable[[str], InfoT | None], names: tuple[str, ...]
    ) -> None:
        """Let `get` make the records of all names with a prefix when they are asked for.

        They are not among `names`, nor iterated over.

        Args:
            prefix: such as ``"peft:"``.
            make: from a name with the prefix, its record, or None if there is none.
            names: those to list and to suggest.
        """
        self._makers[prefix] = make
        self._further += names

    def further(self) -> tuple[str, ...]:
        """The names to list whose records are made when they are asked for."""
        self.discover()
        return tuple(sorted(self._further))

    def discover(self) -> None:
        """Import every module of the package that was not imported yet."""
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            if module.name not in self._modules:
                self._modules.add(module.name)
                importlib.import_module(f"{self._package}.{module.name}")

    def names(self) -> tuple[str, ...]:
        """Every registered name."""
        self.discover()
        return tuple(sorted(self._infos))

    def get(self, name: str, *, where: str = "") -> InfoT:
        """Return the record of that name.

        Raises:
            UnknownNameError: there is none; `where` tells the user where it stood.
        """
        info = self._find(name)
        if info is None:
            known = self.names()
            if any(name.startswith(prefix) for prefix in self._makers):
                known = self.further()
            raise UnknownNameError(self.kind, name, known, where=where, see=self._see)
        return info

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    def _find(self, name: str) -> InfoT | None:
        if name not in self._infos:
            self.discover()
        if name in self._infos:
            return self._infos[name]
        if name not in self._made:
            for prefix, make in self._makers.items():
                info = make(name) if name.startswith(prefix) else None
                if info is not None:
                    self._made[name] = info
        return self._made.get(name)

    def __iter__(self) -> Iterator[InfoT]:
        self.discover()
        return iter([self._infos[name] for name in sorted(self._infos)])
