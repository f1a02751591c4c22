"""What a search as a cell costs is what all of its processes cost."""

from __future__ import annotations

import subprocess
import sys

from autopeft.bench.searched import core_seconds

BUSY = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"


def test_processor_time_of_ended_children_counts() -> None:
    before = core_seconds()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert core_seconds() - before >= 0.5
