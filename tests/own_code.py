"""A model folder that comes with code of its own, which nobody may run."""

from __future__ import annotations

import json
from pathlib import Path


def bring_own_code(folder: Path, marker: Path) -> None:
    """Add code to a model folder that writes `marker` if it is run."""
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    settings = json.loads((folder / "config.json").read_text())
    own_code = {"AutoConfig": "evil.C", "AutoModelForSequenceClassification": "evil.M"}
    settings |= {"auto_map": own_code, "model_type": "unheard"}
    (folder / "config.json").write_text(json.dumps(settings))
