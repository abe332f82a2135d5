"""The tags by which a map's files say what they are: written here, read back here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import numpy as np

from geolulc import __version__
from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.areas import AREA_METHOD
from geolulc.outputs.cells import map_classes, map_thresholds, mapped_area, mapped_cells

_SCENE: Final = "SCENE_"
_MODEL: Final = "MODEL_"


def map_tags(landcover_map: LandCoverMap) -> dict[str, str]:
    """Tags that every raster of a map carries."""
    grid = landcover_map.grid
    tile = grid.tile
    mapped = mapped_cells(landcover_map)
    tags = {
        "TIFFTAG_SOFTWARE": f"geolulc {__version__}",
        "GEOLULC_VERSION": __version__,
        "NOMENCLATURE": landcover_map.nomenclature,
        "CLASSES": _compact([{"name": c.name, "code": c.code} for c in map_classes(landcover_map)]),
        "THRESHOLDS": _compact([round(float(t), 6) for t in map_thresholds(landcover_map)]),
        "STRIDE_M": str(grid.stride),
        "PATCH_SIZE_M": str(grid.patch_size),
        "TILE_EXTENT": _compact(
            [tile.left, tile.top - tile.height, tile.left + tile.width, tile.top]
        ),
        "MAPPED_CELLS": str(int(mapped.sum())),
        "NODATA_CELLS": str(int((~mapped).sum())),
        "MAPPED_AREA_HA": repr(mapped_area(landcover_map)),
        "AREA_METHOD": AREA_METHOD,
        "MEAN_VALID_SHARE": f"{float(np.mean(landcover_map.valid)):.6g}",
    }
    if landcover_map.clear is not None:
        tags["MEAN_CLEAR_SHARE"] = f"{float(np.mean(landcover_map.clear)):.6g}"
    tags.update({_SCENE + k.upper(): str(v) for k, v in landcover_map.scene.items()})
    tags.update({_MODEL + k.upper(): str(v) for k, v in landcover_map.model.items()})
    return tags


def scene_of(tags: Mapping[str, str]) -> dict[str, str]:
    """What ``LandCoverMap.scene`` held, from ``map_tags``."""
    return _named(tags, _SCENE)


def model_of(tags: Mapping[str, str]) -> dict[str, str]:
    """What ``LandCoverMap.model`` held, from ``map_tags``."""
    return _named(tags, _MODEL)


def _named(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {k.removeprefix(prefix).lower(): v for k, v in tags.items() if k.startswith(prefix)}


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
