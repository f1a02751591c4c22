"""Write the pages that follow from the registries and from the recorded cells.

python docs/generate.py          writes them
python docs/generate.py --check  tells whether they are up to date
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from docs.pages.comparison import comparison  # noqa: E402
from docs.pages.exclusions import exclusions  # noqa: E402
from docs.pages.methods import methods  # noqa: E402
from docs.pages.settings import settings  # noqa: E402
from docs.pages.speed import speed  # noqa: E402
from docs.pages.tasks import tasks  # noqa: E402

NOTE = "<!-- Written by docs/generate.py; do not edit. -->"
PAGES = {
    "methods/README.md": methods,
    "methods/exclusions.md": exclusions,
    "methods/comparison.md": comparison,
    "tasks.md": tasks,
    "settings.md": settings,
    "speed.md": speed,
}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with ``--check`` return 1 if one differs."""
    pages = {name: "\n".join([NOTE, "", *lines()]) + "\n" for name, lines in PAGES.items()}
    stale = [name for name, text in pages.items() if _read(DOCS / name) != text]
    if "--check" in arguments:
        if stale:
            print(f"stale: {', '.join(stale)}; run: python docs/generate.py", file=sys.stderr)
        return int(bool(stale))
    for name in stale:
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(pages[name], encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
