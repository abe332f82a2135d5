"""A training run on disk: config, history, best model, and what resuming needs.

    config.toml         every setting
    model.safetensors   the chosen epoch so far: complete, usable at any moment
    history.csv         a line an epoch
    history.png         the same, drawn, and class_ap.png (of pixels: class_iou.png): by class
    state.safetensors   where the run stands, until it is finished
    summary.json        the end: written last

Each file is written beside and renamed, so a run killed at any moment can go on.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from geolulc.errors import CheckpointError, OutputError
from geolulc.learning.config import TrainConfig, read_config, write_config
from geolulc.ownership import ANY
from geolulc.staging import require_free, staged, write_text

_CONFIG: Final = "config.toml"
_MODEL: Final = "model.safetensors"
_HISTORY: Final = "history.csv"
_STATE: Final = "state.safetensors"
_SUMMARY: Final = "summary.json"


@dataclass
class RunState:
    """How far a run is: everything but its tensors.

    Attributes:
        step: optimiser steps done.
        loss_sum: sum of the losses of the epoch's steps so far.
        best_score: validation score of the best epoch so far.
        best_epoch: its number, from 1; 0 before the first.
        history: a row of figures an epoch.
        best_by_class: its figure by class (average precision, IoU), None for one without.
        scaler: state of the gradient scaler (fp16 only).
        data: what identifies the patches trained on.
    """

    step: int = 0
    loss_sum: float = 0.0
    best_score: float = -1.0
    best_epoch: int = 0
    best_by_class: dict[str, float | None] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def end_epoch(self, row: dict[str, float], score: float, select: str) -> bool:
        """Add the figures of an epoch; True if it is the one to keep ("best" or "last")."""
        self.loss_sum = 0.0
        self.history.append(row)
        chosen = select == "last" or score > self.best_score
        if chosen:
            self.best_score, self.best_epoch = score, len(self.history)
        return chosen

    def out_of_patience(self, patience: int) -> bool:
        """Whether no epoch of the last ``patience`` was better than one before; 0 never is."""
        return bool(patience) and len(self.history) - self.best_epoch >= patience

    def summary(self, epochs: int, by_class: str) -> dict[str, Any]:
        """The result: epochs, the chosen one and its figures; ``by_class`` names those by class."""
        chosen = self.history[self.best_epoch - 1]
        return {
            "epochs": len(self.history),
            "stopped_early": len(self.history) < epochs,
            "epoch": self.best_epoch,
            by_class: self.best_by_class,
            "figures": {k: v if math.isfinite(v) else None for k, v in chosen.items()},
        }


@dataclass(frozen=True)
class RunFolder:
    """The files of the run at ``path``."""

    path: Path

    @property
    def model(self) -> Path:
        """The checkpoint of the chosen epoch."""
        return self.path / _MODEL

    @property
    def state(self) -> Path:
        """The state that resuming needs."""
        return self.path / _STATE

    def summary(self) -> dict[str, Any] | None:
        """The summary of a finished run, None where it is not finished.

        Raises:
            OutputError: it is damaged.
        """
        file = self.path / _SUMMARY
        if not file.is_file():
            return None
        try:
            return dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise OutputError(
                file,
                found=f"no summary ({type(error).__name__}: {error})",
                expected="that of a finished run",
                remedy="Restore it, or begin anew with --overwrite.",
            ) from error

    def write_history(self, history: list[dict[str, float]]) -> None:
        """Write ``history`` as CSV."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_text(self.path / _HISTORY, text.getvalue())

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the summary and remove what resuming needed."""
        write_text(self.path / _SUMMARY, json.dumps(summary, indent=2) + "\n")
        self.state.unlink(missing_ok=True)


def require_free_run(run: RunFolder, config: TrainConfig, *, resume: bool, overwrite: int) -> None:
    """Ask before any work whether ``run`` can be begun or resumed; nothing is removed yet.

    Raises:
        OutputError: it exists (and neither ``resume`` nor ``overwrite`` is given), is no run's
            folder, cannot be written, or was begun with another config.
    """
    if not resume or not (run.path / _CONFIG).is_file():
        require_free([run.path], overwrite=overwrite, kind="run")
        return
    begun = TrainConfig.from_mapping(read_config(run.path / _CONFIG))
    if begun != config:
        changed = [k for k, v in config.as_mapping().items() if begun.as_mapping()[k] != v]
        raise OutputError(
            run.path,
            found=f"a run with another {', '.join(changed)}",
            expected="the settings it was begun with",
            remedy="Resume with --config RUN/config.toml, or begin a new run.",
        )


def begin_run(run: RunFolder, config: TrainConfig, *, resume: bool, overwrite: int) -> None:
    """Make the folder of ``run`` with its config, unless it is there to be resumed.

    It takes the place of an older run at once, as a whole; a kill leaves the one or the other.
    """
    if resume and (run.path / _CONFIG).is_file():
        return
    with staged([run.path], overwrite=overwrite, kind="run") as (folder,):
        folder.mkdir()
        write_config(config, folder / _CONFIG)


def save_state(
    run: RunFolder,
    at: RunState,
    nets: Mapping[str, nn.Module],
    optimizer: Optimizer,
    scaler: GradScaler,
) -> None:
    """Write where the run stands: tensors as safetensors, the rest as JSON in its metadata."""
    tensors = {
        f"{kind}.{name}": tensor.detach().cpu().contiguous()
        for kind, net in nets.items()
        for name, tensor in net.state_dict().items()
    }
    for number, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{number}.{name}"] = value.detach().cpu().contiguous()
    at.scaler = scaler.state_dict()
    with staged([run.state], overwrite=ANY) as (partial,):
        save_file(tensors, partial, metadata={"standing": json.dumps(asdict(at))})


def load_state(
    run: RunFolder,
    data: Mapping[str, Any],
    nets: Mapping[str, nn.Module],
    optimizer: Optimizer,
    scaler: GradScaler,
) -> RunState:
    """Bring ``nets``, ``optimizer`` and ``scaler`` to where the run stood.

    Raises:
        CheckpointError: the file is damaged or does not fit the networks.
        OutputError: the run was begun on other patches than ``data``.
    """
    try:
        with safe_open(run.state, framework="pt", device="cpu") as file:
            at = RunState(**json.loads((file.metadata() or {})["standing"]))
            tensors: dict[str, Tensor] = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        for kind, net in nets.items():
            net.load_state_dict(_below(kind, tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below("optimizer", tensors).items():
            number, _, part = name.partition(".")
            state.setdefault(int(number), {})[part] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        scaler.load_state_dict(at.scaler)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            run.state,
            found=f"a state that cannot be used ({error})",
            expected="the state of this run",
            remedy="Begin the run again with --overwrite.",
        ) from error
    if at.data != data:
        raise OutputError(
            run.path,
            found=f"a run on other patches ({at.data})",
            expected=f"those it was begun with ({data})",
            remedy="Resume with the same stores, or begin a new run.",
        )
    return at


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
