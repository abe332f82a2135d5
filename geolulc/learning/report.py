"""An evaluation for people: Markdown with tables and plots, and the same figures as JSON."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from geolulc.bands import SENTINEL2, Sensor
from geolulc.datasets import Patch, Store
from geolulc.learning.evaluation import (
    Evaluation,
    Predictions,
    patch_losses,
)
from geolulc.learning.intervals import Interval
from geolulc.learning.markdown import markdown_table
from geolulc.learning.plots import (
    drawn_name,
    new_figure,
    plot_by_class,
    plot_cooccurrence,
    plot_precision_recall,
    plot_reliability,
)
from geolulc.learning.split_figures import SplitFigures, names_where
from geolulc.learning.task_figures import COUNTS, FEW, FEWEST_PATCHES
from geolulc.safe_texts import code, for_markdown
from geolulc.staging import staged

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Patches shown as the worst errors.
WORST: Final = 12
# reflectance: land fills the range and clouds and snow are white
_WHITE: Final = 0.25
# what fits above a thumbnail
_TITLE_WIDTH, _TITLE_LINES = 54, 5


@dataclass(frozen=True)
class Section:
    """A picture of a report: its file, title and caption, a line before and lines after it."""

    title: str
    file: str
    caption: str
    figure: Figure
    before: str = ""
    after: Sequence[str] = ()

    def lines(self) -> list[str]:
        """The section as Markdown."""
        picture = f"![{self.caption}]({self.file})"
        parts = (f"## {self.title}", self.before, picture, "\n".join(self.after))
        return [line for part in parts if part for line in (part, "")]


def write_report(
    predictions: Predictions, evaluation: Evaluation, folder: Path, *, overwrite: int = 0
) -> None:
    """Write ``folder`` with report.md, its plots, and evaluation.json.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    store, names = predictions.patches.store, predictions.model.net.classes
    short = [drawn_name(store.nomenclature[name]) for name in names]
    targets, scores = predictions.targets, predictions.probabilities
    worst = np.argsort(-patch_losses(predictions), kind="stable")[:WORST]
    sections = [
        Section(
            "Precision and recall",
            "precision_recall.png",
            "Precision over recall by class",
            plot_precision_recall(targets, scores, store.nomenclature, names),
        ),
        Section(
            "Calibration",
            "reliability.png",
            "Reliability before and after calibration",
            plot_reliability(targets, expit(predictions.logits), scores),
        ),
        Section(
            "Which classes come together",
            "cooccurrence.png",
            "Co-occurrence in labels and predictions",
            plot_cooccurrence(targets, predictions.decisions, short),
        ),
        Section(
            "Worst errors",
            "worst.png",
            "Patches of the highest loss",
            _plot_patches(predictions, worst, short),
            f"The {len(worst)} patches of the highest loss, worst first, in true colour.",
            [f"{n}. {_patch_line(predictions, int(p))}" for n, p in enumerate(worst, start=1)],
        ),
    ]
    write_folder(folder, evaluation, store, sections, overwrite=overwrite)


