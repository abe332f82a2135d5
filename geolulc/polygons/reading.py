"""The one reader of users' vector files: areas, zones and regions.

A file can come from anybody. Its format is one of a list, its size is bounded before it is read,
its coordinates are checked once, and all that is wrong with it is one ``ParameterError``.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyogrio
import shapely

from geolulc.errors import GeolulcError, ParameterError
from geolulc.polygons.checks import COLLECTION, MULTIPOLYGON, POLYGON, nothing, require_places
from geolulc.polygons.formats import (
    DRIVERS,
    FORMATS,
    MOST_FEATURES,
    PARQUET,
    NotAllowedError,
    offline,
    require_plain_tables,
    vector_files,
)

#: A layer has at most so many columns.
MOST_COLUMNS: Final = 10_000
#: The columns of a parquet file may fill so many bytes: its strings can unpack to a thousandfold.
_MOST_VALUES: Final = 4 * 2**30
_ROWS_AT_A_TIME: Final = 256
_SURFACES: Final = ("Polygon", "Surface", "Collection", "Unknown", "TIN", "Triangle")
#: Errors whose text is enough.
_PLAIN: Final = (NotAllowedError, OSError, RuntimeError)
_REMEDY: Final = "Check the path; QGIS can save any layer as a GeoPackage."


@dataclass(frozen=True)
class _Layer:
    """A layer with geometry of one of the files that a path leads to."""

    file: Path
    format: str
    name: str
    kind: str

    @property
    def may_hold_polygons(self) -> bool:
        return any(word in self.kind for word in _SURFACES)


def read_layers(
    path: Path,
    subject: str,
    *,
    layer: str | None = None,
    preferred: str | None = None,
    single: bool = False,
    attributes: bool = True,
) -> dict[str, Any]:
    """The layers of a vector file that hold polygons, or where none does, all with geometry.

    Args:
        path: a file of one of ``FORMATS``.
        subject: what errors call it: "zones zones.gpkg".
        layer: only this one.
        preferred: only this one, if there is one of this name.
        single: refuse several.
        attributes: read the columns besides the geometry.

    Returns:
        Name → GeoDataFrame, checked by ``require_places``; at least one geometry in them all is
        neither missing nor empty.

    Raises:
        ParameterError: the file cannot be used, is too large or holds no geometry.
    """
    with _one_line(subject), offline(), vector_files(path) as files:
        found = _list_layers(files)
        layer = preferred if layer is None and preferred in found else layer
        if (layer is not None and layer not in found) or not found:
            raise _unclear(subject, found, layer)
        chosen = found if layer is None else {layer: found[layer]}
        surfaces = {name: one for name, one in chosen.items() if one.may_hold_polygons}
        if single and sum(one.kind != "Unknown" for one in surfaces.values()) > 1:
            raise _unclear(subject, surfaces, layer)
        read = {name: _read(one, attributes) for name, one in (surfaces or chosen).items()}
        read = {n: frame for n, frame in read.items() if _holds_polygons(frame)} or read
        if single and len(read) > 1:
            raise _unclear(subject, read, layer)
        for frame in read.values():
            require_places(frame, subject)
        geometries = np.concatenate([frame.geometry.to_numpy() for frame in read.values()])
        if not (~shapely.is_missing(geometries) & ~shapely.is_empty(geometries)).any():
            raise nothing(subject, "geometry")
        return read


@contextmanager
def _one_line(subject: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GDAL's remarks on a stranger's file
            yield
    except GeolulcError:
        raise
    except Exception as error:  # GDAL, GEOS, PROJ, Arrow, SQLite and zlib each have their own
        words = str(error) or type(error).__name__
        raise ParameterError(
            subject,
            found=words if isinstance(error, _PLAIN) else f"{type(error).__name__}: {words}",
            expected=f"a vector file with geometries and a CRS ({FORMATS})",
            remedy=_REMEDY,
        ) from error


def _unclear(subject: str, names: Collection[str], layer: str | None) -> ParameterError:
    return ParameterError(
        subject,
        found=f"layers {', '.join(names)}" if names else "layers without geometry only",
        expected="one layer of polygons" if layer is None else f"a layer {layer!r}",
        remedy="Name one with --layer." if names else _REMEDY,
    )


def _list_layers(files: Mapping[str, tuple[Path, str]]) -> dict[str, _Layer]:
    layers: dict[str, _Layer] = {}
    for member, (file, kind) in files.items():
        if kind == PARQUET:
            own = [_Layer(file, kind, file.stem, "Unknown")]
        else:
            if kind == "GeoPackage":
                require_plain_tables(file)
            own = [
                _Layer(file, kind, str(name), str(geometry))
                for name, geometry in pyogrio.list_layers(file)
                if geometry is not None
            ]
        for layer in own:
            # files in a zip may have layers of one name
            name = layer.name if layer.name not in layers else f"{member}/{layer.name}"
            layers[name] = layer
    return layers


def _read(layer: _Layer, attributes: bool) -> Any:
    if layer.format == PARQUET:
        return _read_parquet(layer.file, attributes)
    info = pyogrio.read_info(layer.file, layer=layer.name)
    if info["driver"] not in DRIVERS:
        raise NotAllowedError(f"a file that GDAL takes for {info['driver']}")
    _require_few(len(info["fields"]), MOST_COLUMNS, "columns")
    _require_few(info["features"], MOST_FEATURES, "features")
    frame = pyogrio.read_dataframe(
        layer.file,
        layer=layer.name,
        columns=None if attributes else [],
        max_features=MOST_FEATURES + 1,
    )
    _require_few(len(frame), MOST_FEATURES, "features")
    return frame


def _read_parquet(path: Path, attributes: bool) -> Any:
    import geopandas  # takes a while: loaded where there is a file
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        _require_few(file.metadata.num_columns, MOST_COLUMNS, "columns")
        _require_few(file.metadata.num_rows, MOST_FEATURES, "features")
        whole = 0
        for batch in file.iter_batches(_ROWS_AT_A_TIME):
            whole += batch.nbytes
            _require_few(whole, _MOST_VALUES, "bytes of values")
    frame = geopandas.read_parquet(path)
    return frame if attributes else frame[[frame.geometry.name]]


def _require_few(count: int, most: int, what: str) -> None:
    if count > most:
        raise NotAllowedError(f"{count:,} {what}, more than the {most:,} that are read")


def _holds_polygons(frame: Any) -> bool:
    kinds = shapely.get_type_id(frame.geometry.to_numpy())
    return bool(np.isin(kinds, (POLYGON, MULTIPOLYGON, COLLECTION)).any())
