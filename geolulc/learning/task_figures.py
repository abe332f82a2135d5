"""Names of figures by task: in history, summary, plots, reports and the terminal. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

#: Distances in metres from a border of the reference map at which agreement is given apart.
BORDERS: Final = (20, 50)
#: Figures over fewer patches are marked: they are chance more than anything else.
FEWEST_PATCHES: Final = 100
#: The mark, and what it means.
FEW: Final = "*"
FEW_MEANS: Final = f"{FEW} over fewer than {FEWEST_PATCHES} patches: chance."
#: Figures that are whole numbers.
COUNTS: Final = ("support", "mapped", "patches")


@dataclass(frozen=True)
class TaskFigures:
    """Names of figures.

    Attributes:
        score: column of the history by which the best epoch is chosen.
        shown: columns of the history that people are shown → their titles.
        by_class: the figure by class, as a file's name and the summary's key.
        class_title: the title of that figure.
        absent: the words in place of the figure of a class that a split does not have.
        missing: the words for all such classes, before their names.
        titles: figure over all patches → its title in a report.
        columns: figure by class → title of its column.
        groups: figure of a country or season → title of its column.
    """

    score: str
    shown: Mapping[str, str]
    by_class: str
    class_title: str
    absent: str
    missing: str
    titles: Mapping[str, str]
    columns: Mapping[str, str]
    groups: Mapping[str, str]


_HITS: Final = {"f1": "F1", "f2": "F2", "precision": "Precision", "recall": "Recall"}
_RANKING: Final = {
    "coverage_error": "Coverage error",
    "ranking_loss": "Ranking loss",
    "lrap": "LRAP",
}
_CALIBRATION: Final = {
    "ece_classes": "Expected calibration error by class, mean over classes (best: 0)",
    "expected_observed": "Sum of probabilities over number of labels, Σp/Σy (best: 1)",
}
_OF_CLASS: Final = {"ece": "ECE", "expected_observed": "Σp/Σy"}
_SCORES: Final = {"precision": "precision", "recall": "recall", "f1": "F1"}

#: Task → its names.
TASK_FIGURES: Final[Mapping[str, TaskFigures]] = MappingProxyType(
    {
        "patch": TaskFigures(
            score="val_ap_macro",
            shown={"val_ap_macro": "AP macro", "val_ap_micro": "micro", "val_f1_micro": "F1 micro"},
            by_class="class_ap",
            class_title="Average precision",
            absent="no positive",
            missing="without a positive, out of the macro means",
            titles={
                f"{name}_{mean}": f"{title}, {mean}"
                for name, title in {"ap": "Average precision", **_HITS}.items()
                for mean in ("macro", "micro", "samples")
            }
            | {
                "coverage_error": "Coverage error (best: labels a patch)",
                "ranking_loss": "Ranking loss (best: 0)",
                "lrap": "Label ranking average precision",
                "hamming_loss": "Hamming loss (best: 0)",
                "exact_match": "Exact match",
                "ece": "Expected calibration error (best: 0)",
                **_CALIBRATION,
                "ece_uncalibrated": "Expected calibration error before calibration",
            }
            | {
                f"{name}_seed": f"{title} as the seed computed it (of 0/1 predictions)"
                for name, title in _RANKING.items()
            },
            columns={
                "support": "support",
                "ap": "AP",
                **_SCORES,
                "f2": "F2",
                "threshold": "threshold",
                **_OF_CLASS,
            },
            groups={
                f"{name}_{mean}": f"{name.upper()} {mean}"
                for name in ("ap", "f1")
                for mean in ("macro", "micro")
            }
            | {"lrap": "LRAP", "ece": "ECE"},
        ),
        "fraction": TaskFigures(
            score="val_overlap",
            shown={"val_overlap": "overlap", "val_mae": "MAE", "val_area_error": "area error"},
            by_class="class_mae",
            class_title="Mean absolute error of the fraction",
            absent="absent",
            missing="absent, out of the mean",
            titles={
                "overlap": "Overlap with the reference, mean over the ground (best: 1)",
                "mae": "Mean absolute error of a fraction, mean over classes (best: 0)",
                "area_error": "Share of the ground in the wrong class's area (best: 0)",
                "area_error_largest": "The same, if each patch is all of its most extensive class",
            },
            columns={
                "support": "patches",
                "cover": "cover",
                "mapped": "mapped",
                "bias": "bias",
                "bias_low": "from",
                "bias_high": "to",
                "mae": "MAE",
                "mae_low": "from",
                "mae_high": "to",
            },
            groups={"overlap": "overlap", "mae": "MAE", "area_error": "area error"},
        ),
        "pixel": TaskFigures(
            score="val_miou",
            shown={"val_miou": "mIoU", "val_agreement": "agreement", "val_f1_macro": "F1 macro"},
            by_class="class_iou",
            class_title="Intersection over union",
            absent="absent",
            missing="absent, out of the means",
            titles={
                "miou": "Mean IoU (classes of the reference)",
                "f1_macro": "F1, macro",
                "agreement": "Overall agreement (share of pixels)",
                "ece": "Expected calibration error of the most probable class (best: 0)",
                "ece_classes": _CALIBRATION["ece_classes"],
            }
            | {
                f"{name}_{m}m": text.format(m)
                for m in BORDERS
                for name, text in (
                    ("share_within", "Share of pixels within {} m of a border of the reference"),
                    ("agreement_within", "Agreement within {} m of a border"),
                    ("agreement_beyond", "Agreement further inside than {} m"),
                    ("miou_beyond", "Mean IoU further inside than {} m"),
                )
            },
            columns={
                "support": "pixels",
                "mapped": "mapped",
                "iou": "IoU",
                **_SCORES,
                **_OF_CLASS,
            },
            groups={"miou": "mIoU", "f1_macro": "F1 macro", "agreement": "agreement"},
        ),
    }
)
