"""``geolulc train``: a store → a checkpoint."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geolulc.cli.options import OUTPUT, PATH, F, read_settings, settings_options, shared_options
from geolulc.cli.results import progress_bar, progress_lines, say
from geolulc.learning.trackers import Tracker
from geolulc.progress import Progress

if TYPE_CHECKING:
    from geolulc.learning.config import TrainConfig


def _flag(name: str, kind: type, text: str) -> Callable[[F], F]:
    return click.option(f"--{name.replace('_', '-')}", name, type=kind, default=None, help=text)


@click.command("train")
@click.argument("store", type=PATH)
@click.argument("run", type=OUTPUT)
@_flag(
    "task",
    str,
    "patch (classes present), fraction (share of the ground by class) or pixel (class of each).",
)
@_flag("fusion", str, "Where the resolutions meet: early, intermediate or late.")
@_flag("backbone", str, "A timm architecture: resnet18, efficientnet_b0, …; or forest, of pixels.")
@_flag("attention", str, "Attention after the encoders: none or cbam.")
@_flag("label_correlation", str, "A layer that learns which classes come together: off or on.")
@_flag("pretrained", str, "File or shipped model to start from; “geolulc models” lists them.")
@_flag("bands", str, "Bands that the network sees, as B02,B03,B04,B08; all without it.")
@_flag("teacher", str, "Learn what this model of pixels says, in place of labels.")
@_flag(
    "teacher_store", str, "Let the teacher see this store where it has a patch on the same ground."
)
@_flag("epochs", int, "Passes over the train split.")
@_flag("batch_size", int, "Patches in a batch.")
@_flag("learning_rate", float, "The highest rate, after the warm-up.")
@_flag("loss", str, "Loss of patches: bce, focal or asl (asymmetric).")
@_flag("pixel_loss", str, "Loss of pixels: ce or ce+dice.")
@_flag("ignore_border", int, "With pixels: do not learn from so many metres around borders.")
@_flag("seed", int, "Seed of every random choice.")
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
@click.option(
    "--baseline",
    type=click.Choice(["forest"]),
    help="With --folds, of pixels: a random forest of the same pixels beside each run.",
)
@click.option("--mlflow", is_flag=True, help="Also log to MLflow (MLFLOW_TRACKING_URI).")
@shared_options("overwrite", "device", "quiet")
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
    """
    from geolulc.learning.config import TrainConfig, read_config
    from geolulc.learning.interruption import TrainingInterrupted

    given = read_settings(config, settings, flags)
    if resume and not given and (run / "config.toml").is_file():
        given = read_config(run / "config.toml")
    if given.get("teacher"):
        given.setdefault("task", "pixel")
    resolved = TrainConfig.from_mapping(given)

    if find_lr:
        _find_rate(store, run, resolved, device, overwrite, quiet)
        return

    if baseline is not None and (not folds or resolved.task != "pixel"):
        raise click.UsageError("--baseline goes with --folds and --task pixel.")
    if folds:
        _cross_validate(store, run, resolved, device, resume, overwrite, baseline, quiet)
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
    figures = summary["figures"]
    say(
        f"{run}: epoch {summary['epoch']} of {summary['epochs']}, "
        f"validation {_scores(figures, ', ')}"
    )


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
    say(f"{run}: {len(found['folds'])} folds; mean ± standard deviation between them, range")
    for what in ("figures", "baseline"):
        for name, value in found.get(what, {}).items():
            title = name if what == "figures" else f"{name} of the forest"
            say(
                f"  {title:<28}{value['mean']:.3f} ± {_number(value['sd'])}"
                f"  ({value['min']:.3f} … {value['max']:.3f})"
            )
    if "verdict" in found:
        say(f"means of the folds: {found['verdict']}")


def _find_rate(
    store: Path, run: Path, config: TrainConfig, device: str, overwrite: int, quiet: bool
) -> None:
    from geolulc.learning.rate_finder import find_rate, write_curve
    from geolulc.learning.run_folder import RunFolder, require_free_run

    require_free_run(RunFolder(run), config, resume=False, overwrite=overwrite)
    with progress_bar("find-lr", "steps", quiet=quiet) as progress:
        curve = find_rate(store, config, device=device, progress=progress)
    files = write_curve(curve, config, run, overwrite=overwrite)
    for rate, loss in zip(curve.rates, curve.losses, strict=True):
        say(f"{rate:.2e}  {loss:.4f}")
    say(f"{', '.join(str(f) for f in files)}: steepest at {curve.suggestion:.1e}")


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
