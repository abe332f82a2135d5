"""The epoch that is kept: the patches it is chosen by, and its model with provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping

from geolulc import __version__
from geolulc.errors import DatasetError
from geolulc.learning.config import TrainConfig
from geolulc.learning.patches import SplitPatches
from geolulc.nets import LandCoverNet, Model


def require_validation(held_out: SplitPatches, config: TrainConfig) -> None:
    """``DatasetError`` where the best epoch is to be chosen and there is nothing to choose by."""
    nothing = not len(held_out) if held_out.masks else not held_out.targets.any()
    if config.select == "best" and nothing:
        raise DatasetError(
            held_out.store.path,
            found="no labelled patch in the split val",
            expected="patches to choose the best epoch by",
            remedy="Prepare a store with a val split (--splits), or --set select=last.",
        )


def kept_model(
    net: LandCoverNet,
    calibration: tuple[float, tuple[float, ...]],
    patches: SplitPatches,
    held_out: SplitPatches,
    config: TrainConfig,
    figures: Mapping[str, float],
    name: str,
) -> Model:
    """``net`` with temperature and thresholds (``calibration``), and how it came about."""
    temperature, thresholds = calibration
    provenance = {
        "made_by": f"geolulc {__version__}",
        "data": {
            "store": patches.store.path.name,
            "archives": [a["dataset"] for a in patches.store.manifest["archives"]],
        },
        "train_patches": len(patches),
        "val_patches": len(held_out),
        "train_positives": dict(
            zip(net.classes, patches.targets.sum(axis=0).astype(int).tolist(), strict=True)
        ),
        "config": config.as_mapping(),
        "epoch": int(figures["epoch"]),
        "validation": {
            k.removeprefix("val_"): v
            for k, v in figures.items()
            if k.startswith("val_") and math.isfinite(v)
        },
    }
    return Model(
        net, thresholds=thresholds, temperature=temperature, provenance=provenance, name=name
    )
