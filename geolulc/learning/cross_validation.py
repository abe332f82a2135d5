"""Spatial cross-validation: each fold of a store of own labels is tested on by a run of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from geolulc.datasets import Store, open_store
from geolulc.datasets.statistics import without_nan
from geolulc.errors import DatasetError
from geolulc.learning.any_task import evaluate_model
from geolulc.learning.baseline import score_forest, verdict
from geolulc.learning.config import TrainConfig
from geolulc.learning.patches import SplitPatches
from geolulc.learning.task import Task
from geolulc.learning.trackers import Tracker
from geolulc.learning.training import train
from geolulc.nets import load_checkpoint
from geolulc.ownership import ANY, OWN, mark
from geolulc.staging import explained, require_free, write_text

#: The figures, of all folds.
_FILE: Final = "folds.json"


def cross_validate(
    store: Path,
    folder: Path,
    config: TrainConfig,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: int = 0,
    baseline: bool = False,
    tested: Sequence[int] | None = None,
    trackers: Callable[[str], Sequence[Tracker]] = lambda _: (),
) -> dict[str, Any]:
    """Train and test a model for each fold: tested on it, validated on the next.

    ``folder`` gets a run for each fold (fold-0, …) and ``folds.json``. Mean and standard deviation
    of the bands are those of the store's train split in every run.

    Args:
        store: made by ``label_scenes``.
        folder: of the runs.
        config: the settings of each.
        device: as for ``train``.
        resume: go on with a cross-validation that was stopped.
        overwrite: replace one.
        baseline: score a random forest beside each model of pixels.
        tested: the folds to test on; None: all.
        trackers: name of a run → its trackers.

    Returns:
        ``figures``: name → mean, standard deviation between folds, least and most; ``folds``: the
        figures of each; with ``baseline`` that of the forests, and a ``verdict`` on the means.
        JSON-able.

    Raises:
        DatasetError: a store without folds.
        OutputError: the folder exists; with ``resume``, it is not of geolulc's making.
    """
    opened = open_store(store)
    folds = _folds_of(opened)
    require_free([folder], overwrite=OWN if resume else overwrite, kind="run")
    with explained(folder):
        folder.mkdir(exist_ok=True)
        mark(folder, "run")
    found = [
        _of_fold(opened, folds, fold, folder, config, device=device, resume=resume,
                 overwrite=overwrite, baseline=baseline, trackers=trackers)
        for fold in (range(int(folds.max()) + 1) if tested is None else tested)
    ]  # fmt: skip
    result: dict[str, Any] = {
        "store": opened.path.name,
        "figures": spread([row["figures"] for row in found]),
        "folds": found,
    }
    if baseline and config.task == "pixel":
        forests = spread([row["baseline"]["figures"] for row in found])
        result["baseline"] = forests
        result["verdict"] = verdict(result["figures"]["miou"]["mean"], forests["miou"]["mean"])
    result = without_nan(result)
    write_text(folder / _FILE, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


def _folds_of(store: Store) -> Any:
    folds = [-1 if fold is None else fold for fold in store.column("fold")]
    if min(folds) < 0 or len(set(folds)) < 3:
        raise DatasetError(
            store.path,
            found="patches without folds" if min(folds) < 0 else f"{len(set(folds))} folds",
            expected="a store of own labels, whose places were dealt to at least 3 folds",
            remedy="Make one with geolulc label --folds.",
        )
    return np.array(folds)


def _of_fold(
    store: Store,
    folds: Any,
    fold: int,
    folder: Path,
    config: TrainConfig,
    *,
    device: str,
    resume: bool,
    overwrite: int,
    baseline: bool,
    trackers: Callable[[str], Sequence[Tracker]],
) -> dict[str, Any]:
    """Train and test the run of a fold; its figures."""
    count = int(folds.max()) + 1
    validated = (fold + 1) % count
    test, val = (np.flatnonzero(folds == one) for one in (fold, validated))
    others = np.flatnonzero((folds != fold) & (folds != validated))
    run = folder / f"fold-{fold}"
    task = Task(train=others, val=val)
    summary = train(store.path, run, config, task=task, device=device, resume=resume,
                    overwrite=overwrite or ANY, trackers=trackers(run.name))  # fmt: skip
    model = load_checkpoint(run)
    evaluation = evaluate_model(model, store, "test", indices=test, device=device).figures
    row: dict[str, Any] = {
        "fold": fold,
        "epoch": summary["epoch"],
        "patches": evaluation.patches,
        "figures": dict(evaluation.figures),
        "classes": [dict(one) for one in evaluation.classes],
    }
    if baseline and config.task == "pixel":
        forest = score_forest(
            SplitPatches(store, "train", others, masks=True),
            SplitPatches(store, "test", test, masks=True),
            model.net.bands,
            seed=config.seed,
        )
        row["baseline"] = forest.as_json()
    return row


def spread(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Of each figure: its mean, standard deviation (n - 1), least and most over folds."""
    found = {}
    for name in rows[0]:
        values = np.array([row[name] for row in rows if math.isfinite(row[name])], np.float64)
        if len(values):
            found[name] = {
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
                "min": float(values.min()),
                "max": float(values.max()),
            }
    return found
