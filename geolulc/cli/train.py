"""``geolulc train``: a store → a checkpoint."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geolulc.cli.options import (
    OUTPUT,
    PATH,
    F,
    baseline_option,
    epochs_option,
    read_settings,
    settings_options,
    shared_options,
)
from geolulc.cli.results import print_files, print_result, progress_bar, progress_lines, say
from geolulc.learning.trackers import Tracker
from geolulc.progress import Progress

if TYPE_CHECKING:
    from geolulc.learning.config import TrainConfig


def _flag(name: str, kind: type, value: str, text: str) -> Callable[[F], F]:
    return click.option(
        f"--{name.replace('_', '-')}", name, type=kind, default=None, metavar=value, help=text
    )


@click.command("train")
@click.argument("store", type=PATH)
@click.argument("run", type=OUTPUT)
@_flag(
    "task",
    str,
    "patch|fraction|pixel",
    "What the model says: which classes are present in a patch, what share of its ground each "
    "covers, or the class of each pixel.",
)
@_flag(
    "fusion",
    str,
    "early|intermediate|late",
    "Where in the network bands of 10, 20 and 60 m come together.",
)
@_flag(
    "backbone",
    str,
    "NAME",
    "Encoder, an architecture of timm: resnet18, efficientnet_b0, …; of pixels also forest, a "
    "random forest.",
)
@_flag("attention", str, "none|cbam", "Layer of attention after the encoders.")
@_flag("label_correlation", str, "off|on|sets", "A layer that knows which classes come together.")
@_flag(
    "pretrained", str, "MODEL", "File or shipped model to start from; “geolulc models” lists them."
)
@_flag("bands", str, "B02,B03,…", "Bands that the network sees; all without it.")
@_flag("teacher", str, "MODEL", "Learn what this model of pixels says, in place of labels.")
@_flag(
    "teacher_store",
    str,
    "STORE",
    "Let the teacher see this store where it has a patch on the same ground.",
)
@epochs_option
@_flag("batch_size", int, "N", "Patches that the network learns from at a time.")
@_flag("learning_rate", float, "RATE", "The highest rate, after the warm-up.")
@_flag("loss", str, "bce|focal|asl", "Loss of patches: cross-entropy, focal or asymmetric.")
@_flag("pixel_loss", str, "ce|ce+dice", "Loss of pixels: cross-entropy, alone or with Dice.")
@_flag(
    "ignore_border", int, "METRES", "Of pixels: how far from borders of labels nothing is learned."
)
@_flag("seed", int, "N", "Seed of every random choice.")
@settings_options("File of settings that differ from the defaults.")
@click.option("--resume", is_flag=True, help="Go on with the run in RUN, if there is one.")
@click.option(
    "--find-lr", is_flag=True, help="Only try learning rates, and write their losses into RUN."
)
@click.option(
    "--folds",
    is_flag=True,
    help="Cross-validation: a run for each fold of a store of own labels; RUN gets folds.json.",
)
@baseline_option("With --folds, of pixels: a random forest of the same pixels beside each run.")
@click.option("--mlflow", is_flag=True, help="Also log to MLflow (MLFLOW_TRACKING_URI).")
@shared_options("overwrite", "device", "quiet", "json")
def command(
    store: Path,
    run: Path,
    config: Path | None,
    settings: tuple[str, ...],
    resume: bool,
    find_lr: bool,
    folds: bool,
    baseline: str | None,
    mlflow: bool,
    overwrite: int,
    device: str,
    quiet: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train a network on STORE, which geolulc prepare wrote.

    The folder RUN gets the model of the best epoch (model.safetensors), the settings, and the
    figures of each epoch.

    \b
    Examples:
        geolulc train ben.store runs/first
        geolulc train ben.store runs/second --config examples/modern.toml --epochs 40
        geolulc train own.store runs/student --teacher dynamicworld
        geolulc train own.store runs/own --fusion dynamicworld
    """
    from geolulc.learning.config import TrainConfig, read_config
    from geolulc.learning.interruption import TrainingInterrupted
    from geolulc.nets.config import DYNAMIC_WORLD

    given = read_settings(config, settings, flags)
    if resume and not given and (run / "config.toml").is_file():
        given = read_config(run / "config.toml")
    if given.get("teacher"):
        given.setdefault("task", "pixel")
    if given.get("fusion") == DYNAMIC_WORLD:
        given = {"task": "pixel", "backbone": DYNAMIC_WORLD} | given
    resolved = TrainConfig.from_mapping(given)

    if find_lr:
        _find_rate(store, run, resolved, device, overwrite, quiet, as_json)
        return

    if baseline is not None and (not folds or resolved.task != "pixel"):
        raise click.UsageError("--baseline goes with --folds and --task pixel.")
    if folds:
        _cross_validate(store, run, resolved, device, resume, overwrite, baseline, quiet, as_json)
        return

    from geolulc.learning.trackers import MlflowTracker, TensorBoardTracker
    from geolulc.learning.training import train

    trackers: list[Tracker] = [] if quiet else [TerminalTracker()]
    if TensorBoardTracker.available():
        trackers.append(TensorBoardTracker(run / "tensorboard"))
    if mlflow:
        trackers.append(MlflowTracker(run.name, resolved.as_mapping()))
    try:
        summary = train(
            store,
            run,
            resolved,
            device=device,
            resume=resume,
            overwrite=overwrite,
            trackers=trackers,
        )
    except TrainingInterrupted as stop:
        if _leads():
            say(f"geolulc: {run}: {stop}; go on with --resume", err=True)
        sys.exit(128 + stop.number)
    if not _leads():
        return
    text = (
        f"{run}: epoch {summary['epoch']} of {summary['epochs']}, "
        f"validation {_scores(summary['figures'], ', ')}"
    )
    print_result(summary, text, as_json=as_json)