def write_folder(
    folder: Path,
    evaluation: SplitFigures,
    store: Store,
    sections: Sequence[Section],
    *,
    overwrite: int,
) -> None:
    """Write the report of either task into ``folder``: report.md, pictures and evaluation.json.

    Args:
        folder: it appears whole or not at all.
        evaluation: all figures.
        store: the store that was evaluated.
        sections: pictures after the tables.
        overwrite: replace the folder.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    task, classes = evaluation.names, evaluation.classes
    by_class = f"{task.by_class}.png"
    values = np.array([row[task.by_class.removeprefix("class_")] for row in classes])
    names = [row["name"] for row in classes]
    plots = {by_class: plot_by_class(store.nomenclature, names, values, task)}
    plots |= {section.file: section.figure for section in sections}
    model = evaluation.model
    config = ", ".join(f"{k} {v}" for k, v in model["config"].items())
    file = model["sha256"][:12] or "not saved"
    lines = [
        for_markdown(f"# {model['name']} on {evaluation.store}, split {evaluation.split}"),
        "",
        for_markdown(f"{evaluation.facts}. Network: {config}."),
        f"Temperature {model['temperature']:.3f}; model file {file}.",
        "",
        *(line for remark in evaluation.remarks for line in (remark, "")),
        *markdown_table(
            ["figure", "value", "95 % interval"],
            [
                [task.titles.get(k, k), v, spread(evaluation.intervals.get(k))]
                for k, v in evaluation.figures.items()
            ],
        ),
    ]
    if evaluation.missing:
        named = for_markdown("; ".join(evaluation.missing))
        lines += [f"{len(evaluation.missing)} classes are {task.missing}: {named}.", ""]
    rows = [[r["name"], *(_counted(k, r[k], task.absent) for k in task.columns)] for r in classes]
    lines += ["## Classes", "", *markdown_table(["class", *task.columns.values()], rows)]
    lines += [f"![{task.class_title} by class]({by_class})", ""]
    for title, groups in (("Countries", evaluation.countries), ("Seasons", evaluation.seasons)):
        if groups:
            rows = [
                [name, *(_counted(k, group[k]) for k in ("patches", *task.groups))]
                for name, group in groups.items()
            ]
            header = ["", "patches", *task.groups.values()]
            lines += [f"## {title}", "", *markdown_table(header, rows)]
    for section in sections:
        lines += section.lines()
    with staged([folder], overwrite=overwrite, kind="report") as (partial,):
        partial.mkdir()
        for name, figure in plots.items():
            figure.savefig(partial / name, format="png")
        text = json.dumps(evaluation.as_json(), indent=2, ensure_ascii=False)
        (partial / "evaluation.json").write_text(text + "\n", encoding="utf-8")
        (partial / "report.md").write_text("\n".join(lines), encoding="utf-8")


def spread(interval: Interval | None) -> str:
    """An interval in a table."""
    if interval is None or not math.isfinite(interval[0]):
        return "–"
    return f"{interval[0]:.3f} … {interval[1]:.3f}"


def _counted(name: str, value: float, absent: str = "–") -> float | str:
    """A figure in a table: numbers of patches and pixels are whole, few patches are marked."""
    if math.isnan(value):
        return absent
    if name == "patches" and value < FEWEST_PATCHES:
        return f"{value:.0f} {FEW}"
    return int(value) if name in COUNTS else value


def _patch_line(predictions: Predictions, place: int) -> str:
    names = predictions.model.net.classes
    missed, wrong = (names_where(flags[place], names) for flags in predictions.errors)
    parts = [code(predictions.patches.key(place))]
    parts += [f"missed: {missed}"] if missed else []
    parts += [f"wrongly found: {wrong}"] if wrong else []
    return ". ".join(parts)


def _plot_patches(
    predictions: Predictions, places: NDArray[np.int64], short: Sequence[str]
) -> Figure:
    columns = min(len(places), 4)
    rows = math.ceil(len(places) / columns)
    figure = new_figure(2.6 * columns, 3.2 * rows)
    panels: Any = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.axis("off")
    store, indices = predictions.patches.store, predictions.patches.indices
    for number, (axes, place) in enumerate(zip(panels.flat, places, strict=False), start=1):
        axes.imshow(true_colour(store.read(int(indices[place])), store.layout.sensor))
        missed, wrong = (
            names_where(flags[place], short, ", ") or "none" for flags in predictions.errors
        )
        texts = (f"{number}. missed: {missed}", f"wrong: {wrong}")
        lines = [line for text in texts for line in textwrap.wrap(text, _TITLE_WIDTH)]
        axes.set_title("\n".join(lines[:_TITLE_LINES]), fontsize=6, loc="left")
    return figure


def true_colour(patch: Patch, sensor: Sensor) -> NDArray[np.uint8]:
    """A patch as uint8 (rows, columns, 3), brightened for the eye (gamma 1/1.5).

    In B04, B03 and B02; of other sensors than Sentinel-2, whose bands are not known to be red,
    green and blue, the first of the finest bands in grey.
    """
    finest, known = min(patch.dn), sensor.groups[min(patch.dn)]
    natural = sensor == SENTINEL2
    order = [known.index(b) for b in ("B04", "B03", "B02")] if natural else [0, 0, 0]
    dn = patch.dn[finest][order].astype(np.float32)
    bright = np.clip(dn / (_WHITE * sensor.scale), 0, 1) ** (1 / 1.5)
    return np.asarray((bright * 255).round().astype(np.uint8).transpose(1, 2, 0))
