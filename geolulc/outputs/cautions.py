"""What a reader of a map should be warned of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.cells import entropy, mapped_cells

#: BigEarthNet has some 270,000 training patches; below this many a model has seen a few places.
_FEW_PATCHES: Final = 10_000
_SOME: Final = 0.005
_UNSURE: Final = 0.5


def cautions(landcover_map: LandCoverMap, model: Mapping[str, Any] | None) -> list[str]:
    """Sentences on nodata, clouds, doubt and the model's training; [] where all is well."""
    return [
        *_of_nodata(landcover_map),
        *_of_clouds(landcover_map),
        *_of_doubt(landcover_map),
        *_of_training(landcover_map, model),
    ]


def _of_nodata(landcover_map: LandCoverMap) -> list[str]:
    mapped = mapped_cells(landcover_map)
    if not mapped.any():
        return ["No cell of this map has data."]
    missing = 1 - float(mapped.mean())
    if missing < _SOME:
        return []
    return [f"{missing:.1%} of the cells have no data: too few valid pixels, or not asked for."]


def _of_clouds(landcover_map: LandCoverMap) -> list[str]:
    mapped = mapped_cells(landcover_map)
    if landcover_map.clear is None:
        return ["Clouds are not known: the scene classification was not used or is absent."]
    clear = landcover_map.clear[mapped]
    if not clear.size or not np.isfinite(clear).all():
        return []
    covered = 1 - float(clear.mean())
    if covered < _SOME:
        return []
    half = float((clear < 0.5).mean())
    cells = f" {half:.1%} of the mapped cells are less than half clear." if half else ""
    return [
        f"{covered:.1%} of the mapped ground is cloud, shadow or otherwise masked: what lies below "
        f"is guessed.{cells}"
    ]


def _of_doubt(landcover_map: LandCoverMap) -> list[str]:
    doubt = entropy(landcover_map)[mapped_cells(landcover_map)]
    if not doubt.size or float(doubt.mean()) < _UNSURE:
        return []
    return [f"The model is unsure: the mean entropy is {float(doubt.mean()):.2f} of 1 bit."]


def _of_training(landcover_map: LandCoverMap, model: Mapping[str, Any] | None) -> list[str]:
    provenance = (model or {}).get("provenance", {})
    if not isinstance(provenance, Mapping) or "train_patches" not in provenance:
        return ["How the model was trained is not known."]
    found = []
    patches = int(provenance["train_patches"])
    if patches < _FEW_PATCHES:
        found.append(
            f"The model was trained on {patches:,} patches only, where BigEarthNet has some "
            "270,000: expect errors, more so far from where these lie."
        )
    positives = provenance.get("train_positives", {})
    if isinstance(positives, Mapping):
        unseen = [c for c in landcover_map.classes if positives.get(c) == 0]
        if unseen:
            found.append(f"The model saw no example of: {', '.join(unseen)}.")
    return found
