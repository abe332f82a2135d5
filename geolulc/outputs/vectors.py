"""map.gpkg, or a file for each layer: ``classes``, ``cells`` and ``summary`` with their styles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyogrio

from geolulc.landcover_map import LandCoverMap, MapHeader
from geolulc.outputs.cells import ClassSummary, map_classes
from geolulc.outputs.geopackage_styles import embed_styles
from geolulc.outputs.legends import class_entries
from geolulc.outputs.qgis_styles import Entry, categorized_style, table_style
from geolulc.outputs.tables import cell_table, class_column, class_polygons, summary_table
from geolulc.outputs.tags import map_tags

#: QGIS 3.22 (GDAL 3.6) warns of anything newer.
_GEOPACKAGE_VERSION: Final = "1.3"

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
    "mean_probability": "Mean probability",
    "dominant_probability": "Mean probability where dominant",
    "present_cells": "Cells where present",
    "probability": "Probability of the dominant class",
    "labels": "Classes present",
    "entropy": "Entropy (0 sure, 1 unknown)",
    "margin": "Margin to the second class",
    "valid_share": "Valid share",
    "clear_share": "Clear share",
}
_DESCRIPTIONS: Final = {
    "classes": "Regions of one dominant class; areas are hectares on the ground",
    "cells": "Every cell with the probabilities of all classes; code 0 = no data",
    "summary": "A row for each class; areas are hectares on the ground",
}


def write_vectors(
    paths: Mapping[str, Path],
    landcover_map: LandCoverMap,
    summaries: Sequence[ClassSummary],
    *,
    cells: bool,
) -> None:
    """Write the layers ``classes``, ``cells`` (if asked for) and ``summary``.

    Args:
        paths: the vector parts of ``files.plan_outputs``; a single .gpkg holds all layers,
            otherwise the ending of each path says its format.
        landcover_map: the map.
        summaries: its classes.
        cells: write a polygon for each cell.
    """
    layers = {"classes": class_polygons(landcover_map)}
    if cells:
        layers["cells"] = cell_table(landcover_map)
    layers["summary"] = summary_table(summaries)
    styles = {name: layer_style(name, table, landcover_map) for name, table in layers.items()}
    path = paths["vectors"]
    if path.suffix == ".gpkg":
        _write_geopackage(path, layers, map_tags(landcover_map))
        embed_styles(path, styles)
        return
    tags = map_tags(landcover_map)
    write_layer(path, layers["classes"], tags)
    paths["vectors.style"].write_text(styles["classes"], encoding="utf-8")
    if cells:
        write_layer(paths["vectors.cells"], layers["cells"], tags)
        paths["vectors.cells.style"].write_text(styles["cells"], encoding="utf-8")
    layers["summary"].to_csv(paths["vectors.summary"], index=False)


def _write_geopackage(path: Path, layers: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    for name, table in layers.items():
        append_layer(path, name, table, tags)


def append_layer(path: Path, name: str, table: Any, tags: Mapping[str, str]) -> None:
    """Add the rows of ``table`` to the layer ``name`` of a GeoPackage; both can be new."""
    pyogrio.write_dataframe(
        table,
        path,
        layer=name,
        driver="GPKG",
        append=path.exists(),
        geometry_type="Polygon" if "geometry" in table else None,
        dataset_options=None if path.exists() else {"VERSION": _GEOPACKAGE_VERSION},
        layer_options={"IDENTIFIER": name, "DESCRIPTION": _DESCRIPTIONS[name]},
        layer_metadata=dict(tags),
    )


def write_layer(path: Path, table: Any, tags: Mapping[str, str]) -> None:
    if path.suffix == ".parquet":
        table.attrs = dict(tags)  # geopandas keeps them in the file's metadata
        table.to_parquet(path, index=False)
    else:
        pyogrio.write_dataframe(
            table, path, driver="FlatGeobuf", geometry_type="Polygon", layer_metadata=dict(tags)
        )


def layer_style(name: str, table: Any, landcover_map: LandCoverMap | MapHeader) -> str:
    """The QGIS style of a layer with the columns of ``table``."""
    classes = map_classes(landcover_map)
    titles = _TITLES | {class_column("p_", c): c.name for c in classes}
    aliases = {c: titles[c] for c in table.columns if c != "geometry"}
    if name == "summary":
        return table_style(aliases)
    entries = class_entries(classes)
    if name == "cells":
        return categorized_style([*entries, Entry(0, "No data", "")], "code", aliases)
    return categorized_style(entries, "code", aliases, outline="#5a5a5a")
