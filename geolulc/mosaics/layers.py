"""The rasters that only mosaics have: observations and confidence."""

from __future__ import annotations

import numpy as np

from geolulc.mosaics.blocks import MosaicBlock
from geolulc.mosaics.pixel_blocks import PixelBlock
from geolulc.outputs.cells import map_classes
from geolulc.outputs.qgis_styles import Entry
from geolulc.outputs.rasters import Band, Layer

_COUNT_MEANING = "maps that were combined here"
_CONFIDENCE_MEANING = (
    "1 - 2 × weighted standard deviation of the probability between observations: 1 they agree, "
    "0 they could not differ more; no data where there is one only"
)


def observation_layer(block: MosaicBlock | PixelBlock) -> Layer:
    """uint16: number of observations; 0 = no data."""
    bands = [Band("Number of observations", {"MEANING": _COUNT_MEANING})]
    return Layer(block.count[None], bands, nodata=0, overviews="NEAREST")


def confidence_layer(block: MosaicBlock) -> Layer:
    """float32: a band a class, NaN = one observation or none."""
    bands = [
        Band(c.name, {"CLASS_CODE": str(c.code), "MEANING": _CONFIDENCE_MEANING})
        for c in map_classes(block.landcover_map)
    ]
    return Layer(block.confidence, bands, nodata=float("nan"), overviews="AVERAGE")


def observation_entries(most: int) -> list[Entry]:
    """1 to ``most`` observations in up to six steps."""
    colors = ("#f7fbff", "#c6dbef", "#9ecae1", "#6baed6", "#3182bd", "#08519c")
    counts = sorted({int(n) for n in np.linspace(1, max(most, 2), len(colors)).round()})
    return [
        Entry(n, f"{n} observation{'s' if n > 1 else ''}", color)
        for n, color in zip(counts, colors, strict=False)
    ]
