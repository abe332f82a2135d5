"""Names of a run's figures by task, in its history, its summary and its plots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class TaskFigures:
    """Names of figures.

    Attributes:
        score: column of the history by which the best epoch is chosen.
        shown: columns of the history that people are shown, with what they are called.
        by_class: the figure by class, as a file's name and the summary's key.
        class_title: what it is called.
        absent: what is said of a class without one.
    """

    score: str
    shown: Mapping[str, str]
    by_class: str
    class_title: str
    absent: str


#: Task → its names.
TASK_FIGURES: Final[Mapping[str, TaskFigures]] = MappingProxyType(
    {
        "patch": TaskFigures(
            "val_ap_macro",
            {"val_ap_macro": "AP macro", "val_ap_micro": "micro", "val_f1_micro": "F1 micro"},
            "class_ap",
            "Average precision",
            "no positive",
        ),
        "pixel": TaskFigures(
            "val_miou",
            {"val_miou": "mIoU", "val_agreement": "agreement", "val_f1_macro": "F1 macro"},
            "class_iou",
            "Intersection over union",
            "absent",
        ),
    }
)
