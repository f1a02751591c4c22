"""The run folder: manifest, lock and study, and the records of its trials.

from autopeft.store import RunFolder
with RunFolder.open("runs/reviews", identity={"seed": 0, "data": digest}) as run:
    trials = run.trials(higher_is_better=True)
    trials.recover()
    trials.records()
"""

from autopeft.store.folder import RunFolder
from autopeft.store.trials import TrialStore

__all__ = ["RunFolder", "TrialStore"]
