"""Where arrays lie: xarray's by their coordinates, numpy's by a transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import CRSError

from geolulc.errors import ParameterError, ProductError
from geolulc.grid import TileGrid

#: Share of a pixel that coordinates may be off.
_SLACK: Final = 1e-3
_RESAMPLE: Final = "Give arrays on the grid of the product."
_UTM: Final = "Reproject them to UTM."


@dataclass(frozen=True)
class Place:
    """Where an array lies: its CRS, (column, row) → (x, y), rows and columns."""

    crs: str
    transform: Affine
    shape: tuple[int, int]

    @property
    def extent(self) -> tuple[str, float, float, int, int]:
        """CRS, left, top, width and height in metres."""
        size = self.transform.a
        height, width = (round(count * size) for count in self.shape)
        return self.crs, self.transform.c, self.transform.f, width, height


def flat(name: str, array: Any) -> Any:
    """The two dimensions of an array; others may have the size 1."""
    shape = np.shape(array)
    if len(shape) < 2 or set(shape[:-2]) - {1} or min(shape[-2:]) < 2:
        raise unplaced(f"array {name}", f"the shape {shape}", "rows and columns", "Give one band.")
    return array[(0,) * (len(shape) - 2)] if len(shape) > 2 else array


def of_coordinates(name: str, array: Any) -> Place:
    """The place of a ``DataArray``."""
    import rioxarray  # noqa: F401  registers the accessor ``.rio``

    shape = flat(name, array.data).shape
    starts, steps = [], []
    for dim, count in zip(array.dims[-2:], shape, strict=True):
        if dim not in array.coords:
            raise unplaced(
                f"array {name}", f"no coordinates {dim}", "centres of its pixels", "Add them."
            )
        centres = np.asarray(array.coords[dim], np.float64)
        step = (centres[-1] - centres[0]) / (count - 1)
        if not np.allclose(centres, centres[0] + step * np.arange(count), atol=abs(step) * _SLACK):
            raise unplaced(
                f"array {name}", f"coordinates {dim} of uneven steps", "a regular grid", _RESAMPLE
            )
        starts.append(centres[0] - step / 2)
        steps.append(step)
    transform = Affine(steps[1], 0.0, starts[1], 0.0, steps[0], starts[0])
    return _place(name, array.rio.crs, transform, shape)


def of_transform(name: str, array: Any, crs: Any, transform: Any, finest: int) -> Place:
    """The place of a numpy array; its pixels are larger where it has fewer than ``finest``."""
    if transform is None:
        raise unplaced("transform", "none", "that of the smallest pixels", "Give transform=….")
    shape = flat(name, array).shape
    transform = transform if isinstance(transform, Affine) else Affine(*tuple(transform)[:6])
    return _place(name, crs, transform @ Affine.scale(finest / shape[1]), shape)


def _place(name: str, crs: Any, transform: Affine, shape: tuple[int, int]) -> Place:
    subject = f"array {name}"
    try:
        found = rasterio.CRS.from_user_input(crs)
    except CRSError:
        raise unplaced(subject, f"CRS {crs}", "a CRS", "Give crs=…, or .rio.write_crs.") from None
    code = found.to_epsg()
    if code is None or not found.is_projected or found.linear_units_factor[1] != 1:
        raise unplaced(
            subject, f"CRS {found.to_string()[:60]}", "a projected CRS in metres, with a code", _UTM
        )
    size = transform.a
    square = (transform.b, transform.d, transform.e) == (0, 0, -size)
    if not square and not np.allclose([transform.b, transform.d, transform.e], [0, 0, -size]):
        raise unplaced(
            subject,
            f"the transform {tuple(transform)[:6]}",
            "squares, north up, from the upper-left corner",
            _RESAMPLE,
        )
    if round(size) < 1 or abs(size - round(size)) > _SLACK:
        raise unplaced(subject, f"pixels of {size:g} m", "whole metres", _RESAMPLE)
    transform = Affine(round(size), 0, transform.c, 0, -round(size), transform.f)
    return Place(f"EPSG:{code}", transform, shape)


def common_grid(places: Mapping[str, Place], alignment: int) -> TileGrid:
    """The ground that all arrays cover, in pixels of ``alignment`` metres at most.

    Raises:
        ProductError: they are not of one place, or their pixels share no corners.
    """
    first, place = next(iter(places.items()))
    for name, other in places.items():
        same_crs = other.crs == place.crs
        if not same_crs or not np.allclose(other.extent[1:], place.extent[1:], rtol=0, atol=_SLACK):
            raise ProductError(
                f"array {name}",
                found="{}, left {:.2f}, top {:.2f}, {} m × {} m".format(*other.extent),
                expected="{}, left {:.2f}, top {:.2f}, {} m × {} m, as {} has".format(
                    *place.extent, first
                ),
                remedy="Cut all arrays to the same ground.",
            )
    return TileGrid(*place.extent, alignment)


def unplaced(subject: str, found: str, expected: str, remedy: str) -> ParameterError:
    """The error for an array without a place that can be used."""
    return ParameterError(subject, found=found, expected=expected, remedy=remedy)
