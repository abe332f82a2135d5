"""The tags by which a map's files say what they are: written here, read back here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from geolulc import __version__
from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.outputs.areas import AREA_METHOD
from geolulc.outputs.cells import map_classes, map_thresholds
from geolulc.outputs.figures import MapFigures, figures_of

#: Number of maps that a mosaic was made of; only mosaics have it.
MOSAIC: Final = "MOSAIC_MAPS"
_MOSAIC: Final = "MOSAIC_"
_SCENE: Final = "SCENE_"
_MODEL: Final = "MODEL_"


def map_tags(landcover_map: LandCoverMap) -> dict[str, str]:
    """Tags that every raster of a map carries."""
    return header_tags(landcover_map.header, figures_of(landcover_map))


def header_tags(header: MapHeader, figures: MapFigures) -> dict[str, str]:
    """``map_tags`` of a map whose cells no one holds at once."""
    grid = header.grid
    tile = grid.tile
    tags = {
        "TIFFTAG_SOFTWARE": f"geolulc {__version__}",
        "GEOLULC_VERSION": __version__,
        "NOMENCLATURE": header.nomenclature,
        "CLASSES": _compact([{"name": c.name, "code": c.code} for c in map_classes(header)]),
        "THRESHOLDS": _compact([round(float(t), 6) for t in map_thresholds(header)]),
        "STRIDE_M": str(grid.stride),
        "PATCH_SIZE_M": str(grid.patch_size),
        "TILE_EXTENT": _compact(
            [tile.left, tile.top - tile.height, tile.left + tile.width, tile.top]
        ),
        "MAPPED_CELLS": str(figures.mapped),
        "NODATA_CELLS": str(figures.cells - figures.mapped),
        "MAPPED_AREA_HA": repr(figures.area_ha),
        "AREA_METHOD": AREA_METHOD,
    }
    shares = {"MEAN_VALID_SHARE": figures.mean_valid, "MEAN_CLEAR_SHARE": figures.mean_clear}
    tags.update({k: f"{share:.6g}" for k, share in shares.items() if share is not None})
    tags.update({_SCENE + k.upper(): str(v) for k, v in header.scene.items()})
    tags.update({_MODEL + k.upper(): str(v) for k, v in header.model.items()})
    return tags


def scene_of(tags: Mapping[str, str]) -> dict[str, str]:
    """What ``LandCoverMap.scene`` held, from ``map_tags``."""
    return _named(tags, _SCENE)


def model_of(tags: Mapping[str, str]) -> dict[str, str]:
    """What ``LandCoverMap.model`` held, from ``map_tags``."""
    return _named(tags, _MODEL)


def mosaic_of(tags: Mapping[str, str]) -> dict[str, str]:
    """What a mosaic says of how it was made; {} of the map of a scene."""
    return _named(tags, _MOSAIC)


def _named(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {k.removeprefix(prefix).lower(): v for k, v in tags.items() if k.startswith(prefix)}


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
