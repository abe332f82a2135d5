"""Maps of many tiles and dates → one map."""

from geolulc.mosaics.making import MosaicResult, make_mosaic
from geolulc.mosaics.options import MosaicOptions, MosaicOutput

__all__ = ["MosaicOptions", "MosaicOutput", "MosaicResult", "make_mosaic"]
