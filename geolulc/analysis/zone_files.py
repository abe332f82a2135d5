"""Zones from any vector file, and summarised zones into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import geopandas
import pandas
import pyogrio

from geolulc.analysis.zone_columns import distinct_names, plain_values
from geolulc.errors import OutputError, ParameterError
from geolulc.polygons.reading import read_layers
from geolulc.safe_texts import for_csv
from geolulc.staging import staged

#: Ending of a file of zones → pyogrio's options, where pyogrio writes it.
_FORMATS: Final[Mapping[str, dict[str, Any]]] = {
    ".gpkg": {"driver": "GPKG", "layer": "zones", "dataset_options": {"VERSION": "1.3"}},
    ".csv": {},
    ".parquet": {},
    ".fgb": {"driver": "FlatGeobuf"},
}
#: SQLite's limit less the geometry and the number of a feature.
_MOST_COLUMNS: Final = 1998


def read_zones(path: Path, layer: str | None = None) -> Any:
    """GeoDataFrame of a file's ``layer``; ``ParameterError`` if it has none or several."""
    (frame,) = read_layers(path, f"zones {path}", layer=layer, single=True).values()
    return frame


def require_writer(out: Path) -> None:
    """``ParameterError`` if ``write_zones`` cannot write a file of this ending."""
    if out.suffix.lower() not in _FORMATS:
        raise ParameterError(
            f"output {out}",
            found=f"the ending {out.suffix!r}",
            expected=f"one of {', '.join(_FORMATS)}",
            remedy="Give a path with one of these endings.",
        )


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
            temporary.write_text(for_csv(table), encoding="utf-8", errors="replace")
            return
        (geometry,) = distinct_names(["geometry"], names, any_case=True)
        frame = geopandas.GeoDataFrame(
            table.assign(**{geometry: zones.geometry.to_numpy()}), geometry=geometry, crs=zones.crs
        )
        frame.attrs = dict(zones.attrs)
        if ending == ".parquet":
            frame.to_parquet(temporary, index=False)
            return
        options = _layer_options(ending, names, missing=bool(zones.geometry.isna().any()))
        pyogrio.write_dataframe(
            frame,
            temporary,
            promote_to_multi=True,
            layer_metadata=dict(zones.attrs),
            layer_options=options,
            **_FORMATS[ending],
        )


def _layer_options(ending: str, names: Sequence[str], *, missing: bool) -> dict[str, str]:
    """Options of a layer whose columns have these ``names``, with or without missing geometries."""
    if ending == ".fgb":  # its index holds no zone without geometry
        return {"SPATIAL_INDEX": "NO"} if missing else {}
    fid, geometry = (distinct_names([n], names, any_case=True)[0] for n in ("fid", "geom"))
    return {"FID": fid, "GEOMETRY_NAME": geometry}