def _leads() -> bool:
    """Whether this is the process of torchrun that prints."""
    return os.environ.get("RANK", "0") == "0"


def _cross_validate(
    store: Path,
    run: Path,
    config: TrainConfig,
    device: str,
    resume: bool,
    overwrite: int,
    baseline: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    from geolulc.learning.cross_validation import cross_validate
    from geolulc.learning.interruption import TrainingInterrupted

    try:
        found = cross_validate(
            store,
            run,
            config,
            device=device,
            resume=resume,
            overwrite=overwrite,
            baseline=baseline is not None,
            trackers=lambda name: () if quiet else (TerminalTracker(name),),
        )
    except TrainingInterrupted as stop:
        say(f"geolulc: {run}: {stop}; go on with --resume", err=True)
        sys.exit(128 + stop.number)
    lines = [f"{run}: {len(found['folds'])} folds; mean ± standard deviation between them, range"]
    for what in ("figures", "baseline"):
        for name, value in found.get(what, {}).items():
            title = name if what == "figures" else f"{name} of the forest"
            lines.append(
                f"  {title:<28}{value['mean']:.3f} ± {_number(value['sd'])}"
                f"  ({value['min']:.3f} … {value['max']:.3f})"
            )
    if "verdict" in found:
        lines.append(f"means of the folds: {found['verdict']}")
    print_result(found, "\n".join(lines), as_json=as_json)


def _find_rate(
    store: Path,
    run: Path,
    config: TrainConfig,
    device: str,
    overwrite: int,
    quiet: bool,
    as_json: bool,
) -> None:
    from geolulc.learning.rate_finder import find_rate, write_curve
    from geolulc.learning.run_folder import RunFolder, require_free_run

    require_free_run(RunFolder(run), config, resume=False, overwrite=overwrite)
    with progress_bar("find-lr", "steps", quiet=quiet) as progress:
        curve = find_rate(store, config, device=device, progress=progress)
    table, picture = write_curve(curve, config, run, overwrite=overwrite)
    found = {
        "rates": curve.rates.tolist(),
        "losses": curve.losses.tolist(),
        "suggestion": curve.suggestion,
    }

    def text(_: Mapping[str, Any], files: Mapping[str, str]) -> str:
        curve_lines = [
            f"{rate:.2e}  {loss:.4f}" for rate, loss in zip(curve.rates, curve.losses, strict=True)
        ]
        last = f"{', '.join(files.values())}: steepest at {curve.suggestion:.1e}"
        return "\n".join([*curve_lines, last])

    print_files(found, {"table": table, "picture": picture}, text, as_json=as_json)


class TerminalTracker(Tracker):
    """A bar with loss, rate and time left, or lines of JSON, and a line an epoch, on stderr."""

    def __init__(self, name: str = "train") -> None:
        self._name = name
        self._lines = progress_lines(name, "steps")
        self._bar: Any = None
        self._teaching = ExitStack()
        self._teacher: Progress | None = None

    def taught(self, done: int, total: int) -> None:
        """Move the teacher's own bar, which ends with its last patch."""
        if self._teacher is None:
            bar = progress_bar("teacher", "patches", quiet=False)
            self._teacher = self._teaching.enter_context(bar)
        if self._teacher is not None:
            self._teacher(done, total)
        if done == total:
            self._end_teaching()

    def _end_teaching(self) -> None:
        self._teaching.close()
        self._teacher = None

    def step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Move the bar."""
        if self._lines is not None:
            self._lines(done, total)
            return
        if self._bar is None:
            from tqdm import tqdm

            # a resumed run begins at its saved step: its rate counts from there
            self._bar = tqdm(
                desc=self._name, unit=" steps", total=total, initial=done - 1, file=sys.stderr
            )
        self._bar.set_postfix_str(
            f"loss {figures['loss']:.4f}, rate {figures['learning_rate']:.1e}", refresh=False
        )
        self._bar.update(done - self._bar.n)

    def epoch(self, figures: Mapping[str, float]) -> None:
        """Print a line."""
        line = (
            f"epoch {figures['epoch']:.0f}  loss {figures['train_loss']:.4f}"
            f"  val loss {figures['val_loss']:.4f}  {_scores(figures, '  ')}"
            f"  (best: epoch {figures['best_epoch']:.0f})"
        )
        if self._bar is None:
            say(line, err=True)
        else:
            self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        """End the bars."""
        self._end_teaching()
        if self._lines is not None:
            self._lines.close()
        if self._bar is not None:
            self._bar.close()


def _scores(figures: Mapping[str, Any], between: str) -> str:
    """The first two validation scores of the run's task."""
    from geolulc.learning.task_figures import TASK_FIGURES

    (shown,) = (n.shown for n in TASK_FIGURES.values() if n.score in figures)
    return between.join(f"{title} {_number(figures[key])}" for key, title in [*shown.items()][:2])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
