"""map_classes.tif: the code of the dominant class, with names, colours and areas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from geolulc.landcover_map import LandCoverMap
from geolulc.nomenclature import NO_CLASS
from geolulc.outputs.cells import ClassSummary, dominant_codes, map_classes
from geolulc.outputs.rasters import Band, write_raster
from geolulc.outputs.tags import map_tags


def write_classes(
    path: Path,
    landcover_map: LandCoverMap,
    summaries: Sequence[ClassSummary],
    *,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write map_classes.tif: uint8 codes, 0 = nodata; areas by class in its tags."""
    write_raster(
        path,
        dominant_codes(landcover_map)[None],
        landcover_map.grid,
        [Band("Dominant class", {})],
        nodata=NO_CLASS,
        tags={
            **map_tags(landcover_map),
            **tags,
            "GEOLULC_FILE": "classes",
            "AREA_HA_BY_CLASS": json.dumps(
                {s.land_cover.name: round(s.area_ha, 4) for s in summaries if s.cells},
                ensure_ascii=False,
            ),
        },
        overviews="MODE",
        colors={c.code: c.rgb for c in map_classes(landcover_map)},
    )
