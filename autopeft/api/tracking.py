"""Every training as a run of an experiment tracker, through Lightning's loggers."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autopeft.errors import ConfigError
from autopeft.records import TrialRecord

_PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
}


def require(kind: str) -> None:
    """Raise if a tracker's package is not installed.

    Raises:
        ConfigError: it is not.
    """
    packages = _PACKAGES[kind]
    if not any(importlib.util.find_spec(name) for name in packages):
        raise ConfigError(
            f"--logger {kind} needs a package that is not here; install it with: "
            f"pip install {packages[0]}"
        )


class Tracker:
    """Hands trials to a tracker, one of its runs per training, once each has ended.

    TensorBoard and MLflow write into the run folder, unless ``MLFLOW_TRACKING_URI`` names a server;
    W&B goes by its own settings, such as ``WANDB_MODE``.

    Args:
        kind: ``tensorboard``, ``mlflow`` or ``wandb``.
        folder: the run folder.
        metric: that is chosen by.
        warn: told in a sentence when the tracker fails; nothing more is sent to it then.
    """

    def __init__(self, kind: str, folder: Path, metric: str, warn: Callable[[str], None]) -> None:
        self._kind, self._folder, self._metric = kind, folder, metric
        self._warn: Callable[[str], None] | None = warn

    def record(self, record: TrialRecord) -> None:
        """Send one training: its settings, its curve, its score and its prices."""
        if self._warn is None:
            return
        try:
            self._send(record)
        except Exception as error:
            self._warn(f"warning: {self._kind} failed: {type(error).__name__}: {error}")
            self._warn = None

    def _send(self, record: TrialRecord) -> None:
        logger = self._logger(f"trial-{record.number}-seed-{record.seed}")
        candidate = record.candidate.to_json()
        place = candidate.pop("placement") or {}
        knobs = candidate.pop("knobs")
        logger.log_hyperparams(
            {
                **candidate,
                **knobs,
                "sites": ",".join(place.get("sites", ())),
                "layers": place.get("layers", ""),
                "seed": record.seed,
                "origin": record.origin,
                "state": record.state.value,
                "cause": "" if record.cause is None else record.cause.value,
            }
        )
        for point in record.curve:
            logger.log_metrics({f"selection/{self._metric}": point.score}, round(100 * point.share))
        final = {f"final/{name}": value for name, value in record.metrics.items()}
        for name, value in dataclasses.asdict(record.costs).items():
            final |= {} if value is None else {f"cost/{name}": float(value)}
        logger.log_metrics(final, 100)
        logger.finalize("success" if record.cause is None else "failed")
        if self._kind == "wandb":
            logger.experiment.finish()

    def _logger(self, name: str) -> Any:
        from lightning.pytorch import loggers

        project = self._folder.name
        if self._kind == "tensorboard":
            place = str(self._folder / "tensorboard")
            return loggers.TensorBoardLogger(place, name="", version=name)
        if self._kind == "mlflow":
            server = os.environ.get("MLFLOW_TRACKING_URI")
            return loggers.MLFlowLogger(
                experiment_name=project,
                run_name=name,
                tracking_uri=server or f"sqlite:///{self._folder / 'mlflow.db'}",
                artifact_location=None if server else str(self._folder / "mlruns"),
            )
        os.environ.setdefault("WANDB_SILENT", "true")  # the screen is ours
        return loggers.WandbLogger(
            project=f"autopeft-{project}", name=name, save_dir=str(self._folder), reinit=True
        )
