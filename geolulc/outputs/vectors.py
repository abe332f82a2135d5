"""map.gpkg, or a file for each layer: ``classes``, ``cells`` and ``summary`` with their styles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas
import rasterio
from rasterio.windows import Window

from geolulc.maps.header import MapBlock, MapHeader
from geolulc.maps.tally import ClassSummary
from geolulc.outputs.geopackage_styles import embed_styles
from geolulc.outputs.layer_files import write_layer
from geolulc.outputs.legends import class_entries
from geolulc.outputs.minimum_area import CoarseMap, coarse_map, hectares_of
from geolulc.outputs.qgis_styles import Entry, categorized_style, table_style
from geolulc.outputs.region_merging import NO_REGIONS, RegionPolygons
from geolulc.outputs.regions import region_polygons
from geolulc.outputs.tables import cell_table, class_column, region_table, summary_table

#: Polygons written at a time.
_AT_ONCE: Final = 20_000

_TITLES: Final = {
    "code": "Code",
    "name": "Class",
    "color": "Colour",
    "row": "Row",
    "column": "Column",
    "cells": "Cells",
    "area_ha": "Area on the ground (ha)",
    "share": "Share of the mapped area",
    "expected_area_ha": "Expected area (ha)",
    "mean_probability": "Mean {value}",
    "dominant_probability": "Mean {value} where {first}",
    "present_cells": "Cells where present",
    "probability": "{value} of the {first} class",
    "labels": "Classes present",
    "entropy": "Entropy (0 {certain}; see MEANING in map_uncertainty.tif)",
    "margin": "Margin to the second class",
    "valid_share": "Valid share",
    "clear_share": "Clear share",
}
_DESCRIPTIONS: Final = {
    "classes": "Regions of one {first} class; areas are hectares on the ground",
    "cells": "Every cell with the {values} of all classes; code 0 = no data",
    "summary": "A row for each class; areas are hectares on the ground",
}


@dataclass(frozen=True)
class VectorSources:
    """The rasters that polygons are made from, on the map's grid.

    Attributes:
        classes: uint8, the code of the most probable class; 0 = no data.
        confidence: the probability of that class: uint8 in steps of 1/250, 255 = no data, or
            float32, NaN = no data.
        cells: float32, the probabilities of all classes, then the valid and the clear share, NaN
            where unknown; None where cells get no polygons.
    """

    classes: Path
    confidence: Path
    cells: Path | None = None


def write_vectors(
    targets: Mapping[str, Path],
    header: MapHeader,
    sources: VectorSources,
    summaries: Sequence[ClassSummary],
    tags: Mapping[str, str],
    *,
    min_area: float,
    max_polygons: int,
) -> None:
    """Write the layers ``classes``, ``cells`` (if ``sources`` has them) and ``summary``.

    The map can have any size: codes are read sheet by sheet and block by block, and polygons are
    written as they become whole.

    Args:
        targets: the vector parts of ``files``, new files in one folder; a single .gpkg holds all
            layers, otherwise the ending of each path gives its format.
        header: the map.
        sources: its cells.
        summaries: its classes.
        tags: metadata of the layers.
        min_area: hectares of the smallest region; smaller ones go to their neighbours, and
            outlines are simplified. 0: each cell stays.
        max_polygons: if there are more regions, ``min_area`` is raised.
    """
    path = targets["vectors"]
    with coarse_map(
        header, sources.classes, path.parent, min_area=min_area, most=max_polygons
    ) as coarse:
        if header.exclusive or coarse.unit > 1:
            tags = {**tags, "MIN_AREA_HA": f"{hectares_of(header.grid, coarse.unit):g}"}
        tables = _region_tables(header, coarse, sources.confidence)
        styles = {"classes": _write_layer(targets, "classes", tables, header, tags)}
    if sources.cells is not None:
        tables = _cell_tables(header, sources.cells)
        styles["cells"] = _write_layer(targets, "cells", tables, header, tags)
    summary = summary_table(summaries)
    styles["summary"] = layer_style("summary", summary, header)
    if path.suffix == ".gpkg":
        _append_layer(path, "summary", summary, header, tags)
        embed_styles(path, styles)
    else:
        write_layer(summary, targets["vectors.summary"])


def _region_tables(header: MapHeader, coarse: CoarseMap, confidence: Path) -> Iterator[Any]:
    """The layer ``classes``, some thousand rows at a time; the first table may be empty."""
    waiting = [NO_REGIONS]
    yield region_table(header, NO_REGIONS)
    for regions in region_polygons(header, coarse.classes, confidence, simplify=coarse.unit > 1):
        waiting.append(regions[coarse.largest.kept(regions.cells, regions.area_ha)])
        if sum(map(len, waiting)) >= _AT_ONCE:
            yield region_table(header, RegionPolygons.concatenated(waiting))
            waiting = [NO_REGIONS]
    yield region_table(header, RegionPolygons.concatenated(waiting))
    coarse.largest.warn()


def _cell_tables(header: MapHeader, cells: Path) -> Iterator[Any]:
    """The layer ``cells``, row by row, some thousand cells at a time."""
    rows, columns = header.grid.shape
    with rasterio.open(cells) as dataset:
        step = max(1, _AT_ONCE // columns)
        windows = [Window(0, row, columns, min(step, rows - row)) for row in range(0, rows, step)]
        # in all tables or in none: they are rows of one layer
        knows_clear = any(
            np.isfinite(dataset.read(dataset.count, window=window)).any() for window in windows
        )
        for window in windows:
            *shares, valid, clear = dataset.read(window=window)
            clear = clear if knows_clear else None
            yield cell_table(header, MapBlock(window.row_off, 0, np.stack(shares), valid, clear))


def _write_layer(
    targets: Mapping[str, Path],
    name: str,
    tables: Iterable[Any],
    header: MapHeader,
    tags: Mapping[str, str],
) -> str:
    """Write a layer with its style; returns the text of the style."""
    path, style = targets["vectors"], ""
    gathered = []
    for table in tables:
        style = style or layer_style(name, table, header)
        if path.suffix == ".gpkg":
            _append_layer(path, name, table, header, tags)
        else:
            gathered.append(table)
    if path.suffix != ".gpkg":
        part = "vectors" if name == "classes" else f"vectors.{name}"
        whole = pandas.concat(gathered, ignore_index=True)
        write_layer(whole, targets[part], geometry_type="Polygon", tags=tags)
        targets[f"{part}.style"].write_text(style, encoding="utf-8")
    return style


def _append_layer(
    path: Path, name: str, table: Any, header: MapHeader, tags: Mapping[str, str]
) -> None:
    """Add the rows of ``table`` to the layer ``name`` of a GeoPackage; both can be new."""
    write_layer(
        table,
        path,
        layer=name,
        geometry_type="Polygon" if "geometry" in table else None,
        layer_options={"IDENTIFIER": name, "DESCRIPTION": _worded(_DESCRIPTIONS[name], header)},
        tags=tags,
    )


def _worded(text: str, header: MapHeader) -> str:
    """A text of a table above, with the words of the map's unit."""
    unit = header.unit
    words = text.format(**asdict(unit))
    return words[0].upper() + words[1:]


def layer_style(name: str, table: Any, header: MapHeader) -> str:
    """The QGIS style of a layer with the columns of ``table``."""
    classes = header.land_cover
    titles = {k: _worded(v, header) for k, v in _TITLES.items()}
    titles |= {class_column("p_", c): c.name for c in classes}
    aliases = {c: titles[c] for c in table.columns if c != "geometry"}
    if name == "summary":
        return table_style(aliases)
    entries = class_entries(classes)
    if name == "cells":
        return categorized_style([*entries, Entry(0, "No data", "")], "code", aliases)
    return categorized_style(entries, "code", aliases, outline="#5a5a5a")
