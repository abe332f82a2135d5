"""Trackers follow a training run: TensorBoard, MLflow."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from geolulc.errors import ParameterError


class Tracker:
    """Follows a run: called at every step and epoch, and closed at the end, even after an error."""

    def taught(self, done: int, total: int) -> None:
        """Note that a teacher was asked of ``done`` of ``total`` patches, before any step."""

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Note step ``done`` of ``total``: loss (mean of the epoch), learning_rate, epoch."""

    def epoch(self, figures: Mapping[str, float]) -> None:
        """Note an epoch: a row of the history."""

    def close(self) -> None:
        """Close what was opened: the run is over."""


class TensorBoardTracker(Tracker):
    """Writes event files into ``folder``, from the first step on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def available() -> bool:
        """Whether tensorboard is installed."""
        return importlib.util.find_spec("tensorboard") is not None

    @cached_property
    def _writer(self) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self._folder))

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Loss and learning rate at the step."""
        for name in ("loss", "learning_rate"):
            self._writer.add_scalar(f"step/{name}", figures[name], done)

    def epoch(self, figures: Mapping[str, float]) -> None:
        """Every figure of the epoch."""
        for name, value in figures.items():
            self._writer.add_scalar(f"epoch/{name}", value, int(figures["epoch"]))

    def close(self) -> None:
        """Write what is left and close the files."""
        if "_writer" in vars(self):
            self._writer.close()


class MlflowTracker(Tracker):
    """Logs to the MLflow server that MLFLOW_TRACKING_URI names, as a run called ``name``.

    Only epochs: a call over the network at every step would slow training down.

    Raises:
        ParameterError: mlflow is not installed.
    """

    def __init__(self, name: str, settings: Mapping[str, object]) -> None:
        try:
            import mlflow
        except ImportError:
            raise ParameterError(
                "--mlflow",
                found="no package mlflow",
                expected="mlflow in this environment",
                remedy="pip install mlflow, or leave the option out.",
            ) from None
        self._mlflow = mlflow
        self._name = name
        self._settings = dict(settings)
        self._begun = False

    def epoch(self, figures: Mapping[str, float]) -> None:
        """The row at the epoch; a run that fails before its first one is not logged."""
        if not self._begun:
            self._mlflow.start_run(run_name=self._name)
            self._mlflow.log_params(self._settings)
            self._begun = True
        self._mlflow.log_metrics(dict(figures), step=int(figures["epoch"]))

    def close(self) -> None:
        """End the MLflow run."""
        if self._begun:
            self._mlflow.end_run()
