"""Styles inside a GeoPackage: QGIS's table ``layer_styles``."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# as QGIS creates it; it looks a style up by the empty schema and the real geometry column
_TABLE: Final = """
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256),
  f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)
"""


def embed_styles(path: Path, styles: Mapping[str, str]) -> None:
    """Put a style for each layer (layer → .qml text) into the GeoPackage at ``path``.

    Every layer should get one: QGIS gives a layer without the .qml that lies beside the file.
    """
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        columns = dict(
            database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns")
        )
        database.execute(_TABLE)
        database.executemany(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name,"
            " f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, owner)"
            " VALUES ('', '', ?, ?, ?, ?, '', 1, 'written by geolulc', '')",
            [(layer, columns.get(layer, ""), layer, qml) for layer, qml in styles.items()],
        )
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description)"
            " VALUES ('layer_styles', 'attributes', 'layer_styles', 'QGIS styles of the layers')"
        )
