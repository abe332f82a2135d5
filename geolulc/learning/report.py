"""An evaluation for people: Markdown with tables and plots, and the same figures as JSON."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from geolulc.bands import GROUPS
from geolulc.datasets import Patch, Store
from geolulc.learning.evaluation import Evaluation, Predictions, SplitFigures, patch_losses
from geolulc.learning.markdown import markdown_table
from geolulc.learning.plots import (
    new_figure,
    plot_by_class,
    plot_cooccurrence,
    plot_precision_recall,
    plot_reliability,
)
from geolulc.learning.task_figures import TASK_FIGURES
from geolulc.staging import staged

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Patches shown as the worst errors.
WORST: Final = 12
# DN of reflectance 0.25: land fills the range and clouds and snow are white
_WHITE: Final = 2500.0
# figures of a country or season
_BY_GROUP: Final = ("ap_macro", "ap_micro", "f1_macro", "f1_micro", "lrap", "ece")
# what fits above a thumbnail
_TITLE_WIDTH, _TITLE_LINES = 54, 5


@dataclass(frozen=True)
class TaskReport:
    """What the report of a task has in the frame that all reports share.

    Attributes:
        task: as in ``TASK_FIGURES``.
        titles: figure → what it is called.
        columns: figure by class → title of its column.
        group_columns: figure of a country or season → title of its column.
        missing: what is said of classes that the split does not have.
        absent: the figures of such a class in the table.
    """

    task: str
    titles: Mapping[str, str]
    columns: Mapping[str, str]
    group_columns: Mapping[str, str]
    missing: str
    absent: str = "–"


@dataclass(frozen=True)
class Section:
    """A picture of a report: its file, its words, and lines before and after it."""

    title: str
    file: str
    caption: str
    figure: Figure
    before: Sequence[str] = ()
    after: Sequence[str] = ()

    def lines(self) -> list[str]:
        """The section as Markdown."""
        lines = [f"## {self.title}", "", *self.before, *([""] if self.before else [])]
        lines += [f"![{self.caption}]({self.file})", ""]
        return [*lines, *self.after, *([""] if self.after else [])]


_REPORT: Final = TaskReport(
    "patch",
    {
        "ap_macro": "Average precision, macro",
        "ap_micro": "Average precision, micro",
        "f1_macro": "F1, macro",
        "f1_micro": "F1, micro",
        "f1_samples": "F1, samples",
        "f2_macro": "F2, macro",
        "f2_micro": "F2, micro",
        "f2_samples": "F2, samples",
        "precision_macro": "Precision, macro",
        "precision_micro": "Precision, micro",
        "precision_samples": "Precision, samples",
        "recall_macro": "Recall, macro",
        "recall_micro": "Recall, micro",
        "recall_samples": "Recall, samples",
        "coverage_error": "Coverage error (best: labels a patch)",
        "ranking_loss": "Ranking loss (best: 0)",
        "lrap": "Label ranking average precision",
        "hamming_loss": "Hamming loss (best: 0)",
        "exact_match": "Exact match",
        "ece": "Expected calibration error (best: 0)",
        "ece_uncalibrated": "Expected calibration error before temperature scaling",
        "coverage_error_seed": "Coverage error as the seed computed it (of 0/1 predictions)",
        "ranking_loss_seed": "Ranking loss as the seed computed it (of 0/1 predictions)",
        "lrap_seed": "LRAP as the seed computed it (of 0/1 predictions)",
    },
    {
        "support": "support",
        "ap": "AP",
        "precision": "precision",
        "recall": "recall",
        "f1": "F1",
        "f2": "F2",
        "threshold": "threshold",
    },
    {name: name.replace("_", " ") for name in _BY_GROUP},
    "classes have no positive here and are left out of the macro means",
)

_REMARK: Final = """\
Ranking figures, average precision and calibration are computed on scores; F, precision,
recall, Hamming loss and exact match on the decisions of the model's thresholds."""


