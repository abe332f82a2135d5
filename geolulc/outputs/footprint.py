"""Where a tile lies in degrees: GeoJSON (RFC 7946), cut at the 180th meridian."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from geolulc.grid import Extent

#: Corners along a side: the straight side of a tile is a curve in degrees.
_POINTS: Final = 8


def footprint(tile: Extent) -> tuple[dict[str, Any], list[float]]:
    """Geometry of the tile in longitude and latitude (WGS 84), and its bounding box.

    A tile across the 180th meridian is a MultiPolygon, and its box has west > east
    (RFC 7946, 3.1.9 and 5.2).
    """
    longitude, latitude = _outline(tile)
    crosses = float(np.ptp(longitude)) > 180
    if crosses:
        longitude = np.where(longitude < 0, longitude + 360, longitude)
    ring = shapely.Polygon(np.column_stack([longitude, latitude]).round(7))
    if not crosses:
        return shapely.geometry.mapping(ring), list(ring.bounds)
    west = shapely.intersection(ring, shapely.box(0, -90, 180, 90))
    east = shapely.intersection(ring, shapely.box(180, -90, 540, 90))
    east = shapely.transform(east, lambda xy: xy - np.array([360.0, 0.0]))
    both = shapely.MultiPolygon([west, east])
    box = [west.bounds[0], both.bounds[1], east.bounds[2], both.bounds[3]]
    return shapely.geometry.mapping(both), box


def _outline(tile: Extent) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t = np.linspace(0, 1, _POINTS)[:-1]
    o, e = np.zeros_like(t), np.ones_like(t)
    # counter-clockwise from the lower left corner
    x = tile.left + tile.width * np.concatenate([t, e, 1 - t, o])
    y = tile.top - tile.height + tile.height * np.concatenate([o, t, e, 1 - t])
    longitude, latitude = Transformer.from_crs(tile.crs, 4326, always_xy=True).transform(x, y)
    return np.asarray(longitude), np.asarray(latitude)
