"""map.gpkg: regions of dominant class and a table of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio

from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.cells import ClassSummary, dominant_codes, dominant_index, map_classes
from geolulc.outputs.polygons import dissolve

#: QGIS 3.22 (GDAL 3.6) warns of anything newer.
_GEOPACKAGE_VERSION = "1.3"


def class_polygons(landcover_map: LandCoverMap) -> Any:
    """GeoDataFrame of the regions: code, name, area_ha, mean_probability, cells, geometry.

    ``area_ha`` is on the ground; ``mean_probability`` is the mean, weighted by area, of the
    probability of the region's own class.
    """
    classes = {c.code: c for c in map_classes(landcover_map)}
    polygons, owner = dissolve(landcover_map.grid, dominant_codes(landcover_map))
    inside = owner >= 0
    index = owner[inside]
    areas = cell_areas(landcover_map.grid)[inside]
    codes = np.zeros(len(polygons), np.int32)
    codes[index] = dominant_codes(landcover_map)[inside]
    dominant = dominant_index(landcover_map)
    p = np.take_along_axis(landcover_map.probabilities, np.maximum(dominant, 0)[None], axis=0)[0][
        inside
    ].astype(np.float64)
    area = np.bincount(index, weights=areas, minlength=len(polygons))
    probability = np.bincount(index, weights=areas * p, minlength=len(polygons)) / area
    return geopandas.GeoDataFrame(
        {
            "code": codes,
            "name": [classes[int(code)].name for code in codes],
            "area_ha": area,
            "mean_probability": probability,
            "cells": np.bincount(index, minlength=len(polygons)).astype(np.int32),
        },
        geometry=polygons,
        crs=landcover_map.grid.tile.crs,
    )


def summary_table(summaries: Sequence[ClassSummary]) -> Any:
    """DataFrame with a row for each class; its columns as in ``ClassSummary``."""
    return pandas.DataFrame(
        {
            "code": [s.land_cover.code for s in summaries],
            "name": [s.land_cover.name for s in summaries],
            "color": [s.land_cover.color for s in summaries],
            "cells": [s.cells for s in summaries],
            "area_ha": [s.area_ha for s in summaries],
            "share": [s.share for s in summaries],
            "expected_area_ha": [s.expected_area_ha for s in summaries],
            "mean_probability": [s.mean_probability for s in summaries],
            "dominant_probability": [s.dominant_probability for s in summaries],
            "present_cells": [s.present_cells for s in summaries],
        }
    )


def write_vectors(
    path: Path, landcover_map: LandCoverMap, summaries: Sequence[ClassSummary]
) -> None:
    """Write map.gpkg with the layers ``classes`` and ``summary``."""
    pyogrio.write_dataframe(
        class_polygons(landcover_map),
        path,
        layer="classes",
        driver="GPKG",
        geometry_type="Polygon",
        dataset_options={"VERSION": _GEOPACKAGE_VERSION},
    )
    pyogrio.write_dataframe(summary_table(summaries), path, layer="summary", append=True)
