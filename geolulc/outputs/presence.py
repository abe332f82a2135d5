"""map_presence.tif: which classes reach their threshold, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.cells import (
    NO_PRESENCE,
    map_classes,
    map_thresholds,
    mapped_cells,
    present_classes,
)
from geolulc.outputs.rasters import Band, Layer, write_layer
from geolulc.outputs.tags import map_tags

COUNT_BAND = "Number of classes present"


def write_presence(
    path: Path, landcover_map: LandCoverMap, *, tags: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write map_presence.tif: uint8; first the number of classes, then 0 or 1 for each class.

    A file of its own, since one GeoTIFF has one data type. 255 is nodata.
    """
    write_layer(
        path,
        presence_layer(landcover_map),
        landcover_map.grid,
        {**map_tags(landcover_map), **tags, "GEOLULC_FILE": "presence"},
    )


def presence_layer(landcover_map: LandCoverMap) -> Layer:
    """The number of classes, then each class."""
    present = present_classes(landcover_map)
    mapped = mapped_cells(landcover_map)
    count = np.where(mapped, (present == 1).sum(axis=0), NO_PRESENCE).astype(np.uint8)
    thresholds = map_thresholds(landcover_map)
    bands = [
        Band(COUNT_BAND, {}),
        *(
            Band(c.name, {"CLASS_CODE": str(c.code), "THRESHOLD": f"{thresholds[i]:.6g}"})
            for i, c in enumerate(map_classes(landcover_map))
        ),
    ]
    values = np.concatenate([count[None], present])
    return Layer(values, bands, nodata=NO_PRESENCE, overviews="NEAREST")
