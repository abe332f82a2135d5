"""The mosaic's GeoPackage, sheet by sheet.

Regions are dissolved within sheets of 1,024 × 1,024 cells, so that memory is that of one sheet;
in a larger mosaic a region is cut where sheets meet. A mosaic of one sheet has the same regions
as the map of a scene.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from rasterio.windows import Window

from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.mosaics.blocks import MosaicBlock
from geolulc.mosaics.rasters import SCRATCH
from geolulc.mosaics.reach import part_of
from geolulc.outputs.cells import ClassSummary
from geolulc.outputs.geopackage_styles import embed_styles
from geolulc.outputs.tables import cell_table, class_polygons, summary_table
from geolulc.outputs.vectors import append_layer, layer_style

#: Cells along a sheet: a tile at 120 m is one.
SHEET: Final = 1024


class CellStore:
    """All cells of a mosaic in a file: probabilities, valid and clear share, float32."""

    def __init__(self, path: Path, header: MapHeader) -> None:
        self._path, self._header = path, header
        rows, columns = header.grid.shape
        self._dataset = rasterio.open(
            path,
            "w+",
            **SCRATCH,
            width=columns,
            height=rows,
            count=len(header.classes) + 2,
            dtype="float32",
            nodata=float("nan"),
            crs=header.grid.tile.crs,
            transform=header.grid.transform,
        )

    def write(self, block: MosaicBlock) -> None:
        """Keep the block's cells."""
        made = block.landcover_map
        clear = np.full_like(made.valid, np.nan) if made.clear is None else made.clear
        values = np.concatenate([made.probabilities, made.valid[None], clear[None]])
        rows, columns = made.grid.shape
        self._dataset.write(values, window=Window(block.column, block.row, columns, rows))

    def read(self, row: int, column: int) -> LandCoverMap:
        """The sheet from ``row`` and ``column`` on."""
        header = self._header
        grid = part_of(header.grid, row, column, SHEET, SHEET)
        rows, columns = grid.shape
        values = self._dataset.read(window=Window(column, row, columns, rows))
        clear = values[-1]
        return LandCoverMap(
            grid=grid,
            classes=header.classes,
            nomenclature=header.nomenclature,
            probabilities=values[:-2],
            valid=values[-2],
            clear=None if np.isnan(clear).all() else clear,
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
    rows, columns = header.grid.shape
    for row in range(0, rows, SHEET):
        for column in range(0, columns, SHEET):
            sheet = store.read(row, column)
            for name, table in _tables(sheet, row, column, cells=cells):
                # an empty sheet adds nothing, but the layer is to be there
                if len(table) or name not in styles:
                    append_layer(path, name, table, tags)
                styles.setdefault(name, layer_style(name, table, header))
    summary = summary_table(summaries)
    append_layer(path, "summary", summary, tags)
    styles["summary"] = layer_style("summary", summary, header)
    embed_styles(path, styles)


def _tables(
    sheet: LandCoverMap, row: int, column: int, *, cells: bool
) -> Sequence[tuple[str, Any]]:
    tables = [("classes", class_polygons(sheet))]
    if cells:
        table = cell_table(sheet)
        table["row"] += row
        table["column"] += column
        tables.append(("cells", table))
    return tables
