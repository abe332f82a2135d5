"""Strata that are not the map's classes: a raster, or polygons, on the pixels of the map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas
import shapely
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window, bounds, transform

from geolulc.accuracy.classified import NOWHERE, ChangeMap, ClassifiedMap, Layer
from geolulc.accuracy.foreign import legend_of, open_single_band, values_of
from geolulc.analysis.zone_files import read_zones
from geolulc.errors import ParameterError
from geolulc.outputs.rasters import windows
from geolulc.polygons.checks import require_polygons

#: A change from one class to another is a stratum of its own from so many pixels on, and from this
#: share of all that changed: with fewer, points that serve it are missed elsewhere.
_LEAST_PIXELS: Final = 20
_LEAST_SHARE: Final = 0.02
_RASTERS: Final = (".tif", ".tiff", ".vrt", ".img")


@contextmanager
def open_strata(
    classified: ClassifiedMap, path: Path | None, field: str | None = None
) -> Iterator[Layer]:
    """The strata of a map, where it has data: its own classes, or those of a file.

    Args:
        classified: the map.
        path: a raster of one band of whole numbers, in any grid and CRS, or polygons; None for
            the map's classes, and of a change.tif the changes from one class to another.
        field: column of the polygons with the name of their stratum; of two polygons on one
            pixel the later counts.

    Raises:
        OutputError: a raster cannot be used.
        ParameterError: polygons cannot be used, or no such column is there.
    """
    if path is None:
        yield _ChangeStrata(classified) if isinstance(classified, ChangeMap) else classified
    elif path.suffix.lower() in _RASTERS:
        with open_single_band(path) as dataset:
            found = values_of(dataset, windows(dataset.shape, 1024))
            rows, columns = classified.shape
            with WarpedVRT(
                dataset, crs=classified.dataset.crs, transform=classified.transform,
                width=columns, height=rows, resampling=Resampling.nearest, add_alpha=True,
            ) as warped:  # fmt: skip
                classes = legend_of(dataset).classes(found)
                yield _RasterStrata(classified, warped, {c.code: c.name for c in classes})
    else:
        yield _PolygonStrata(classified, path, field)


class _ChangeStrata:
    """What did not change, each change from one class to another that is large, and the others."""

    def __init__(self, change: ChangeMap) -> None:
        pixels: Counter[int] = Counter()
        for window in change.windows():
            values, counts = np.unique(change.transitions(window), return_counts=True)
            pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        pixels.pop(NOWHERE, None)
        ends = {value: change.ends(value) for value in pixels}
        changes = {v: n for v, n in pixels.items() if ends[v][0] != ends[v][1]}
        enough = max(_LEAST_PIXELS, _LEAST_SHARE * sum(changes.values()))
        large = sorted((v for v, n in changes.items() if n >= enough), key=lambda v: -changes[v])
        self.names = (
            change.names[0],
            *(f"{before.name} → {after.name}" for before, after in map(ends.__getitem__, large)),
            *(["Other changes"] if len(large) < len(changes) else []),
        )
        self._map = change
        self._values = np.array(sorted(pixels), np.int64)
        places = {value: i for i, value in enumerate(large, start=1)}
        others = len(large) + 1
        self._places = np.array(
            [places.get(v, others if v in changes else 0) for v in self._values.tolist()], np.int32
        )

    def positions(self, window: Window) -> NDArray[np.int32]:
        values = self._map.transitions(window)
        place = self._places[np.searchsorted(self._values, values) % len(self._values)]
        return np.where(values == NOWHERE, NOWHERE, place).astype(np.int32)


class _RasterStrata:
    def __init__(self, classified: ClassifiedMap, warped: Any, names: dict[int, str]) -> None:
        self._map, self._warped = classified, warped
        self.names = tuple(names.values())
        self._codes = np.array(list(names), np.int64)  # in ascending order

    def positions(self, window: Window) -> NDArray[np.int32]:
        values, alpha = self._warped.read(window=window)
        place = np.searchsorted(self._codes, values.astype(np.int64))
        place = np.minimum(place, len(self._codes) - 1)
        inside = (alpha > 0) & (self._codes[place] == values)
        inside &= self._map.positions(window) != NOWHERE
        return np.where(inside, place, NOWHERE).astype(np.int32)


class _PolygonStrata:
    def __init__(self, classified: ClassifiedMap, path: Path, field: str | None) -> None:
        zones = read_zones(path)
        require_polygons(zones, f"strata {path}")
        columns = [str(c) for c in zones.columns if c != zones.geometry.name]
        if field is None and len(columns) == 1:
            field = columns[0]
        if field not in columns:
            raise ParameterError(
                path,
                found=f"the columns {', '.join(columns) or 'none'}",
                expected=f"a column {field!r} of strata" if field else "one column of strata",
                remedy="Name the column with --strata-field.",
            )
        zones = zones[zones[field].notna() & zones.geometry.notna()]
        number, names = pandas.factorize(zones[field].astype(str), sort=True)
        self._map, self.names = classified, tuple(names)
        self._numbers = number
        self._parts = np.asarray(zones.geometry.to_crs(classified.crs), dtype=object)
        self._tree = shapely.STRtree(self._parts)

    def positions(self, window: Window) -> NDArray[np.int32]:
        box = shapely.box(*bounds(window, self._map.transform))
        here = np.sort(self._tree.query(box, predicate="intersects"))
        shape = window.height, window.width
        if not len(here):
            return np.full(shape, NOWHERE, np.int32)
        found = rasterize(
            [(self._parts[i], int(self._numbers[i])) for i in here],
            out_shape=shape,
            transform=transform(window, self._map.transform),
            fill=NOWHERE,
            dtype="int32",
        )
        mapped = self._map.positions(window) != NOWHERE
        return np.where(mapped, found, NOWHERE).astype(np.int32)
