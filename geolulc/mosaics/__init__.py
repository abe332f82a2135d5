"""Maps of many tiles and dates → one map."""

from geolulc.mosaics.making import MosaicResult, make_mosaic
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.periods import PeriodResult, make_mosaics

__all__ = [
    "MosaicOptions",
    "MosaicResult",
    "PeriodResult",
    "make_mosaic",
    "make_mosaics",
]
