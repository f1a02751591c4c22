"""What of the machine this process may use: containers and schedulers give less than there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

MEMBERSHIP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """Return the processor cores that this process may use: by affinity and by quota."""
    import joblib

    return int(joblib.cpu_count())


def memory_bytes() -> int:
    """Return the memory that this process and its neighbours in a container may use at most."""
    limits = [group.limit_bytes for group in _control_groups()]
    return min([int(psutil.virtual_memory().total), *limits])


def free_memory_bytes() -> int:
    """Return the memory that this process can still get."""
    left = [group.limit_bytes - group.used_bytes for group in _control_groups()]
    return max(0, min([int(psutil.virtual_memory().available), *left]))


@dataclass(frozen=True, slots=True)
class _ControlGroup:
    """A bound on the memory of some processes, see cgroups(7).

    Args:
        limit_bytes: that they may have together.
        used_bytes: that they have, without copies of files that can be dropped.
    """

    limit_bytes: int
    used_bytes: int


def _control_groups() -> Iterator[_ControlGroup]:
    """Yield the control groups that bound this process's memory, its own and those around it.

    Within a container, the process's path may be the one outside; its group is then at the root.
    """
    if not MEMBERSHIP.exists():  # not Linux
        return
    for line in MEMBERSHIP.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = Path(path.lstrip("/"))
        for folder in (own, *own.parents):
            group = _read(root / folder, *names)
            if group is not None:
                yield group


def _read(folder: Path, limit: str, used: str, droppable: str) -> _ControlGroup | None:
    """Return the bound that the files of a control group tell, None if there is none."""
    try:
        most = (folder / limit).read_text().strip()
        taken = int((folder / used).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:  # no such group here, or no bound on its memory
        return None
    if most == "max":
        return None
    return _ControlGroup(int(most), taken - int(stat.get(droppable, 0)))
