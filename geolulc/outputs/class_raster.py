"""map_classes.tif: the code of the dominant class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from geolulc.landcover_map import LandCoverMap
from geolulc.nomenclature import NO_CLASS
from geolulc.outputs.cells import dominant_codes, map_classes
from geolulc.outputs.rasters import Band, Layer, write_layer
from geolulc.outputs.tags import map_tags


def write_classes(
    path: Path, landcover_map: LandCoverMap, *, tags: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write map_classes.tif: uint8 codes with a colour table, 0 = nodata.

    Names, colours and areas go into its .aux.xml (``attribute_table.py``) and .qml.
    """
    write_layer(
        path,
        class_layer(landcover_map),
        landcover_map.grid,
        {**map_tags(landcover_map), **tags, "GEOLULC_FILE": "classes"},
    )


def class_layer(landcover_map: LandCoverMap) -> Layer:
    """Codes of the dominant class."""
    return Layer(
        dominant_codes(landcover_map)[None],
        [Band("Dominant class", {})],
        nodata=NO_CLASS,
        overviews="MODE",
        colors={c.code: c.rgb for c in map_classes(landcover_map)},
    )
