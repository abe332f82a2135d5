"""Whether a raster is what its tags say: asked before memory of its size is allocated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyproj import CRS, Transformer

from geolulc.errors import OutputError
from geolulc.maps.areas import areal_scale
from geolulc.maps.encoding import ENCODINGS
from geolulc.maps.header import MapHeader
from geolulc.outputs.tags import CRS_TAG

#: A block of a file is held whole, and of all bands: geolulc's have 512 × 512 cells at most.
_MOST_IN_BLOCK: Final = 2**26
#: Metres within which two CRSs put a map on the same ground: what a file keeps of one may have
#: another name or a rounded parameter.
_SAME_GROUND: Final = 1.0


def require_own(path: Path, dataset: Any) -> None:
    """``OutputError`` if geolulc did not write a raster, or its blocks would fill the memory."""
    if "GEOLULC_VERSION" not in dataset.tags():
        raise not_a_map(path, "a raster without geolulc's tags")
    require_small_blocks(path, dataset)


def require_small_blocks(path: Path, dataset: Any) -> None:
    """``OutputError`` if the blocks of a raster would fill the memory."""
    rows, columns = (max(sides) for sides in zip(*dataset.block_shapes, strict=True))
    if rows * columns * dataset.count > _MOST_IN_BLOCK:
        raise not_a_map(path, f"blocks of {dataset.count} × {rows} × {columns} values")


def require_consistent(path: Path, content: str, header: MapHeader, dataset: Any) -> None:
    """``OutputError`` if a raster is not as its tags say, ``GeolulcError`` of unknown classes.

    Args:
        path: the file.
        content: the output that it says it holds.
        header: the map that it says it is of.
        dataset: the rasterio dataset.
    """
    rows, columns = dataset.shape
    if header.grid.shape != dataset.shape or header.grid.transform != dataset.transform:
        size = f"{dataset.count} × {rows} × {columns} values"
        raise not_a_map(path, f"{size} on a grid that its tags contradict")
    _require_metres(path, header)
    require_ground(path, header, dataset.tags())
    # an unknown class is refused here
    if not header.classes or len(set(header.land_cover)) != len(header.classes):
        raise not_a_map(path, "no classes, or a class that is named twice")
    dtypes = set(dataset.dtypes)
    if content == "probabilities":
        if dataset.descriptions != header.classes:
            names = ", ".join(map(str, dataset.descriptions))
            raise not_a_map(path, f"bands that its tags contradict: {names}")
        (dtype,) = dtypes
        encoding = ENCODINGS["uint8" if header.exclusive else dtype]
        same = dtype == encoding.dtype and set(dataset.scales) == {encoding.scale}
    else:
        # a mosaic of cells has a confidence for each class
        one_band = content == "classes" or (content == "confidence" and header.exclusive)
        dtype = header.codes.dtype.name if content == "classes" else "uint8"
        same = not one_band or (dataset.count == 1 and dtypes == {dtype})
    if not same:
        raise not_a_map(path, f"{dataset.count} bands of {', '.join(dtypes)} as {content}")


def _require_metres(path: Path, header: MapHeader) -> None:
    """``OutputError`` unless the CRS is in metres and has coordinates where it lies."""
    grid = header.grid
    crs = CRS.from_user_input(grid.extent.crs)
    west, south, east, north = grid.extent.bounds
    metres = crs.is_projected and all(a.unit_conversion_factor == 1 for a in crs.axis_info[:2])
    centre = np.array([(west + east) / 2]), np.array([(south + north) / 2])
    scale = areal_scale(grid.extent.crs, *centre) if metres else np.zeros(1)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise not_a_map(
            path,
            f"a grid around x {centre[0][0]:.6g}, y {centre[1][0]:.6g} in {crs.name}, "
            "which has no coordinates in metres there",
        )


def require_ground(path: Path, header: MapHeader, tags: Mapping[str, str]) -> None:
    """``OutputError`` if the CRS of a file is not the one in its tags; older maps have none there.

    Without it, a map that is given the CRS of the neighbouring UTM zone is one of other ground.
    """
    extent = header.grid.extent
    said = tags.get(CRS_TAG, extent.crs)
    if said == extent.crs:
        return
    west, south, east, north = extent.bounds
    corners = np.array([[west, west, east, east], [south, north, south, north]])
    placed = np.stack(Transformer.from_crs(said, extent.crs, always_xy=True).transform(*corners))
    if not np.abs(placed - corners).max() < _SAME_GROUND:  # NaN is no place either
        raise not_a_map(path, f"the CRS {extent.crs}, though its tags say {said}")


def not_a_map(path: Path, found: str) -> OutputError:
    """The error for a file that is no map, or not the one that was asked for."""
    return OutputError(
        path,
        found=found,
        expected="a map written by geolulc",
        remedy="Give the map.tif that geolulc map wrote.",
    )
