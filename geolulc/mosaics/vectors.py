"""The mosaic's GeoPackage, sheet by sheet: sheets are 1,024 × 1,024 cells, regions are whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from rasterio.windows import Window

from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.mosaics.blocks import MosaicBlock
from geolulc.mosaics.rasters import SCRATCH
from geolulc.mosaics.reach import part_of
from geolulc.mosaics.regions import RegionMerger, Regions, Sheet
from geolulc.outputs.cells import ClassSummary, dominant_codes
from geolulc.outputs.geopackage_styles import embed_styles
from geolulc.outputs.tables import cell_table, dominant_probability, region_table, summary_table
from geolulc.outputs.vectors import append_layer, layer_style

#: Cells along a sheet: a tile at 120 m is one.
SHEET: Final = 1024


class CellStore:
    """All cells of a mosaic in a file: dominant class and its probability, float32.

    With ``cells`` also what the polygons of cells say: probabilities, valid and clear share.
    """

    def __init__(self, path: Path, header: MapHeader, *, cells: bool) -> None:
        self._path, self._header, self._cells = path, header, cells
        self._knows_clear = False
        rows, columns = header.grid.shape
        self._dataset = rasterio.open(
            path,
            "w+",
            **SCRATCH,
            width=columns,
            height=rows,
            count=2 + (len(header.classes) + 2 if cells else 0),
            dtype="float32",
            nodata=float("nan"),
            crs=header.grid.tile.crs,
            transform=header.grid.transform,
        )

    def write(self, block: MosaicBlock) -> None:
        """Keep the block's cells."""
        made = block.landcover_map
        layers = [dominant_codes(made).astype(np.float32), dominant_probability(made)]
        if self._cells:
            clear = np.full_like(made.valid, np.nan) if made.clear is None else made.clear
            self._knows_clear = self._knows_clear or made.clear is not None
            layers += [*made.probabilities, made.valid, clear]
        rows, columns = made.grid.shape
        self._dataset.write(np.stack(layers), window=Window(block.column, block.row, columns, rows))

    def read_sheet(self, row: int, column: int) -> Sheet:
        """The sheet from ``row`` and ``column`` on, as regions want it."""
        grid = part_of(self._header.grid, row, column, SHEET, SHEET)
        (high, wide), (rows, columns) = grid.shape, self._header.grid.shape
        top, bottom = max(row - 1, 0), min(row + high + 1, rows)
        left, right = max(column - 1, 0), min(column + wide + 1, columns)
        codes = self._dataset.read(1, window=Window(left, top, right - left, bottom - top))
        # blocks that no map reaches were not written: no data
        frame = np.pad(
            np.nan_to_num(codes).astype(np.uint8),
            (
                (top - row + 1, row + high + 1 - bottom),
                (left - column + 1, column + wide + 1 - right),
            ),
        )
        p = self._dataset.read(2, window=Window(column, row, wide, high))
        return Sheet(row, column, grid, frame, p)

    def read_cells(self, row: int, column: int) -> LandCoverMap:
        """The same sheet with all that is known of its cells."""
        header = self._header
        grid = part_of(header.grid, row, column, SHEET, SHEET)
        rows, columns = grid.shape
        bands = list(range(3, self._dataset.count + 1))
        values = self._dataset.read(bands, window=Window(column, row, columns, rows))
        return LandCoverMap(
            grid=grid,
            classes=header.classes,
            nomenclature=header.nomenclature,
            probabilities=values[:-2],
            valid=values[-2],
            # in all sheets or in none: they are rows of one table
            clear=values[-1] if self._knows_clear else None,
            thresholds=header.thresholds,
        )

    def close(self) -> None:
        """Remove the file."""
        self._dataset.close()
        self._path.unlink(missing_ok=True)


def write_sheets(
    path: Path,
    store: CellStore,
    header: MapHeader,
    summaries: Sequence[ClassSummary],
    tags: Mapping[str, str],
    *,
    cells: bool,
) -> None:
    """Write the layers ``classes``, ``cells`` (if asked for) and ``summary`` with their styles."""
    styles: dict[str, str] = {}
    for name, table in _tables(store, header, cells=cells):
        # an empty sheet adds nothing, but the layer is to be there
        if len(table) or name not in styles:
            append_layer(path, name, table, tags)
        styles.setdefault(name, layer_style(name, table, header))
    summary = summary_table(summaries)
    append_layer(path, "summary", summary, tags)
    styles["summary"] = layer_style("summary", summary, header)
    embed_styles(path, styles)


def _tables(store: CellStore, header: MapHeader, *, cells: bool) -> Iterator[tuple[str, Any]]:
    """Layers and rows of them."""
    rows, columns = header.grid.shape
    merger = RegionMerger(header.grid)
    for row in range(0, rows, SHEET):
        for column in range(0, columns, SHEET):
            yield "classes", _regions(header, merger.add(store.read_sheet(row, column)))
            if cells:
                table = cell_table(store.read_cells(row, column))
                table["row"] += row
                table["column"] += column
                yield "cells", table
        yield "classes", _regions(header, merger.end_row())


def _regions(header: MapHeader, regions: Regions) -> Any:
    columns = {
        "code": regions.code,
        "area_ha": regions.area_ha,
        "mean_probability": regions.mean_probability,
        "cells": regions.cells,
    }
    return region_table(header, columns, regions.polygons)
