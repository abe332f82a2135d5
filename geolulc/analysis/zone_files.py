"""Zones from any vector file, and summarised zones into one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import geopandas
import pyogrio
from pyogrio.errors import DataSourceError

from geolulc.errors import ParameterError
from geolulc.staging import staged

#: Ending of a file of zones → pyogrio's options, where pyogrio writes it.
_FORMATS: Final[Mapping[str, dict[str, Any]]] = {
    ".gpkg": {"driver": "GPKG", "layer": "zones", "dataset_options": {"VERSION": "1.3"}},
    ".csv": {},
    ".parquet": {},
    ".fgb": {"driver": "FlatGeobuf"},
}


def read_zones(path: Path, layer: str | None = None) -> Any:
    """GeoDataFrame of a file's ``layer``; ``ParameterError`` if it has none or several."""
    try:
        layers = {str(name): kind for name, kind in pyogrio.list_layers(path)}
        spatial = [name for name, kind in layers.items() if kind is not None]
        if layer is None and len(spatial) == 1:
            layer = spatial[0]
        if layer not in spatial:
            raise ParameterError(
                f"zones {path}",
                found=f"layers {', '.join(spatial) or 'without geometry only'}",
                expected="one layer of polygons" if layer is None else f"a layer {layer!r}",
                remedy="Name one with --layer.",
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GDAL's remarks on a stranger's file
            frame = pyogrio.read_dataframe(path, layer=layer)
    except (DataSourceError, OSError, ValueError) as error:
        raise ParameterError(
            f"zones {path}",
            found=str(error),
            expected="a vector file that GDAL reads (GeoPackage, Shapefile, GeoJSON, …)",
            remedy="Check the path.",
        ) from error
    return geopandas.GeoDataFrame(frame)


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

    Raises:
        OutputError: ``out`` exists (without ``overwrite``) or cannot be written.
    """
    ending = out.suffix.lower()
    with staged([out], overwrite=overwrite) as (temporary,):
        if ending == ".csv":
            zones.drop(columns=zones.geometry.name).to_csv(temporary, index=False)
        elif ending == ".parquet":
            zones.to_parquet(temporary, index=False)
        else:
            pyogrio.write_dataframe(
                zones,
                temporary,
                promote_to_multi=True,
                layer_metadata=dict(zones.attrs),
                **_FORMATS[ending],
            )
