"""Pictures of an experiment: the matrix of sources and targets, and curves over target size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from geolulc.learning.plots import new_figure
from geolulc.safe_texts import for_plot
from geolulc.transfer.plan import SCRATCH
from geolulc.transfer.tables import FIGURES, LOWER_IS_BETTER, Cell, Measured, source_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_matrix(
    measured: Mapping[Cell, Measured],
    sources: Sequence[str],
    targets: Sequence[str],
    figure_name: str,
    remedy: str,
) -> Figure | None:
    """Sources (rows) × targets (columns), zero-shot; None without a value."""
    found = {s: [measured.get(Cell(s, t, remedy)) for t in targets] for s in source_order(sources)}
    rows = [s for s, row in found.items() if s != SCRATCH and any(row)]
    if not rows:
        return None
    values = np.array([[cell.mean if cell else np.nan for cell in found[s]] for s in rows])
    figure = new_figure(2.6 + 0.75 * len(targets), 1.6 + 0.45 * len(rows))
    axes = figure.subplots()
    lower = figure_name in LOWER_IS_BETTER
    image = axes.imshow(values, cmap="viridis_r" if lower else "viridis", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = "white" if (value > middle) == lower else "black"
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": color}
            axes.text(j, i, f"{value:.2f}", **style)
    axes.set_xticks(range(len(targets)), [for_plot(t) for t in targets], rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), [for_plot(row) for row in rows])
    axes.set(xlabel="tested in", ylabel="trained in")
    axes.set_title(f"{FIGURES[figure_name]}, zero-shot, remedy {remedy}", fontsize=10)
    figure.colorbar(image)
    return figure


def plot_curves(
    measured: Mapping[Cell, Measured], target: str, sources: Sequence[str], figure_name: str
) -> Figure | None:
    """A figure over target size: a line a source and way of fine-tuning, without remedy.

    Size 0 is zero-shot, where every line of a source begins; None without a fine-tuned value.
    """
    cells = [c for c in measured if c.target == target and c.size and c.remedy == "none"]
    if not cells:
        return None
    modes = sorted({c.mode for c in cells if c.source != SCRATCH})
    styles = dict(zip(modes, ("-", "--", ":"), strict=False))
    figure = new_figure(7, 4.2)
    axes = figure.subplots()
    for number, source in enumerate(source_order(sources)):
        for mode in ["scratch"] if source == SCRATCH else modes:
            points = {c.size: measured[c] for c in cells if c.source == source and c.mode == mode}
            if not points:
                continue
            start = measured.get(Cell(source, target, "none"))
            if start is not None:
                points[0] = start
            sizes = sorted(points)
            axes.errorbar(
                sizes,
                [points[s].mean for s in sizes],
                [points[s].deviation or 0.0 for s in sizes],
                label=source if source == SCRATCH else f"{for_plot(source)}, {mode}",
                color="0.3" if source == SCRATCH else f"C{number % 10}",
                linestyle="-." if source == SCRATCH else styles[mode],
                marker="o",
                markersize=3,
                capsize=2,
            )
    axes.set_xscale("symlog", linthresh=max(min(c.size for c in cells), 1))
    axes.set(xlabel=f"patches of {for_plot(target)} learned from", ylabel=FIGURES[figure_name])
    axes.legend(frameon=False, fontsize=7, ncols=2)
    return figure
