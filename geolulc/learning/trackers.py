"""Who is told how training goes: the terminal, TensorBoard, MLflow."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from geolulc.errors import ParameterError


class Tracker(Protocol):
    """Told of every step and epoch; closed at the end, also of a run that fails."""

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """``done`` of ``total`` optimiser steps; loss (mean of the epoch), learning_rate, epoch."""

    def epoch(self, figures: Mapping[str, float]) -> None:
        """A row of the history."""

    def close(self) -> None:
        """No more will come."""


class Trackers:
    """Several trackers as one, closed on leaving."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Pass it on."""
        for tracker in self._trackers:
            tracker.step(done, total, figures)

    def epoch(self, figures: Mapping[str, float]) -> None:
        """Pass it on."""
        for tracker in self._trackers:
            tracker.epoch(figures)

    def close(self) -> None:
        """Close all, whatever one of them says."""
        with contextlib.ExitStack() as stack:
            for tracker in self._trackers:
                stack.callback(tracker.close)

    def __enter__(self) -> Trackers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class TensorBoardTracker:
    """Writes event files into ``folder``; ``ParameterError`` where tensorboard is missing."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise _missing("tensorboard") from None
        self._writer = SummaryWriter(str(folder))

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Loss and learning rate at the step."""
        for name in ("loss", "learning_rate"):
            self._writer.add_scalar(f"step/{name}", figures[name], done)

    def epoch(self, figures: Mapping[str, float]) -> None:
        """The row at the epoch."""
        for name, value in figures.items():
            self._writer.add_scalar(f"epoch/{name}", value, int(figures["epoch"]))

    def close(self) -> None:
        """Flush."""
        self._writer.close()


class MlflowTracker:
    """Logs to the MLflow server or folder that MLFLOW_TRACKING_URI names."""

    def __init__(self, name: str, settings: Mapping[str, object]) -> None:
        try:
            import mlflow
        except ImportError:
            raise _missing("mlflow") from None
        self._mlflow = mlflow
        mlflow.start_run(run_name=name)
        mlflow.log_params(dict(settings))

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Nothing: a call over the network a step would slow training down."""

    def epoch(self, figures: Mapping[str, float]) -> None:
        """The row at the epoch."""
        self._mlflow.log_metrics(dict(figures), step=int(figures["epoch"]))

    def close(self) -> None:
        """End the MLflow run."""
        self._mlflow.end_run()


def _missing(package: str) -> ParameterError:
    return ParameterError(
        package,
        found="not installed",
        expected=f"the package {package}",
        remedy=f"pip install {package}, or leave the option out.",
    )
