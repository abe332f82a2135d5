"""Land cover by zone straight from a map of pixels, window by window."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.outputs.pixel_areas import area_rows
from geolulc.outputs.pixel_reading import PixelMap, opened_pixels, windows
from geolulc.outputs.pixel_sample import cell_header
from geolulc.outputs.pixel_tallies import pixel_classes
from geolulc.outputs.rasters import raster_memory
from geolulc.outputs.tables import class_column
from geolulc.outputs.zones import (
    Placement,
    Progress,
    area_columns,
    ground_areas,
    require_polygons,
    zone_status,
    zone_table,
)
from geolulc.pixel_map import FULL


def summarize_pixels(path: Path, zones: Any, *, progress: Progress | None = None) -> Any:
    """Area of every class in every zone. Pixels are split at borders by area (exactextract).

    Windows of the raster are read once, from top to bottom: memory does not grow with the map.

    Args:
        path: the map.tif of a map of pixels.
        zones: GeoDataFrame of polygons or multipolygons, in any CRS.
        progress: called with (done, total) zones, as far as the map has been read.

    Returns:
        The zones with the columns ``status``, ``zone_ha``, ``mapped_ha``, ``mapped_share``,
        ``dominant`` and ``ha_…`` of ``zones.summarize_zones``, and

        - ``share_…`` for each class: its share of ``mapped_ha``, NaN without any;
        - ``mean_probability`` of the pixels' classes, where map_confidence.tif lies beside.

    Raises:
        OutputError: ``path`` is not the map.tif of a map of pixels.
        ParameterError: the zones have no CRS, or are not polygons.
    """
    require_polygons(zones)
    with ExitStack() as stack:
        stack.enter_context(raster_memory())
        made = stack.enter_context(opened_pixels(Path(path)))
        beside = Path(path).with_name(f"{Path(path).stem}_confidence.tif")
        confidence = _confidence(stack, beside, made)
        placement = Placement(zones.crs, cell_header(made.header).grid.tile)
        parts = np.array([placement.of(zone) for zone in zones.geometry] or [], dtype=object)
        sums = _Sums(made, parts)
        places = list(windows(made.header.grid.shape))
        for i, window in enumerate(places, start=1):
            sums.add(window, confidence)
            if progress is not None:
                progress(len(zones) * i // len(places), len(zones))
        whole = ground_areas(zones)
        status = [
            zone_status(zone, part, area, total)
            for zone, part, area, total in zip(
                zones.geometry, parts, sums.areas.sum(axis=1), whole, strict=True
            )
        ]
        classes = pixel_classes(made.header)
        columns: dict[str, Any] = {"status": status, **area_columns(classes, whole, sums.areas)}
        mapped = columns["mapped_ha"]
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = sums.areas / mapped[:, None]
            certain = sums.certain / FULL / mapped
        columns |= {class_column("share_", c): shares[:, i] for i, c in enumerate(classes)}
        if confidence is not None:
            columns["mean_probability"] = certain
        return zone_table(zones, columns, made.tags)


def _confidence(stack: ExitStack, path: Path, made: PixelMap) -> Any:
    """The open map_confidence.tif; None where there is none of this map."""
    if not path.is_file():
        return None
    dataset = stack.enter_context(rasterio.open(path))
    same = dataset.shape == made.dataset.shape and dataset.transform == made.dataset.transform
    kept = ("GEOLULC_FILES", "MAPPED_AREA_HA", "MODEL_SHA256", "SCENE_NAME")
    tags = dataset.tags()
    return dataset if same and all(tags.get(k) == made.tags.get(k) for k in kept) else None


class _Sums:
    """Hectares of each class in each zone, and of probability × area."""

    def __init__(self, made: PixelMap, parts: NDArray[Any]) -> None:
        """``parts``: the zones' parts on the map, polygons in its CRS."""
        self._made, self._parts = made, parts
        classes = pixel_classes(made.header)
        self.areas = np.zeros((len(parts), len(classes)))
        self.certain = np.zeros(len(parts))
        self._tree = shapely.STRtree(parts)
        self._index = np.full(256, -1, np.intp)
        self._index[[c.code for c in classes]] = range(len(classes))
        shapely.prepare(parts)

    def add(self, window: Window, confidence: Any) -> None:
        """Count the pixels of a window."""
        grid = self._made.header.grid
        box = shapely.box(*rasterio.windows.bounds(window, grid.transform))
        here = np.sort(self._tree.query(box, predicate="intersects"))
        if not len(here):
            return
        index = self._index[self._made.dataset.read(1, window=window)].ravel()
        columns = slice(window.col_off, window.col_off + window.width)
        areas = area_rows(grid, window.row_off, window.height, columns).ravel()
        p = None if confidence is None else confidence.read(1, window=window).ravel()
        raster = NumPyRasterSource(np.zeros((window.height, window.width), np.uint8), *box.bounds)
        for zone in here:
            part = self._parts[zone]
            if shapely.contains_properly(part, box):
                self._count(zone, index, areas, p)
                continue
            inside = shapely.intersection(part, box)
            if not shapely.area(inside):
                continue
            feature = {"type": "Feature", "geometry": shapely.geometry.mapping(inside)}
            (found,) = exact_extract(raster, [feature], ["cell_id", "coverage"])
            cells = np.asarray(found["properties"]["cell_id"], np.intp)
            covered = np.asarray(found["properties"]["coverage"], np.float64) * areas[cells]
            self._count(zone, index[cells], covered, None if p is None else p[cells])

    def _count(
        self,
        zone: int,
        index: NDArray[np.intp],
        areas: NDArray[np.float64],
        p: NDArray[np.uint8] | None,
    ) -> None:
        mapped = index >= 0
        index, areas = index[mapped], areas[mapped]
        self.areas[zone] += np.bincount(index, weights=areas, minlength=self.areas.shape[1])
        if p is not None:
            self.certain[zone] += float(areas @ p[mapped])
