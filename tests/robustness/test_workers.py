"""Several training processes share one run. (robustness.md 25, in small)"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robustness.conftest import Settings, run
from tests.robustness.run import states_in

pytestmark = pytest.mark.slow


def test_two_workers_share_the_trials_and_survive_each_others_deaths(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULT", "die:ia3")
    result, heard = run(settings, workers=2, trials=6)
    fingerprints = [record.candidate.fingerprint for record in result.records]
    assert len(fingerprints) == len(set(fingerprints)) == 6
    assert not {"RUNNING", "WAITING"} & set(states_in(Path(settings["output"])))
    assert "will be tried once more" in heard.text
    assert "ia3" not in result.choice.method
