"""Budgets and settings that cannot be met are said before training. (robustness.md 15, 22, 28)"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from autopeft.api import opened
from autopeft.errors import ConfigError, ModelError, NoCandidateError, UsageError
from autopeft.records import TrialState
from tests.robustness.conftest import Settings, run
from tests.robustness.run import write_space
from tests.tiny import tiny_model


@pytest.mark.slow
def test_nothing_over_the_parameter_budget_is_trained(settings: Settings) -> None:
    result, _ = run(settings, max_params="600", trials=4)
    assert 0 < max(r.costs.trainable_params for r in result.records) <= 600
    assert "default" not in {r.origin for r in result.records}, "it trains 2,048 parameters"
    assert result.choice.trainable_params <= 600


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_params": 3, "methods": "lora"}, r"3 (trained )?(parameters )?.*"),
        ({"max_memory": "1MB"}, r"memory of 0\.0 GB to be had"),
    ],
)
def test_nothing_feasible_names_the_limit_and_trains_nothing(
    settings: Settings, limits: dict[str, Any], said: str
) -> None:
    with pytest.raises(NoCandidateError, match=said):
        run(settings, **limits)
    assert not list((Path(settings["output"]) / "trials").glob("*"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"metric": "rmse"}, "rmse"),
        ({"task": "text-clasification"}, "did you mean 'text-classification'"),
        ({"methods": "lorra"}, "did you mean 'lora'"),
        ({"label": "labels"}, "did you mean 'label'"),
        ({"space": "quikc"}, "did you mean 'quick'"),
        ({"trails": 3}, "did you mean 'trials'"),
        ({"leave_out": "subjj"}, "did you mean 'subj'"),
    ],
)
def test_misspelt_setting_is_an_error_with_a_suggestion_and_no_folder(
    settings: Settings, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        run(settings, **change)
    assert not Path(settings["output"]).exists()


def test_missing_model_is_asked_for(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="name one with --model"):
        run({**settings, "model": None})


def test_dry_run_of_the_command_line_trains_nothing_from_python(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"autopeft\.api\.dry_run"):
        run(settings, dry_run=True)
    assert not Path(settings["output"]).exists()


def damaged(folder: Path, damage: str) -> Path:
    model = tiny_model("bert", folder)
    weights = model / "model.safetensors"
    if damage == "no weights":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:2000])
    elif damage == "another architecture":
        other = tiny_model("gpt2", folder.with_name("gpt2"))
        shutil.copy(other / "config.json", model / "config.json")
    elif damage == "no tokenizer":
        for file in model.glob("*token*"):
            file.unlink()
    elif damage == "no pad token":
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            if (model / name).is_file():
                values = json.loads((model / name).read_text())
                values.pop("pad_token", None)
                (model / name).write_text(json.dumps(values))
    else:
        (model / "config.json").write_text("{broken")
    return model


@pytest.mark.parametrize("damage", ["no weights", "truncated", "no tokenizer"])
def test_model_that_cannot_be_used_is_said_before_there_is_a_folder(
    settings: Settings, tmp_path: Path, damage: str
) -> None:
    model = damaged(tmp_path / "model", damage)
    with pytest.raises(ModelError, match=str(model)):
        run(settings, model=str(model))
    assert not Path(settings["output"]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["another architecture", "no pad token", "broken config"])
def test_model_that_does_not_fit_is_said_before_training(
    settings: Settings, tmp_path: Path, damage: str
) -> None:
    model = damaged(tmp_path / "model", damage)
    with pytest.raises(ModelError, match=str(model)):
        run(settings, model=str(model))
    assert not Path(settings["output"]).exists()


@pytest.mark.slow
def test_time_limit_ends_an_endless_search_and_still_delivers(
    settings: Settings, tmp_path: Path
) -> None:
    import time

    space = write_space(
        tmp_path, "epochs: 5\nmethods:\n  lora:\n    r: {low: 1, high: 64, log: true}\n"
    )
    started = time.monotonic()
    result, _ = run(settings, trials=None, time_limit="25s", space=str(space))
    assert time.monotonic() - started < 40.0, "25 s on a quiet machine"
    assert (result.best / "adapter_model.safetensors").is_file()
    assert sum(r.state is TrialState.COMPLETE for r in result.records) >= 2


@pytest.mark.slow
def test_a_time_limit_shortens_trainings_once_and_for_all(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "affordable_epochs", lambda *_: 2)
    space = str(write_space(tmp_path, "epochs: [1, 2, 5]\nmethods:\n  lora:\n  bitfit:\n"))
    result, heard = run(settings, trials=3, time_limit="90s", space=space)
    assert "trainings of at most 2 epochs" in heard.text
    assert {record.candidate.epochs for record in result.records} == {2}
    more, heard = run(settings, trials=6, time_limit=None, space=space)
    assert "trainings of at most 2 epochs" in heard.text
    assert "the time limit that the run began with" in heard.text, "there is none now"
    assert len(more.records) == 6
    assert max(record.candidate.epochs for record in more.records) == 2


@pytest.mark.slow
def test_of_few_rows_trainings_get_the_steps_that_the_space_asks_for(
    settings: Settings, tmp_path: Path
) -> None:
    space = str(write_space(tmp_path, "epochs: 1\nmin_steps: 12\nmethods:\n  lora:\n"))
    result, heard = run(settings, trials=2, space=space)
    (epochs,) = {record.candidate.epochs for record in result.records}
    assert epochs > 1
    assert f"trainings of at least {epochs} epochs: fewer would be less than 12" in heard.text


@pytest.mark.slow
def test_without_a_time_limit_trainings_stay_as_long_as_the_space_has_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "affordable_epochs", lambda *_: 1)
    space = str(write_space(tmp_path, "epochs: [1, 2]\nmethods:\n  lora:\n  bitfit:\n"))
    run(settings, trials=2, space=space)
    result, heard = run(settings, trials=3, time_limit="90s", space=space)
    assert "trainings of at most" not in heard.text
    assert {record.candidate.epochs for record in result.records} == {2}


@pytest.mark.slow
def test_of_a_model_that_does_not_fit_the_workers_output_is_kept_where_that_is_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    model = damaged(tmp_path / "model", "broken config")
    with pytest.raises(ModelError):
        run(settings, model=str(model), debug=True)
    assert (Path(settings["output"]) / "logs" / "worker-0.log").is_file()
    with pytest.raises(ModelError):
        run(settings, model=str(model))
    assert not Path(settings["output"]).exists()
