"""map.gpkg of a map at pixel precision: regions of a minimum size, simplified, and a summary."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.nomenclature import NO_CLASS
from geolulc.outputs.cells import ClassSummary
from geolulc.outputs.geopackage_styles import embed_styles
from geolulc.outputs.pixel_areas import pixel_areas, pixels_per_square
from geolulc.outputs.pixel_polygons import region_polygons
from geolulc.outputs.pixel_reading import windows
from geolulc.outputs.pixel_regions import Regions, find_regions
from geolulc.outputs.pixel_sample import cell_header
from geolulc.outputs.pixel_sieve import sieve, unit_pixels
from geolulc.outputs.pixel_tallies import pixel_classes
from geolulc.outputs.tables import summary_table
from geolulc.outputs.vectors import append_layer, layer_style, write_layer
from geolulc.pixel_map import FULL, PixelGrid, PixelMapHeader

_LOG: Final = logging.getLogger(__name__)
#: Polygons written at a time.
_CHUNK: Final = 20_000
_SQUARE_METRES_PER_HECTARE: Final = 10_000


@dataclass(frozen=True)
class RegionLimits:
    """What regions become polygons: of ``min_area`` hectares at least, at most ``most``."""

    min_area: float
    most: int


@dataclass(frozen=True)
class _Layer:
    """The regions of a map that become polygons.

    Attributes:
        header: the map.
        regions: its regions, those without data too.
        hectares: float64 (region,): area on the ground.
        confidence: float64 (region,): mean probability of the class of each pixel.
        kept: bool (region,): whether it becomes a polygon.
    """

    header: PixelMapHeader
    regions: Regions
    hectares: NDArray[np.float64]
    confidence: NDArray[np.float64]
    kept: NDArray[np.bool_]

    def table(self, index: NDArray[np.intp], polygons: NDArray[Any]) -> Any:
        """GeoDataFrame of regions with their polygons, as a layer of a map of cells has it."""
        names = np.full(256, "", dtype=object)
        for c in pixel_classes(self.header):
            names[c.code] = c.name
        grid = self.header.grid
        return geopandas.GeoDataFrame(
            {
                "code": self.regions.code[index].astype(np.int32),
                "name": names[self.regions.code[index]],
                "area_ha": self.hectares[index],
                "mean_probability": self.confidence[index],
                "cells": self.regions.pixels[index].astype(np.int32),
            },
            geometry=shapely.transform(polygons, lambda xy: _placed(grid, xy)),
            crs=grid.tile.crs,
        )


def _placed(grid: PixelGrid, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    t = grid.transform
    return np.asarray(corners * np.array([t.a, t.e]) + np.array([t.c, t.f]), np.float64)


def write_pixel_vectors(
    paths: Mapping[str, Path],
    header: PixelMapHeader,
    summaries: Sequence[ClassSummary],
    limits: RegionLimits,
    tags: Mapping[str, str],
    *,
    sheet: int | None = None,
) -> None:
    """Write the layers ``classes`` and ``summary``.

    The classes are held whole (a byte a pixel) while regions below the minimum go to their
    neighbours, so that no seam cuts them; polygons are made and written block by block.
    With ``sheet`` all this is done sheet by sheet, and regions are cut where sheets meet.

    Args:
        paths: the vector parts of ``pixel_files.plan_pixel_outputs``, and the rasters ``classes``
            and ``confidence``, which are read.
        header: the map.
        summaries: its classes, from all pixels.
        limits: what regions become polygons; of each sheet.
        tags: metadata of the layers.
        sheet: pixels along a sheet; None for one that is the whole map.
    """
    target = paths["vectors"]
    path = target if target.suffix == ".gpkg" else target.with_name(f".{target.stem}.gpkg")
    largest = 0
    for window in windows(header.grid.shape, sheet or max(header.grid.shape)):
        layer, unit = _read_layer(paths, header, window, limits)
        # what the layer says in the end is what is written last
        largest = max(largest, unit)
        tags = {**tags, "MIN_AREA_HA": f"{_hectares(header.grid, largest):g}"}
        nothing = layer.table(np.zeros(0, np.intp), np.zeros(0, dtype=object))
        append_layer(path, "classes", nothing, tags)
        for index, polygons in _chunks(layer, simplify=unit > 1):
            append_layer(path, "classes", layer.table(index, polygons), tags)
        del layer  # before the next sheet's
    summary = summary_table(summaries)
    named = cell_header(header)
    styles = {
        "classes": layer_style("classes", nothing, named),
        "summary": layer_style("summary", summary, named),
    }
    if path == target:
        append_layer(path, "summary", summary, tags)
        embed_styles(path, styles)
        return
    write_layer(target, geopandas.GeoDataFrame(pyogrio.read_dataframe(path, layer="classes")), tags)
    path.unlink()
    paths["vectors.style"].write_text(styles["classes"], encoding="utf-8")
    summary.to_csv(paths["vectors.summary"], index=False)


def _read_layer(
    paths: Mapping[str, Path], header: PixelMapHeader, window: Window, limits: RegionLimits
) -> tuple[_Layer, int]:
    """The regions of a window, and the pixels that the smallest of them has."""
    with rasterio.open(paths["classes"]) as dataset:
        codes = dataset.read(1, window=window)
    whole, size = header.grid, header.grid.resolution
    grid = replace(
        whole,
        top=whole.top + window.row_off * size,
        left=whole.left + window.col_off * size,
        height=window.height * size,
        width=window.width * size,
    )
    regions, unit = _bounded_regions(codes, grid, limits)
    part = replace(header, grid=grid)
    return _measured(part, regions, paths["confidence"], window, limits.most), unit


def _bounded_regions(
    codes: NDArray[np.uint8], grid: PixelGrid, limits: RegionLimits
) -> tuple[Regions, int]:
    """Regions of the minimum area, which is raised until they are few enough; and its pixels."""
    wanted = unit_pixels(grid, limits.min_area)
    unit, done = wanted, 1
    while True:
        sieve(codes, unit, done)
        regions = find_regions(codes)
        # smaller ones are islands in nodata: a larger minimum would not make them fewer
        whole = (regions.code != NO_CLASS) & (regions.pixels >= unit)
        if int(whole.sum()) <= limits.most or unit >= codes.size:
            break
        unit, done = 2 * unit, unit
    if unit > wanted:
        _LOG.warning(
            "regions of %g ha would be more than %d polygons: the smallest have %g ha",
            limits.min_area,
            limits.most,
            _hectares(grid, unit),
        )
    return regions, unit


def _hectares(grid: PixelGrid, pixels: int) -> float:
    return pixels * grid.resolution**2 / _SQUARE_METRES_PER_HECTARE


def _measured(
    header: PixelMapHeader, regions: Regions, confidence: Path, window: Window, most: int
) -> _Layer:
    count = len(regions.code)
    hectares, certain = np.zeros(count), np.zeros(count)
    rows, columns = header.grid.shape
    areas, along = pixel_areas(header.grid), pixels_per_square(header.grid)
    with rasterio.open(confidence) as dataset:
        for top in range(0, rows, along):
            bottom = min(top + along, rows)
            pieces = regions.pieces(slice(top, bottom), along)
            place = Window(window.col_off, window.row_off + top, columns, bottom - top)
            p = dataset.read(1, window=place).ravel()
            area = areas[top // along][pieces.first % columns // along]
            sums = np.add.reduceat(p, pieces.first, dtype=np.int64)
            for total, weights in ((hectares, area * pieces.pixels), (certain, area * sums)):
                total += np.bincount(pieces.of_piece, weights=weights, minlength=count)
    kept = _kept(regions, hectares, most)
    return _Layer(header, regions, hectares, certain / FULL / hectares, kept)


def _kept(regions: Regions, hectares: NDArray[np.float64], most: int) -> NDArray[np.bool_]:
    """bool (region,): those with a class; if too many even now, the largest of them."""
    kept = np.asarray(regions.code != NO_CLASS, np.bool_)
    left_out = int(kept.sum()) - most
    if left_out > 0:
        # islands in nodata have no neighbour to go to
        order = np.argsort(np.where(kept, regions.pixels, 0), kind="stable")
        lost = kept.copy()
        kept[order[:-most]] = False
        lost &= ~kept
        _LOG.warning(
            "the %d smallest regions (%.4g ha in all) left out: islands in nodata",
            left_out,
            float(hectares[lost].sum()),
        )
    return kept


def _chunks(layer: _Layer, *, simplify: bool) -> Iterator[tuple[NDArray[np.intp], NDArray[Any]]]:
    """The kept regions with their polygons, some thousands at a time."""
    waiting: list[tuple[NDArray[np.intp], NDArray[Any]]] = []
    held = 0
    for found in region_polygons(layer.regions, simplify=simplify):
        inside = layer.kept[found.regions]
        waiting.append((found.regions[inside], found.polygons[inside]))
        held += int(inside.sum())
        if held >= _CHUNK:
            yield np.concatenate([i for i, _ in waiting]), np.concatenate([p for _, p in waiting])
            waiting, held = [], 0
    if held:
        yield np.concatenate([i for i, _ in waiting]), np.concatenate([p for _, p in waiting])
