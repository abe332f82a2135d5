"""Zones from any vector file, and summarised zones into one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import geopandas
import pandas

from geolulc.analysis.zone_columns import distinct_names, plain_values
from geolulc.errors import OutputError
from geolulc.outputs.layer_files import write_layer
from geolulc.polygons.reading import read_layers
from geolulc.staging import staged

#: Endings of files of zones.
ENDINGS: Final = (".gpkg", ".csv", ".parquet", ".fgb")
#: SQLite's limit less the geometry and the number of a feature.
_MOST_COLUMNS: Final = 1998


def read_zones(path: Path, layer: str | None = None) -> Any:
    """GeoDataFrame of a file's ``layer``; ``ParameterError`` if it has none or several."""
    (frame,) = read_layers(path, f"zones {path}", layer=layer, single=True).values()
    return frame


def write_zones(zones: Any, out: Path, *, overwrite: int = 0) -> None:
    """Write a GeoDataFrame as its ending says: .gpkg (layer "zones"), .parquet, .fgb or .csv.

    Names and values of columns stay as they are where the format can hold them. In every format
    lists and objects become text of JSON; in a GeoPackage, of names that differ in upper and lower
    case only, all but the first get a number appended.

    Raises:
        OutputError: ``out`` exists (without ``overwrite``) or cannot be written, or its format
            cannot hold the columns.
    """
    ending = out.suffix.lower()
    own = zones.drop(columns=zones.geometry.name)
    names = distinct_names(own.columns, any_case=ending == ".gpkg")
    if ending == ".gpkg" and len(names) > _MOST_COLUMNS:
        raise OutputError(
            out,
            found=f"{len(names):,} columns",
            expected=f"at most {_MOST_COLUMNS:,} in a GeoPackage",
            remedy="Write .parquet, .fgb or .csv, or leave columns of the zones out.",
        )
    columns = {name: plain_values(own.iloc[:, i]) for i, name in enumerate(names)}
    table = pandas.DataFrame(columns, index=own.index)
    with staged([out], overwrite=overwrite) as (temporary,):
        if ending == ".csv":
            write_layer(table, temporary)
            return
        (geometry,) = distinct_names(["geometry"], names, any_case=True)
        frame = geopandas.GeoDataFrame(
            table.assign(**{geometry: zones.geometry.to_numpy()}), geometry=geometry, crs=zones.crs
        )
        missing = bool(zones.geometry.isna().any())
        write_layer(
            frame,
            temporary,
            layer="zones" if ending == ".gpkg" else None,
            promote_to_multi=True,
            layer_options=_layer_options(ending, names, missing=missing),
            tags=zones.attrs,
        )


def _layer_options(ending: str, names: Sequence[str], *, missing: bool) -> dict[str, str]:
    """Options of a layer whose columns have these ``names``, with or without missing geometries."""
    if ending == ".fgb":  # its index holds no zone without geometry
        return {"SPATIAL_INDEX": "NO"} if missing else {}
    fid, geometry = (distinct_names([n], names, any_case=True)[0] for n in ("fid", "geom"))
    return {"FID": fid, "GEOMETRY_NAME": geometry}
