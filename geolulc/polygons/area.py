"""Areas that people name: a vector file, or "west,south,east,north" in degrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import shapely
import shapely.affinity
from shapely.geometry.base import BaseGeometry

from geolulc.errors import ParameterError
from geolulc.polygons.reading import read_layers


def read_area(aoi: Path | str) -> list[Any]:
    """The GeoSeries of a file's layers, or of a box in degrees; at least one geometry.

    Raises:
        ParameterError: the file cannot be read, is empty or has no CRS; no box on the globe.
    """
    import geopandas  # takes a while: loaded where there is an area

    numbers = _numbers(str(aoi))
    if numbers is not None:
        return [geopandas.GeoSeries(_boxes(aoi, *numbers), crs="EPSG:4326")]
    layers = read_layers(Path(aoi), f"aoi {aoi}", attributes=False)
    return [frame.geometry for frame in layers.values()]


def _boxes(
    aoi: Path | str, west: float, south: float, east: float, north: float
) -> list[BaseGeometry]:
    """The box, which may lie across the 180th meridian: 179,-17,-179,-16 or 179,-17,181,-16."""
    if 0 < west <= 180 and -180 <= east < 0:
        east += 360
    inside = -360 <= west < east <= 360 and east - west <= 360 and -90 <= south < north <= 90
    if not inside:
        raise ParameterError(
            f"aoi {aoi}",
            found="a box that is empty or not on the globe",
            expected="west,south,east,north in degrees",
            remedy="For other coordinates give a vector file.",
        )
    return [shapely.box(west, south, east, north)]


def _numbers(text: str) -> tuple[float, float, float, float] | None:
    parts = text.split(",")
    if len(parts) != 4:
        return None
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError:
        return None
    return west, south, east, north


def area_in_degrees(aoi: Path | str) -> BaseGeometry:
    """The area as ``read_area`` reads it, in longitude and latitude within -180..180 degrees.

    Raises:
        ParameterError: as ``read_area``.
    """
    shape = shapely.union_all(
        [
            shapely.make_valid(part)
            for layer in read_area(aoi)
            for part in layer.to_crs("EPSG:4326")
            if part is not None and not part.is_empty
        ]
    )
    # a box across the 180th meridian reaches beyond it
    parts = [
        shapely.affinity.translate(shapely.intersection(shape, box), -turn)
        for turn in (-360, 0, 360)
        if shape.intersects(box := shapely.box(turn - 180, -90, turn + 180, 90))
    ]
    area = shapely.union_all([part for part in parts if not part.is_empty])
    if area.is_empty or not np.isfinite(area.bounds).all():
        raise ParameterError(
            f"aoi {aoi}",
            found="a place that is not on the globe",
            expected="an area in its CRS, or west,south,east,north in degrees",
            remedy="Check its coordinates and CRS.",
        )
    return area
