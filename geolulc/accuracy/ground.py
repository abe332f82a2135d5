"""Hectares on the ground of the pixels of any raster."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from rasterio.windows import Window

from geolulc.errors import ParameterError
from geolulc.maps.areas import SQUARE_METRES_PER_HECTARE, areal_scale

#: Pixels along a square that shares an areal scale.
_SQUARE: Final = 64


def pixel_hectares(crs: Any, transform: Affine, window: Window) -> NDArray[np.float64]:
    """float64 (rows, columns): hectares of the pixels of a window of a raster.

    Of degrees, those of the ellipsoid between two parallels, from Lambert's cylindrical equal-area
    projection (Snyder 1987, Map Projections: A Working Manual, eq. 10-15); of a projection,
    projected area over areal scale, one scale for 64 × 64 pixels.

    Args:
        crs: the raster's CRS, of rasterio.
        transform: (column, row) → coordinates; without rotation where they are degrees.
        window: the pixels.

    Raises:
        ParameterError: a raster in degrees is rotated, or the CRS has no place on the earth.
    """
    if crs.is_geographic:
        return _between_parallels(CRS.from_user_input(crs), transform, window)
    rows, columns = (np.arange(0, n, _SQUARE) + _SQUARE / 2 for n in (window.height, window.width))
    column, row = np.meshgrid(
        window.col_off + np.minimum(columns, window.width),
        window.row_off + np.minimum(rows, window.height),
    )
    x, y = transform @ (column, row)
    try:
        scale = areal_scale(crs.to_wkt(), np.asarray(x), np.asarray(y))
    except ValueError as error:
        raise _no_place(crs) from error
    if not np.isfinite(scale).all():
        raise _no_place(crs)
    metres = crs.linear_units_factor[1]
    squares = abs(transform.determinant) * metres**2 / scale / SQUARE_METRES_PER_HECTARE
    whole = np.repeat(np.repeat(squares, _SQUARE, axis=0), _SQUARE, axis=1)
    return whole[: window.height, : window.width]


def _between_parallels(crs: CRS, transform: Affine, window: Window) -> NDArray[np.float64]:
    if not transform.is_rectilinear or transform.b or crs.ellipsoid is None:
        raise ParameterError(
            "the raster",
            found="a rotated raster in degrees",
            expected="rows along parallels",
            remedy="Reproject it, to the UTM zone say.",
        )
    geod = Geod(a=crs.ellipsoid.semi_major_metre, b=crs.ellipsoid.semi_minor_metre)
    shape = f"+a={geod.a} +b={geod.b}"
    equal_area = Transformer.from_crs(
        f"+proj=longlat {shape} +type=crs", f"+proj=cea {shape} +type=crs", always_xy=True
    )
    edges = transform.f + transform.e * np.arange(
        window.row_off, window.row_off + window.height + 1
    )
    _, y = equal_area.transform(np.zeros_like(edges), np.clip(edges, -90, 90))
    high = np.abs(np.diff(y)) / SQUARE_METRES_PER_HECTARE
    wide = geod.a * math.radians(abs(transform.a))
    return np.broadcast_to((high * wide)[:, None], (window.height, window.width))


def _no_place(crs: Any) -> ParameterError:
    return ParameterError(
        "the raster",
        found=f"the CRS {crs.to_string()[:60]}, which has no place on the earth",
        expected="a CRS whose areas are known",
        remedy="Assign the right CRS, or reproject the raster.",
    )
