"""Checks of users' geometries: whether they lie on the globe, and are what is asked for."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geolulc.errors import ParameterError

#: A layer has at most so many corners.
MOST_CORNERS: Final = 100_000_000
#: Metres from the origin of a projection that no ground reaches: the equator is 40,075 km long,
#: and false eastings that start with the number of a zone come to 60,000 km.
_FARTHEST: Final = 1e8
#: Degrees by which files miss the pole by rounding.
_ROUNDING: Final = 1e-3
#: Types of geometry (shapely's numbers) that are or can hold polygons.
POLYGON, MULTIPOLYGON, COLLECTION = 3, 6, 7
#: Those of points.
POINT, MULTIPOINT = 0, 4


def require_places(frame: Any, subject: str) -> None:
    """``ParameterError`` unless the geometries of a GeoDataFrame can lie on the globe.

    They have a CRS of the earth, at most ``MOST_CORNERS``, and coordinates that are numbers in
    the range of their CRS: latitudes to 90 degrees, longitudes to 360, projected ones to 100,000
    km. Missing and empty geometries pass.
    """
    if frame.crs is None:
        raise ParameterError(
            subject,
            found="no CRS (coordinate reference system)",
            expected="geometries that say where they are",
            remedy="Set the CRS of the file (in QGIS: Layer, Set CRS) and save it.",
        )
    crs = CRS.from_user_input(frame.crs)
    why = crs.type_name
    if crs.is_geographic or crs.is_projected:
        try:
            Transformer.from_crs(crs, 4326)
            why = ""
        except ProjError as error:  # of another body, say
            why = str(error)
    if why:
        raise ParameterError(
            subject,
            found=f"the CRS {crs.name!r} ({why})",
            expected="a geographic or projected CRS of the earth",
            remedy="Set the CRS of the file (in QGIS: Layer, Set CRS) and save it.",
        )
    geometries = frame.geometry.to_numpy()
    corners = shapely.get_num_coordinates(geometries)
    if corners.sum() > MOST_CORNERS:
        raise ParameterError(
            subject,
            found=f"{corners.sum():,} corners",
            expected=f"at most {MOST_CORNERS:,}",
            remedy="Simplify the geometries, or leave some out.",
        )
    limits = _limits(crs)
    wrong = []
    # in pieces: coordinates take as much memory as the geometries
    for first in range(0, len(geometries), 2**16):
        xy, owner = shapely.get_coordinates(geometries[first : first + 2**16], return_index=True)
        outside = ~(np.abs(xy) <= limits).all(axis=1)  # NaN is not within either
        if outside.any():
            wrong += (first + np.unique(owner[outside])).tolist()
            place = xy[outside][0]
    if wrong:
        raise ParameterError(
            subject,
            found=f"{len(wrong)} of {len(geometries)} geometries with coordinates such as "
            f"{place[0]:.6g}, {place[1]:.6g} (the first is number {wrong[0] + 1})",
            expected=f"|x| ≤ {limits[0]:g}, |y| ≤ {limits[1]:g}, as its CRS says ({crs.name})",
            remedy="Set the true CRS of the file, or mend these geometries.",
        )


def _limits(crs: CRS) -> tuple[float, float]:
    unit = unit_of(crs)
    if crs.is_geographic:
        return 2 * np.pi / unit + _ROUNDING, np.pi / 2 / unit + _ROUNDING
    return _FARTHEST / unit, _FARTHEST / unit


def unit_of(crs: CRS) -> float:
    """Radians (of a geographic CRS) or metres in a unit of its first axis."""
    axes = crs.axis_info or (crs.source_crs.axis_info if crs.source_crs else [])
    return float(axes[0].unit_conversion_factor) if axes else 1.0


def require_polygons(frame: Any, subject: str) -> None:
    """``ParameterError`` unless a GeoDataFrame's geometries are polygons, and one has an area.

    Missing and empty ones pass beside it, and so does a frame without rows.
    """
    geometries = frame.geometry.to_numpy()
    wrong = ~_are(geometries, POLYGON, MULTIPOLYGON)
    for i in np.flatnonzero(shapely.get_type_id(geometries) == COLLECTION):
        wrong[i] &= not shapely.area(geometries[i])
    _refuse(geometries, wrong, subject, "polygons")
    flat = len(geometries) > 0 and not (shapely.area(geometries) > 0).any()
    # a bow tie's halves cancel out until it is made valid
    if flat and not (shapely.area(shapely.make_valid(geometries)) > 0).any():
        raise nothing(subject, "polygon with an area")


def require_points(frame: Any, subject: str) -> None:
    """``ParameterError`` unless a GeoDataFrame's geometries are points; missing ones pass."""
    geometries = frame.geometry.to_numpy()
    _refuse(geometries, ~_are(geometries, POINT, MULTIPOINT), subject, "points")


def _are(geometries: Any, *kinds: int) -> Any:
    return np.isin(shapely.get_type_id(geometries), (-1, *kinds)) | shapely.is_empty(geometries)


def _refuse(geometries: Any, wrong: Any, subject: str, expected: str) -> None:
    if wrong.any():
        words = ", ".join(sorted({g.geom_type for g in geometries[wrong]}))
        raise ParameterError(
            subject,
            found=f"{wrong.sum()} of {len(geometries)} geometries of type {words}",
            expected=expected,
            remedy=f"Give a layer of {expected}; lines and points have no area, but as polygons "
            "around them (in QGIS: Buffer).",
        )


def nothing(subject: str, kind: str) -> ParameterError:
    """The error that a file has none of ``kind``."""
    return ParameterError(
        subject,
        found=f"no {kind}",
        expected="at least one",
        remedy="Check the file; what it only links to is not read.",
    )
