"""Layers of features and tables as files: the format is what the ending of the file says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas
import pyogrio

from geolulc.errors import ParameterError
from geolulc.safe_texts import for_csv

#: Ending → GDAL's driver; None for those that pandas and geopandas write.
_DRIVERS: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        ".gpkg": "GPKG",
        ".geojson": "GeoJSON",
        ".kml": "LIBKML",
        ".fgb": "FlatGeobuf",
        ".parquet": None,
        ".csv": None,
    }
)
#: QGIS 3.22 (GDAL 3.6) warns of anything newer.
_GEOPACKAGE_VERSION: Final = "1.3"
_NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})


def require_ending(out: Path, endings: Iterable[str]) -> None:
    """``ParameterError`` unless ``out`` has one of ``endings``, in capitals or not."""
    known = tuple(endings)
    if out.suffix.lower() not in known:
        raise ParameterError(
            f"output {out}",
            found=f"the ending {out.suffix!r}",
            expected=f"one of {', '.join(known)}",
            remedy="Give a path with one of these endings.",
        )


def write_layer(
    table: Any, path: Path, *, tags: Mapping[str, str] = _NO_TAGS, **options: Any
) -> None:
    """Write a table as the ending of ``path`` says.

    In a GeoPackage that is there, a layer of a new name is added, one of a known name gets more
    rows; any other file is written anew.

    Args:
        table: a GeoDataFrame; without geometry, a DataFrame for .csv and .gpkg.
        path: a file of one of the known endings.
        tags: metadata of the layer, where the format has a place for them (not .csv, .kml and
            .geojson).
        options: of ``pyogrio.write_dataframe``, where it writes the file: ``layer``, say.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        path.write_text(for_csv(pandas.DataFrame(table)), encoding="utf-8", errors="replace")
        return
    if ending == ".parquet":
        table.attrs = dict(tags)  # geopandas keeps them in the file's metadata
        table.to_parquet(path, index=False)
        return
    if ending == ".gpkg":
        options["append"] = path.exists()
        if not path.exists():
            options["dataset_options"] = {"VERSION": _GEOPACKAGE_VERSION}
    pyogrio.write_dataframe(
        table, path, driver=_DRIVERS[ending], layer_metadata=dict(tags) or None, **options
    )
