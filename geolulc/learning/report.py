"""An evaluation for people: Markdown with tables and plots, and the same figures as JSON."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from geolulc.bands import GROUPS
from geolulc.datasets import Patch
from geolulc.learning.evaluation import Evaluation, Predictions, patch_losses
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
# what fits above a thumbnail
_TITLE_WIDTH, _TITLE_LINES = 54, 5

#: What each figure is called, and what is best.
FIGURES: Final[Mapping[str, str]] = {
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
}


def write_report(
    predictions: Predictions, evaluation: Evaluation, folder: Path, *, overwrite: bool = False
) -> None:
    """Write ``folder`` with report.md, its plots, and evaluation.json.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    names, names_of = predictions.model.net.classes, TASK_FIGURES["patch"]
    nomenclature = predictions.patches.store.nomenclature
    looks = [nomenclature[name] for name in names]
    short = [look.short for look in looks]
    targets, scores = predictions.targets, predictions.probabilities
    ap = np.array([row["ap"] for row in evaluation.classes])
    worst = np.argsort(-patch_losses(predictions), kind="stable")[:WORST]
    figures = {
        "class_ap.png": plot_by_class(
            short, [look.color for look in looks], ap, names_of.class_title, names_of.absent
        ),
        "precision_recall.png": plot_precision_recall(targets, scores, nomenclature, names),
        "reliability.png": plot_reliability(targets, expit(predictions.logits), scores),
        "cooccurrence.png": plot_cooccurrence(targets, predictions.decisions, short),
        "worst.png": _plot_patches(predictions, worst, short),
    }
    with staged([folder], overwrite=overwrite) as (partial,):
        partial.mkdir()
        for name, figure in figures.items():
            figure.savefig(partial / name, format="png")
        text = json.dumps(evaluation.as_json(), indent=2, ensure_ascii=False)
        (partial / "evaluation.json").write_text(text + "\n", encoding="utf-8")
        text = _markdown(evaluation, [_patch_line(predictions, int(p)) for p in worst])
        (partial / "report.md").write_text(text, encoding="utf-8")


def _markdown(evaluation: Evaluation, worst: Sequence[str]) -> str:
    config = ", ".join(f"{k} {v}" for k, v in evaluation.model["config"].items())
    lines = [
        f"# {evaluation.model['name']} on {evaluation.store}, split {evaluation.split}",
        "",
        f"{evaluation.patches} patches. Network: {config}.",
        f"Temperature {evaluation.model['temperature']:.3f}; model file "
        f"{evaluation.model['sha256'][:12] or 'not saved'}.",
        "",
        "Ranking figures, average precision and calibration are computed on scores; F, precision,",
        "recall, Hamming loss and exact match on the decisions of the model's thresholds.",
        "",
        "| figure | value |",
        "|---|---:|",
        *(f"| {FIGURES.get(k, k)} | {_number(v)} |" for k, v in evaluation.figures.items()),
        "",
    ]
    if evaluation.without_positive:
        lines += [
            f"{len(evaluation.without_positive)} classes have no positive here and are left out of "
            f"the macro means: {'; '.join(evaluation.without_positive)}.",
            "",
        ]
    lines += [
        "## Classes",
        "",
        "| class | support | AP | precision | recall | F1 | F2 | threshold |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    columns = ("ap", "precision", "recall", "f1", "f2", "threshold")
    lines += [
        f"| {r['name']} | {r['support']:.0f} | {' | '.join(_number(r[c]) for c in columns)} |"
        for r in evaluation.classes
    ]
    lines += ["", "![Average precision by class](class_ap.png)", ""]
    for title, groups in (("Countries", evaluation.countries), ("Seasons", evaluation.seasons)):
        lines += _group_table(title, groups)
    return "\n".join(
        [
            *lines,
            "## Precision and recall",
            "",
            "![Precision over recall by class](precision_recall.png)",
            "",
            "## Calibration",
            "",
            "![Reliability before and after temperature scaling](reliability.png)",
            "",
            "## Which classes come together",
            "",
            "![Co-occurrence in labels and predictions](cooccurrence.png)",
            "",
            "## Worst errors",
            "",
            f"The {len(worst)} patches of the highest loss, worst first, in true colour.",
            "",
            "![Patches of the highest loss](worst.png)",
            "",
            *(f"{n}. {line}" for n, line in enumerate(worst, start=1)),
            "",
        ]
    )


def _group_table(title: str, groups: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not groups:
        return []
    columns = ("ap_macro", "ap_micro", "f1_macro", "f1_micro", "lrap", "ece")
    return [
        f"## {title}",
        "",
        f"| | patches | {' | '.join(c.replace('_', ' ') for c in columns)} |",
        f"|---|---:|{'---:|' * len(columns)}",
        *(
            f"| {name} | {g['patches']:.0f} | {' | '.join(_number(g[c]) for c in columns)} |"
            for name, g in groups.items()
        ),
        "",
    ]


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


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"
