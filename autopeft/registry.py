"""A registry of frozen info records, filled by discovery.

A package such as `autopeft.methods` owns one `Registry`. Every module in it registers its records
when it is imported; `Registry` imports them all on first use, so a new file is all it takes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
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

    def register(self, info: InfoT) -> InfoT:
        """Add `info` and return it.

        Raises:
            ValueError: the name is taken.
        """
        if info.name in self._infos:
            raise ValueError(f"{self.kind} {info.name!r} is registered twice")
        self._infos[info.name] = info
        return info

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
        self.discover()
        if name not in self._infos:
            raise UnknownNameError(self.kind, name, self._infos, where=where, see=self._see)
        return self._infos[name]

    def __iter__(self) -> Iterator[InfoT]:
        self.discover()
        return iter([self._infos[name] for name in sorted(self._infos)])
