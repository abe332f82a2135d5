"""A map as tables: regions of one class, cells, and a row for each class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import geopandas
import numpy as np
import pandas

from geolulc.maps.areas import ground_areas
from geolulc.maps.header import MapBlock, MapHeader
from geolulc.maps.ranking import Ranked, doubt, present_classes, rank_classes
from geolulc.maps.tally import ClassSummary
from geolulc.nomenclature import LandCoverClass
from geolulc.outputs.polygons import cell_polygons
from geolulc.outputs.region_merging import RegionPolygons

#: Letters of a class's column, at most.
_LONGEST: Final = 40


def class_column(prefix: str, land_cover: LandCoverClass) -> str:
    """Name of a class's column: ``prefix`` and its short name, as in "p_mixed_forest".

    Of short names that are long, or have other letters than a to z, the code says which it is.
    """
    name = re.sub(r"[^a-z0-9]+", "_", land_cover.short.lower()).strip("_")
    plain = land_cover.short.isascii() and len(name) <= _LONGEST
    return prefix + (name if plain else f"{name[:_LONGEST]}_{land_cover.code}".lstrip("_"))


def region_table(header: MapHeader, regions: RegionPolygons) -> Any:
    """GeoDataFrame of regions: code, name, area_ha, mean_probability, cells, geometry.

    ``area_ha`` is on the ground and exactly the sum over the region's cells; ``mean_probability``
    is the mean, weighted by area, of the probability of each cell's most probable class.
    """
    names = np.array(header.classes, dtype=object)
    return geopandas.GeoDataFrame(
        {
            "code": regions.code.astype(np.int32),
            # without rows pandas would guess the types
            "name": names[header.positions[regions.code]],
            "area_ha": regions.area_ha,
            "mean_probability": regions.expected_ha / regions.area_ha,
            "cells": regions.cells.astype(np.int32),
        },
        geometry=regions.polygons,
        crs=header.grid.extent.crs,
    )


def cell_table(header: MapHeader, block: MapBlock) -> Any:
    """GeoDataFrame of the cells of a block, nodata ones (code 0) included, row by row.

    Columns: row, column, code, name and probability of the most probable class, labels (names of
    the classes that reach their threshold, most probable first, "; " between), entropy, margin,
    valid_share, clear_share (where known), area_ha, and p_… for the probability of each class.
    """
    shares = block.shares
    ranked = rank_classes(shares, 2)
    names = {c.code: c.name for c in header.land_cover}
    high, wide = block.shape
    rows, columns = slice(block.row, block.row + high), slice(block.column, block.column + wide)
    row, column = (a.ravel().astype(np.int32) for a in np.indices(block.shape))
    codes = ranked.dominant(header).ravel().astype(np.int32)
    table: dict[str, Any] = {
        "row": row + np.int32(block.row),
        "column": column + np.int32(block.column),
        "code": codes,
        "name": [names.get(int(c)) for c in codes],
        "probability": ranked.probabilities[0].ravel(),
        "labels": _labels(header, block, ranked),
        "entropy": doubt(header, shares).ravel(),
        "margin": ranked.margin.ravel(),
    }
    if block.valid is not None:
        table["valid_share"] = block.valid.ravel()
    if block.clear is not None:
        table["clear_share"] = block.clear.ravel()
    table["area_ha"] = ground_areas(header.grid, header.unit.areas, rows, columns).ravel()
    for land_cover, layer in zip(header.land_cover, shares, strict=True):
        table[class_column("p_", land_cover)] = layer.ravel()
    boxes = cell_polygons(header.grid, rows, columns)
    return geopandas.GeoDataFrame(table, geometry=boxes, crs=header.grid.extent.crs)


def summary_table(summaries: Sequence[ClassSummary]) -> Any:
    """DataFrame with a row for each class; its columns as in ``ClassSummary``, as far as known."""
    rows = [
        {"code": c.code, "name": c.name, "color": c.color, **asdict(s)}
        for s in summaries
        for c in [s.land_cover]
    ]
    unknown = [name for name in rows[0] if all(row[name] is None for row in rows)]
    return pandas.DataFrame(rows).drop(columns=["land_cover", *unknown])


def _labels(header: MapHeader, block: MapBlock, ranked: Ranked) -> list[str | None]:
    p = block.shares.reshape(len(header.classes), -1)
    present = present_classes(header, block.shares).reshape(p.shape) == 1
    order = np.argsort(-p, axis=0, kind="stable")
    names = np.array(header.classes, dtype=object)
    return [
        "; ".join(names[order[present[order[:, i], i], i]]) if mapped else None
        for i, mapped in enumerate(ranked.mapped.ravel())
    ]
