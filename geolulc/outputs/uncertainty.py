"""map_uncertainty.tif: how sure the map is, and how much of a cell was seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.cells import entropy, margin
from geolulc.outputs.rasters import Band, Layer, write_layer
from geolulc.outputs.tags import map_tags

ENTROPY_BAND: Final = "Entropy"
VALID_BAND: Final = "Valid share"
CLEAR_BAND: Final = "Clear share"
_MEANING: Final = {
    ENTROPY_BAND: "mean binary entropy of the classes in bits: 0 sure, 1 nothing is known",
    "Margin": "highest less second highest probability: near 0 the dominant class is a close call",
    VALID_BAND: "share of the cell's patch in which all bands have data",
    CLEAR_BAND: "share of the cell's patch that no masked class of the scene classification covers",
}


def write_uncertainty(
    path: Path, landcover_map: LandCoverMap, *, tags: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write map_uncertainty.tif: float32 entropy, margin, valid share and, if known, clear share.

    Entropy and margin are NaN in nodata cells; the shares are there, and say why.
    """
    write_layer(
        path,
        uncertainty_layer(landcover_map),
        landcover_map.grid,
        {**map_tags(landcover_map), **tags, "GEOLULC_FILE": "uncertainty"},
    )


def uncertainty_layer(landcover_map: LandCoverMap) -> Layer:
    """Entropy, margin, valid share and, if known, clear share."""
    layers = [entropy(landcover_map), margin(landcover_map), landcover_map.valid]
    if landcover_map.clear is not None:
        layers.append(landcover_map.clear)
    names = list(_MEANING)[: len(layers)]
    return Layer(
        np.stack(layers).astype(np.float32),
        [Band(name, {"MEANING": _MEANING[name]}) for name in names],
        nodata=float("nan"),
        overviews="AVERAGE",
    )