def write_report(
    predictions: Predictions, evaluation: Evaluation, folder: Path, *, overwrite: bool = False
) -> None:
    """Write ``folder`` with report.md, its plots, and evaluation.json.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    store, names = predictions.patches.store, predictions.model.net.classes
    short = [store.nomenclature[name].short for name in names]
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
            "Reliability before and after temperature scaling",
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
            [f"The {len(worst)} patches of the highest loss, worst first, in true colour."],
            [f"{n}. {_patch_line(predictions, int(p))}" for n, p in enumerate(worst, start=1)],
        ),
    ]
    facts = f"{evaluation.patches} patches."
    write_folder(folder, _REPORT, evaluation, store, facts, _REMARK, sections, overwrite=overwrite)


def write_folder(
    folder: Path,
    report: TaskReport,
    evaluation: SplitFigures,
    store: Store,
    facts: str,
    remark: str,
    sections: Sequence[Section],
    *,
    overwrite: bool,
) -> None:
    """Write the report of either task into ``folder``: report.md, pictures and evaluation.json.

    Args:
        folder: it appears whole or not at all.
        report: titles and columns of the task.
        evaluation: all figures.
        store: the store that was evaluated.
        facts: how much was evaluated, in a sentence.
        remark: what is said before the figures.
        sections: pictures after the tables.
        overwrite: replace the folder.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    task, classes = TASK_FIGURES[report.task], evaluation.classes
    by_class = f"{task.by_class}.png"
    values = np.array([row[task.by_class.removeprefix("class_")] for row in classes])
    names = [row["name"] for row in classes]
    plots = {by_class: plot_by_class(store.nomenclature, names, values, task)}
    plots |= {section.file: section.figure for section in sections}
    model = evaluation.model
    config = ", ".join(f"{k} {v}" for k, v in model["config"].items())
    file = model["sha256"][:12] or "not saved"
    lines = [
        f"# {model['name']} on {evaluation.store}, split {evaluation.split}",
        "",
        f"{facts} Network: {config}.",
        f"Temperature {model['temperature']:.3f}; model file {file}.",
        "",
        remark,
        "",
        *markdown_table(
            ["figure", "value"],
            [[report.titles.get(k, k), v] for k, v in evaluation.figures.items()],
        ),
    ]
    if evaluation.missing:
        named = "; ".join(evaluation.missing)
        lines += [f"{len(evaluation.missing)} {report.missing}: {named}.", ""]
    rows = [
        [r["name"], *(_counted(k, r[k], report.absent) for k in report.columns)] for r in classes
    ]
    lines += ["## Classes", "", *markdown_table(["class", *report.columns.values()], rows)]
    lines += [f"![{task.class_title} by class]({by_class})", ""]
    for title, groups in (("Countries", evaluation.countries), ("Seasons", evaluation.seasons)):
        if groups:
            rows = [
                [name, *(_counted(k, group[k]) for k in ("patches", *report.group_columns))]
                for name, group in groups.items()
            ]
            header = ["", "patches", *report.group_columns.values()]
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


def _counted(name: str, value: float, absent: str = "–") -> float | str:
    """A figure in a table: numbers of patches and pixels are whole."""
    if math.isnan(value):
        return absent
    return int(value) if name in ("support", "mapped", "patches") else value


def _patch_line(predictions: Predictions, place: int) -> str:
    missed, wrong = _differences(predictions, place, predictions.model.net.classes)
    parts = [f"`{predictions.patches.key(place)}`"]
    parts += [f"missed: {'; '.join(missed)}"] if missed else []
    parts += [f"wrongly found: {'; '.join(wrong)}"] if wrong else []
    return ". ".join(parts)


def _differences(
    predictions: Predictions, place: int, names: Sequence[str]
) -> tuple[list[str], list[str]]:
    truth, decided = predictions.targets[place] > 0.5, predictions.decisions[place]
    missed = [n for n, t, d in zip(names, truth, decided, strict=True) if t and not d]
    wrong = [n for n, t, d in zip(names, truth, decided, strict=True) if d and not t]
    return missed, wrong


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
        axes.imshow(true_colour(store.read(int(indices[place]))))
        missed, wrong = _differences(predictions, int(place), short)
        texts = (
            f"{number}. missed: {', '.join(missed) or 'none'}",
            f"wrong: {', '.join(wrong) or 'none'}",
        )
        lines = [line for text in texts for line in textwrap.wrap(text, _TITLE_WIDTH)]
        axes.set_title("\n".join(lines[:_TITLE_LINES]), fontsize=6, loc="left")
    return figure


def true_colour(patch: Patch) -> NDArray[np.uint8]:
    """B04, B03, B02 of a patch as uint8 (120, 120, 3), brightened for the eye (gamma 1/1.5)."""
    red, green, blue = (GROUPS[10].index(b) for b in ("B04", "B03", "B02"))
    dn = patch.dn[10][[red, green, blue]].astype(np.float32)
    bright = np.clip(dn / _WHITE, 0, 1) ** (1 / 1.5)
    return np.asarray((bright * 255).round().astype(np.uint8).transpose(1, 2, 0))
