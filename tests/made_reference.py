"""Rasters of classes and points with their true class, for tests of accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import rasterio
from affine import Affine
from numpy.typing import NDArray

#: Olofsson et al. 2014, section 4: rows are the map's classes, columns the reference's.
OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
#: Its classes; a map has 2, 1.5, 32 and 64.5 % of them.
CHANGE_CLASSES = ("Deforestation", "Forest gain", "Stable forest", "Stable non-forest")
_WIDE, _HIGH = 2000, 5000


def write_classes(
    path: Path,
    codes: NDArray[Any],
    *,
    crs: str = "EPSG:3035",
    transform: Affine | None = None,
    nodata: int | None = 0,
) -> Path:
    """Write a raster of codes as a stranger would: pixels of 30 m in an equal-area projection."""
    rows, columns = codes.shape
    place = transform or Affine(30, 0, 4_000_000, 0, -30, 3_000_000)
    with rasterio.open(
        path, "w", driver="GTiff", width=columns, height=rows, count=1, dtype=codes.dtype,
        crs=crs, transform=place, nodata=nodata, compress="deflate", tiled=True,
    ) as dataset:  # fmt: skip
        dataset.write(codes, 1)
    return path


def write_worked_example(folder: Path) -> tuple[Path, Path, Path]:
    """Map of 10 million pixels, its nomenclature, and the points of the worked example."""
    shares = np.array([0.02, 0.015, 0.32, 0.645])
    codes = np.repeat([10, 20, 30, 40], np.round(shares * _WIDE * _HIGH).astype(int))
    path = write_classes(folder / "map.tif", codes.reshape(_HIGH, _WIDE).astype(np.uint8))
    points = []
    for i, j in np.ndindex(4, 4):
        inside = np.flatnonzero(codes == 10 * (i + 1))[j * 1000 :][: OLOFSSON[i, j]]
        points += [(place, CHANGE_CLASSES[j]) for place in inside]
    reference = write_points(folder / "points.csv", path, points)
    return path, write_class_file(folder / "classes.toml"), reference


def write_class_file(path: Path, names: Sequence[str] = CHANGE_CLASSES) -> Path:
    """A nomenclature of ``names`` with the codes 10, 20, …"""
    tables = [
        f'[[classes]]\nname = "{name}"\ncode = {10 * i}\ncolor = "#0000{i:02x}"\n'
        for i, name in enumerate(names, start=1)
    ]
    path.write_text('id = "made"\ntitle = "Made classes"\n' + "\n".join(tables), encoding="utf-8")
    return path


def write_points(
    path: Path, raster: Path, points: Sequence[tuple[int, Any]], field: str = "reference"
) -> Path:
    """A .csv of pixels (row × columns + column) with the value of a field."""
    with rasterio.open(raster) as dataset:
        places = np.array([place for place, _ in points])
        x, y = dataset.transform @ (
            places % dataset.width + 0.5, places // dataset.width + 0.5,
        )  # fmt: skip
    values = [value for _, value in points]
    pandas.DataFrame({"x": x, "y": y, field: values}).to_csv(path, index=False)
    return path
