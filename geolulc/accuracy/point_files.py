"""Sample points as files that people fill in: GeoPackage for QGIS, GeoJSON, KML or CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import pandas
import shapely

from geolulc import __version__
from geolulc.accuracy.classified import ClassifiedMap
from geolulc.accuracy.columns import (
    ALTERNATIVE,
    CLUSTER,
    DESIGN,
    HECTARES,
    LATITUDE,
    LONGITUDE,
    MAP_CLASS,
    POINT,
    POINTS,
    PRESENT,
    PROBABILITY,
    REFERENCE,
    REMARK,
    STORED,
    STRATUM,
    UNITS,
    Kind,
)
from geolulc.accuracy.drawing import Drawn, Frame
from geolulc.outputs.geopackage_styles import embed_styles
from geolulc.outputs.layer_files import write_layer
from geolulc.outputs.qgis_styles import Entry, categorized_style
from geolulc.outputs.tables import class_column
from geolulc.outputs.templates import fill

#: Layer of the outlines of pixels or cells that belong to the points.
OUTLINES: Final = "outlines"
#: Endings of files of points.
ENDINGS: Final = (".gpkg", ".geojson", ".kml", ".csv")
#: NULL in a value list of QGIS (QgsValueMapFieldFormatter::NULL_VALUE).
_NULL: Final = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
#: A GeoPackage's own number of a feature.
_NUMBER: Final = "fid"
_TITLES: Final = {
    POINT: "Point",
    REFERENCE: "True class",
    ALTERNATIVE: "Second class that is right too",
    REMARK: "Remark",
}


def point_table(
    classified: ClassifiedMap,
    frame: Frame,
    drawn: Drawn,
    kind: Kind,
    map_classes: Sequence[str],
    order: Any,
) -> Any:
    """GeoDataFrame of the points in the given order, in the map's CRS, ready to be filled in.

    Columns are those of ``columns``; of maps of cells, ``is_…`` for each class in place of a
    second class.
    """
    stratum = drawn.stratum
    x, y = classified.transform @ (drawn.column + 0.5, drawn.row + 0.5)
    count = len(stratum)
    texts = pandas.Series([None] * count, dtype="object")
    table: dict[str, Any] = {POINT: np.arange(1, count + 1, dtype=np.int32), REFERENCE: texts}
    if classified.several:
        for land_cover in classified.classes:
            table[class_column(PRESENT, land_cover)] = pandas.array([None] * count, dtype="boolean")
    else:
        table[ALTERNATIVE] = texts
    table[REMARK] = texts
    cluster = np.full(count, -1) if drawn.cluster is None else drawn.cluster
    table |= {
        MAP_CLASS: np.array(map_classes, dtype=object)[order],
        DESIGN: [kind] * count,
        STRATUM: np.array(frame.names, dtype=object)[stratum[order]],
        CLUSTER: (cluster[order] + 1).astype(np.int32),
        UNITS: frame.totals.pixels[stratum[order]].astype(np.int64),
        HECTARES: frame.totals.hectares[stratum[order]],
        PROBABILITY: drawn.probability[order],
    }
    places = geopandas.points_from_xy(x[order], y[order])
    return geopandas.GeoDataFrame(table, geometry=places, crs=classified.crs)


def write_points(
    path: Path,
    table: Any,
    classified: ClassifiedMap,
    drawn: Drawn,
    order: Any,
    design: Mapping[str, Any],
) -> None:
    """Write the points as the ending of ``path`` says; a GeoPackage has outlines and styles too."""
    ending = path.suffix.lower()
    if ending == ".gpkg":
        _write_geopackage(path, table, classified, drawn, order, design)
        return
    degrees = table.to_crs(4326)
    if ending == ".csv":
        places = {LONGITUDE: degrees.geometry.x, LATITUDE: degrees.geometry.y}
        write_layer(table.drop(columns="geometry").assign(**places), path)
        return
    said = {"DESCRIPTION": f"written by geolulc {__version__}"}
    write_layer(degrees, path, layer=POINTS, layer_options=said)


def _write_geopackage(
    path: Path,
    table: Any,
    classified: ClassifiedMap,
    drawn: Drawn,
    order: Any,
    design: Mapping[str, Any],
) -> None:
    own = {"GEOLULC_VERSION": __version__}
    metadata = {**own, "GEOLULC_SAMPLE": json.dumps(design, ensure_ascii=False)}
    description = f"Sample points of {classified.path.name}: fill in {REFERENCE}"
    write_layer(
        table,
        path,
        layer=POINTS,
        geometry_type="Point",
        layer_options={"IDENTIFIER": POINTS, "DESCRIPTION": description},
        tags=metadata,
    )
    outlines = geopandas.GeoDataFrame(
        {POINT: table[POINT], "shown": np.ones(len(table), np.int32)},
        geometry=_outlines(classified, drawn)[order],
        crs=table.crs,
    )
    write_layer(outlines, path, layer=OUTLINES, tags=own)
    outline = [Entry(1, f"The {classified.unit} of a point", "")]
    styles = {
        POINTS: point_style(table, classified),
        OUTLINES: categorized_style(
            outline, "shown", {POINT: "Point", "shown": "Shown"}, outline="#ffd400"
        ),
    }
    embed_styles(path, styles)


def point_style(table: Any, classified: ClassifiedMap) -> str:
    """The QGIS style of a layer of points with the columns of ``table``."""
    present = {class_column(PRESENT, c): c.name for c in classified.classes}
    ticked = " OR ".join(f'coalesce("{name}", false)' for name in present if name in table)
    filled = ticked or f'"{REFERENCE}" IS NOT NULL'
    columns = []
    for name in (_NUMBER, *table.columns):
        if name == "geometry":
            continue
        hidden = name in (_NUMBER, MAP_CLASS, *STORED) or (ticked and name == REFERENCE)
        widget = "Hidden" if hidden else "TextEdit"
        if name in (REFERENCE, ALTERNATIVE) and not ticked:
            widget = "ValueMap"
        elif name in present:
            widget = "CheckBox"
        title = present.get(name, _TITLES.get(name, name))
        editable = not hidden and name != POINT
        columns.append({"name": name, "widget": widget, "title": title, "editable": editable})
    # a ring: the ground at the point is what people have to see
    ring = {
        "name": "circle",
        "size": "4",
        "size_unit": "MM",
        "color": "0,0,0,0",
        "outline_width": "0.8",
        "outline_width_unit": "MM",
        "outline_style": "solid",
    }
    symbols = [
        {"filter": condition, "label": label, "settings": {**ring, "outline_color": color}}
        for condition, label, color in (
            (f"NOT ({filled})", "To be filled in", "255,140,0,255"),
            (filled, "Filled in", "60,220,100,255"),
        )
    ]
    return fill(
        "points.qml",
        room="accuracy",
        symbols=symbols,
        columns=columns,
        classes=classified.names,
        null=_NULL,
    )


def _outlines(classified: ClassifiedMap, drawn: Drawn) -> Any:
    """Polygons of the pixels that were drawn."""
    corners = [
        np.stack(classified.transform @ (drawn.column + c, drawn.row + r), axis=-1)
        for c, r in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    return shapely.polygons(np.stack(corners, axis=1))
