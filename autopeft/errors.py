"""Every exception a user can meet, as one tree.

    AutoPeftError                 exit code 1
    ├── UsageError                exit code 2: what was asked cannot be done as asked
    │   ├── UnknownNameError      a name that is in no registry; suggests the nearest
    │   ├── ConfigError           a setting outside its range, or settings that exclude each other
    │   ├── FileError             faults of a file of settings, all at once
    │   │   ├── SpaceError        a search space
    │   │   └── SuiteError        a suite of benchmarks
    │   ├── DataError             a data set that cannot be read or used; names file, row, column
    │   ├── ModelError            a model folder or name that cannot be used
    │   └── RunFolderError        a run folder that is another run's, in use, or unwritable
    ├── IncompatibleMethodError   a method that cannot run on a backbone, with the reason
    ├── TrialError                a trial that failed; carries its `Cause` as text
    ├── NoCandidateError          nothing feasible, or every trial failed
    ├── DeliveryError             the delivered model does not reproduce what was measured
    ├── ExportError               a model that cannot be written in another form
    └── HubError                  a hub that refuses, or cannot be reached

A message says what was given, what is allowed and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class AutoPeftError(Exception):
    """Root of the tree; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(AutoPeftError):
    """What was asked cannot be done as asked."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is in no registry.

    Args:
        kind: what the name should be, such as ``"method"``.
        given: the name as it was given.
        allowed: every name that would have been accepted.
        where: the place it was given in, such as ``"spaces/small.yaml, methods[2]"``.
        see: the command that lists the allowed names.
    """

    def __init__(
        self, kind: str, given: str, allowed: Iterable[str], *, where: str = "", see: str = ""
    ) -> None:
        self.kind, self.given, self.allowed = kind, given, tuple(allowed)
        place = f" ({where})" if where else ""
        said = f"unknown {kind} {given!r}{place}; {suggestion(given, self.allowed)}"
        stop = "" if said.endswith("?") else "."
        super().__init__(f"{said}{stop} See: {see}" if see else said)


class ConfigError(UsageError):
    """A setting outside its range, or settings that exclude each other."""


class FileError(UsageError):
    """All faults of a file of settings together.

    Args:
        file: the file, or a description of where its settings came from.
        faults: one sentence each.
    """

    def __init__(self, file: str, faults: Sequence[str]) -> None:
        self.file, self.faults = file, tuple(faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"{file}: {count}\n" + "\n".join(f"  - {fault}" for fault in faults))


class SpaceError(FileError):
    """All faults of a search space file together."""


class SuiteError(FileError):
    """All faults of a suite file together."""


class DataError(UsageError):
    """A data set that cannot be read or used as asked."""


class ModelError(UsageError):
    """A model folder or name that cannot be used."""


class RunFolderError(UsageError):
    """A run folder that belongs to another run, is in use, or cannot be written."""


class IncompatibleMethodError(AutoPeftError):
    """A method that cannot run on a backbone; the message is the reason."""


class TrialError(AutoPeftError):
    """A trial that failed.

    Args:
        cause: the value of a `records.Cause`.
        message: what happened.
    """

    def __init__(self, cause: str, message: str) -> None:
        self.cause = cause
        super().__init__(message)


class NoCandidateError(AutoPeftError):
    """Nothing feasible within the budget, or every trial failed."""


class DeliveryError(AutoPeftError):
    """The delivered model does not reproduce what was measured."""


class ExportError(AutoPeftError):
    """A model that cannot be written in another form, or does not come out the same."""


class HubError(AutoPeftError):
    """A hub that refuses, or cannot be reached."""


def suggestion(given: str, allowed: Sequence[str]) -> str:
    """Return ``did you mean 'x'?`` or the list of what is allowed."""
    near = difflib.get_close_matches(given, allowed, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "allowed: " + ", ".join(allowed)
