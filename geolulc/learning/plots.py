"""Pictures of training and evaluation (PNG)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from geolulc.learning import metrics
from geolulc.learning.task_figures import TaskFigures
from geolulc.nomenclature import LandCoverClass, Nomenclature
from geolulc.ownership import ANY
from geolulc.staging import staged

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI: Final = 110
#: Letters of a class's name in a figure.
_LONGEST_NAME: Final = 40


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, without a window system."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", dpi=_DPI)


def drawn_name(land_cover: LandCoverClass) -> str:
    """The short name of a class as a figure can draw it; "code 7" where the font lacks letters."""
    from matplotlib import font_manager

    name = land_cover.short
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 1]}…"
    known = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    if not all(ord(letter) in known for letter in name):
        return f"code {land_cover.code}"
    return name.replace("$", r"\$")  # no formula


def write_figure(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG, whole or not at all; replaces what is there."""
    with staged([path], overwrite=ANY) as (partial,):
        figure.savefig(partial, format="png")


def write_run_plots(
    folder: Path,
    history: Sequence[Mapping[str, float]],
    best_epoch: int,
    by_class: Mapping[str, float | None],
    nomenclature: Nomenclature,
    names: TaskFigures,
) -> None:
    """Write history.png and class_ap.png (or class_iou.png) of a run into its ``folder``."""
    write_figure(plot_history(history, best_epoch, tuple(names.shown)), folder / "history.png")
    values = np.array([np.nan if v is None else v for v in by_class.values()])
    figure = plot_by_class(nomenclature, tuple(by_class), values, names)
    write_figure(figure, folder / f"{names.by_class}.png")


def plot_history(
    history: Sequence[Mapping[str, float]], best_epoch: int, shown: Sequence[str]
) -> Figure:
    """Losses, validation figures and learning rate over epochs; the kept epoch marked."""
    figure = new_figure(11, 3.4)
    losses, scores, rates = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in history]
    for axes, names, title in (
        (losses, ("train_loss", "val_loss"), "Loss"),
        (scores, shown, "Validation"),
        (rates, ("learning_rate",), "Learning rate"),
    ):
        for name in names:
            axes.plot(epochs, [row[name] for row in history], marker=".", label=name)
        axes.axvline(best_epoch, color="0.7", linewidth=1, zorder=0)
        axes.set(title=title, xlabel="Epoch")
        axes.legend(frameon=False)
    return figure


def plot_by_class(
    nomenclature: Nomenclature, names: Sequence[str], values: NDArray[np.float64], task: TaskFigures
) -> Figure:
    """The task's figure by class, in 0..1, in the class's colour; empty for an absent class."""
    figure = new_figure(7, 0.28 * len(names) + 1)
    axes = figure.subplots()
    places, looks = np.arange(len(names)), [nomenclature[name] for name in names]
    colors = [look.color for look in looks]
    axes.barh(places, np.nan_to_num(values), color=colors, edgecolor="0.4", linewidth=0.5)
    labels = [
        drawn_name(look) if np.isfinite(v) else f"{drawn_name(look)} ({task.absent})"
        for look, v in zip(looks, values, strict=True)
    ]
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel=task.class_title)
    return figure


def plot_rates(
    rates: NDArray[np.float64], losses: NDArray[np.float64], suggestion: float
) -> Figure:
    """Loss over learning rate, (n,) each, with the suggested rate marked."""
    figure = new_figure(6, 4)
    axes = figure.subplots()
    axes.plot(rates, losses)
    axes.axvline(suggestion, color="tab:orange", label=f"steepest: {suggestion:.1e}")
    axes.set(xscale="log", xlabel="Learning rate", ylabel="Loss (smoothed)")
    axes.legend(frameon=False)
    return figure


def plot_precision_recall(
    targets: NDArray[Any], scores: NDArray[Any], nomenclature: Nomenclature, names: Sequence[str]
) -> Figure:
    """Precision over recall, a line a class that has a positive, in the class's colour."""
    figure = new_figure(9, 5)
    axes = figure.subplots()
    for c, name in enumerate(names):
        if targets[:, c].any():
            precision, recall, _ = precision_recall_curve(targets[:, c], scores[:, c])
            look = nomenclature[name]
            axes.step(recall, precision, where="post", color=look.color, label=drawn_name(look))
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="Recall", ylabel="Precision")
    axes.set_facecolor("0.93")  # some of CORINE's colours are near white
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), ncols=2)
    return figure


def plot_fractions(
    covers: NDArray[Any], fractions: NDArray[Any], nomenclature: Nomenclature, names: Sequence[str]
) -> Figure:
    """Fractions of the model over those of the reference, (n, C) each: a panel a class there is."""
    there = np.flatnonzero(covers.any(axis=0))
    columns = max(min(len(there), 5), 1)
    rows = max(-(-len(there) // columns), 1)
    figure = new_figure(2.3 * columns, 2.4 * rows)
    panels: Any = figure.subplots(rows, columns, squeeze=False)
    labelled = np.maximum(covers.sum(axis=1), 1e-9)
    for axes in panels.flat[len(there) :]:
        axes.axis("off")
    for axes, c in zip(panels.flat, there.tolist(), strict=False):
        look = nomenclature[names[c]]
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        axes.scatter(
            covers[:, c] / labelled, fractions[:, c], s=6, color=look.color, edgecolor="0.4",
            linewidth=0.3,
        )  # fmt: skip
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set_title(look.short, fontsize=7, loc="left")
        axes.tick_params(labelsize=6)
    figure.supxlabel("Reference", fontsize=8)
    figure.supylabel("Model", fontsize=8)
    return figure


def plot_reliability(targets: NDArray[Any], before: NDArray[Any], after: NDArray[Any]) -> Figure:
    """Frequency over probability, before and after calibration."""
    figure = new_figure(8, 4)
    width = 1 / metrics.CALIBRATION_BINS
    middles = (np.arange(metrics.CALIBRATION_BINS) + 0.5) * width
    for axes, scores, title in zip(
        figure.subplots(1, 2, sharey=True), (before, after), ("Before", "After"), strict=True
    ):
        bins = metrics.reliability(targets, scores)
        filled = bins["share"] > 0
        axes.bar(middles[filled], bins["frequency"][filled], width, edgecolor="white")
        axes.plot(bins["confidence"][filled], bins["frequency"][filled], "k.", markersize=4)
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        title = f"{title} calibration: ECE {metrics.calibration_error(targets, scores):.3f}"
        axes.set(title=title, xlabel="Probability", ylabel="Frequency")
    return figure


def plot_cooccurrence(
    targets: NDArray[Any], decisions: NDArray[Any], short_names: Sequence[str]
) -> Figure:
    """How often a class comes with another (rows: given), in the labels and in the predictions."""
    side = 0.22 * len(short_names) + 1.6
    figure = new_figure(2 * side, side + 1)
    for axes, present, title in zip(
        figure.subplots(1, 2, sharey=True), (targets, decisions), ("Labels", "Predictions"),
        strict=True,
    ):  # fmt: skip
        both = present.astype(np.float64).T @ present.astype(np.float64)
        own = np.diag(both)[:, None]
        given = np.divide(both, own, out=np.full_like(both, np.nan), where=own > 0)
        image = axes.imshow(given, vmin=0, vmax=1, cmap="viridis")
        axes.set(title=title)
        axes.set_xticks(range(len(short_names)), short_names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(short_names)), short_names, fontsize=7)
    figure.colorbar(image, ax=figure.axes, label="P(column | row)", shrink=0.7)
    return figure
