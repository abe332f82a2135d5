"""Where a map lies in degrees: GeoJSON (RFC 7946), cut at the 180th meridian."""

from __future__ import annotations

from typing import Any, Final

import antimeridian
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from geolulc.grid import Extent

#: Corners along a side: the straight side of an extent is a curve in degrees.
_POINTS: Final = 8


def footprint(extent: Extent) -> tuple[dict[str, Any], list[float]]:
    """Geometry of the extent in longitude and latitude (WGS 84), and its bounding box.

    One across the 180th meridian is a MultiPolygon, and its box has west > east
    (RFC 7946, 3.1.9 and 5.2).
    """
    ring = shapely.Polygon(np.column_stack(_outline(extent)).round(7))
    if np.ptp(ring.exterior.xy[0]) <= 180:
        return shapely.geometry.mapping(ring), list(ring.bounds)
    # the straight side of an extent is no great circle: it is cut as it is drawn
    both = antimeridian.fix_polygon(ring, great_circle=False)
    return shapely.geometry.mapping(both), antimeridian.bbox(both)


def _outline(extent: Extent) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    t = np.linspace(0, 1, _POINTS)[:-1]
    o, e = np.zeros_like(t), np.ones_like(t)
    # counter-clockwise from the lower left corner
    x = extent.left + extent.width * np.concatenate([t, e, 1 - t, o])
    y = extent.top - extent.height + extent.height * np.concatenate([o, t, e, 1 - t])
    longitude, latitude = Transformer.from_crs(extent.crs, 4326, always_xy=True).transform(x, y)
    return np.asarray(longitude), np.asarray(latitude)
