"""A map as tables: regions of dominant class, cells, and a row for each class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import geopandas
import numpy as np
import pandas
from numpy.typing import NDArray

from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.nomenclature import LandCoverClass
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.cells import (
    ClassSummary,
    dominant_codes,
    dominant_index,
    entropy,
    map_classes,
    mapped_cells,
    margin,
    present_classes,
)
from geolulc.outputs.polygons import cell_polygons, dissolve


def class_column(prefix: str, land_cover: LandCoverClass) -> str:
    """Name of a class's column: ``prefix`` and its short name, as in "p_mixed_forest"."""
    return prefix + re.sub(r"[^a-z0-9]+", "_", land_cover.short.lower()).strip("_")


def class_polygons(landcover_map: LandCoverMap) -> Any:
    """GeoDataFrame of the regions: code, name, area_ha, mean_probability, cells, geometry.

    A region is cells of one dominant class that touch along an edge. ``area_ha`` is on the ground
    and exactly the sum over its cells; ``mean_probability`` is the mean, weighted by area, of the
    probability of the region's own class.
    """
    codes = dominant_codes(landcover_map)
    polygons, owner = dissolve(landcover_map.grid, codes)
    inside = owner >= 0
    index = owner[inside]
    areas = cell_areas(landcover_map.grid)[inside]
    p = dominant_probability(landcover_map)[inside].astype(np.float64)
    code = np.zeros(len(polygons), np.int32)
    code[index] = codes[inside]
    area = np.bincount(index, weights=areas, minlength=len(polygons))
    probability = np.bincount(index, weights=areas * p, minlength=len(polygons)) / area
    columns = {
        "code": code,
        "area_ha": area,
        "mean_probability": probability,
        "cells": np.bincount(index, minlength=len(polygons)),
    }
    return region_table(landcover_map.header, columns, polygons)


def region_table(header: MapHeader, columns: Mapping[str, Any], polygons: NDArray[Any]) -> Any:
    """As ``class_polygons``, from all columns but the names."""
    names = {c.code: c.name for c in map_classes(header)}
    return geopandas.GeoDataFrame(
        {
            "code": columns["code"].astype(np.int32),
            # types are given: those of no rows would be guessed
            "name": np.array([names[int(c)] for c in columns["code"]], dtype=object),
            "area_ha": columns["area_ha"].astype(np.float64),
            "mean_probability": columns["mean_probability"].astype(np.float64),
            "cells": columns["cells"].astype(np.int32),
        },
        geometry=polygons,
        crs=header.grid.tile.crs,
    )


def cell_table(landcover_map: LandCoverMap) -> Any:
    """GeoDataFrame of all cells, nodata ones (code 0) included, row by row.

    Columns: row, column, code, name and probability of the dominant class, labels (names of the
    classes that reach their threshold, most probable first, "; " between), entropy, margin,
    valid_share, clear_share (where known), area_ha, and p_… for the probability of each class.
    """
    classes = map_classes(landcover_map)
    names = {c.code: c.name for c in classes}
    shape = landcover_map.grid.shape
    row, column = (a.ravel().astype(np.int32) for a in np.indices(shape))
    codes = dominant_codes(landcover_map).ravel().astype(np.int32)
    columns: dict[str, Any] = {
        "row": row,
        "column": column,
        "code": codes,
        "name": [names.get(int(c)) for c in codes],
        "probability": dominant_probability(landcover_map).ravel(),
        "labels": _labels(landcover_map),
        "entropy": entropy(landcover_map).ravel(),
        "margin": margin(landcover_map).ravel(),
        "valid_share": landcover_map.valid.ravel(),
    }
    if landcover_map.clear is not None:
        columns["clear_share"] = landcover_map.clear.ravel()
    columns["area_ha"] = cell_areas(landcover_map.grid).ravel()
    for i, land_cover in enumerate(classes):
        columns[class_column("p_", land_cover)] = landcover_map.probabilities[i].ravel()
    return geopandas.GeoDataFrame(
        columns,
        geometry=cell_polygons(landcover_map.grid, np.ones(shape, np.bool_)),
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


def dominant_probability(landcover_map: LandCoverMap) -> NDArray[np.float32]:
    """float32 (rows, columns): probability of the dominant class; NaN = nodata."""
    index = np.maximum(dominant_index(landcover_map), 0)
    return np.asarray(
        np.take_along_axis(landcover_map.probabilities, index[None], axis=0)[0], np.float32
    )


def _labels(landcover_map: LandCoverMap) -> list[str | None]:
    p = landcover_map.probabilities.reshape(len(landcover_map.classes), -1)
    present = present_classes(landcover_map).reshape(p.shape) == 1
    order = np.argsort(-p, axis=0, kind="stable")
    names = np.array(landcover_map.classes, dtype=object)
    return [
        "; ".join(names[order[present[order[:, i], i], i]]) if mapped else None
        for i, mapped in enumerate(mapped_cells(landcover_map).ravel())
    ]
