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
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from geolulc.errors import GeolulcError, ParameterError
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

#: A layer has at most so many corners and columns.
MOST_CORNERS: Final = 100_000_000
MOST_COLUMNS: Final = 10_000
#: The columns of a parquet file may fill so many bytes: its strings can unpack to a thousandfold.
_MOST_VALUES: Final = 4 * 2**30
_ROWS_AT_A_TIME: Final = 256
#: Metres from the origin of a projection that no ground reaches: the equator is 40,075 km long,
#: and false eastings that start with the number of a zone come to 60,000 km.
_FARTHEST: Final = 1e8
#: Degrees by which files miss the pole by rounding.
_ROUNDING: Final = 1e-3
#: Types of geometry (shapely's numbers) that are or can hold polygons.
POLYGON, MULTIPOLYGON, COLLECTION = 3, 6, 7
#: Those of points.
POINT, MULTIPOINT = 0, 4
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
        Name → GeoDataFrame, checked by ``require_places``; at least one.

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


def require_places(frame: Any, subject: str) -> None:
    """``ParameterError`` unless the geometries of a GeoDataFrame can lie on the globe.

    They have a CRS of the earth, at most ``MOST_CORNERS``, and coordinates that are numbers in
    the range of their CRS: latitudes to 90 degrees, longitudes to 360, projected ones to 100,000
    km. Missing and empty geometries pass.
    """
    if frame.crs is None:
        raise ParameterError(
            subject,
            found="no CRS (coordinate reference system)",
            expected="geometries that say where they are",
            remedy="Set the CRS of the file (in QGIS: Layer, Set CRS) and save it.",
        )
    crs = CRS.from_user_input(frame.crs)
    why = crs.type_name
    if crs.is_geographic or crs.is_projected:
        try:
            Transformer.from_crs(crs, 4326)
            why = ""
        except ProjError as error:  # of another body, say
            why = str(error)
    if why:
        raise ParameterError(
            subject,
            found=f"the CRS {crs.name!r} ({why})",
            expected="a geographic or projected CRS of the earth",
            remedy="Set the CRS of the file (in QGIS: Layer, Set CRS) and save it.",
        )
    geometries = frame.geometry.to_numpy()
    corners = shapely.get_num_coordinates(geometries)
    if corners.sum() > MOST_CORNERS:
        raise ParameterError(
            subject,
            found=f"{corners.sum():,} corners",
            expected=f"at most {MOST_CORNERS:,}",
            remedy="Simplify the geometries, or leave some out.",
        )
    limits = _limits(crs)
    wrong = []
    # in pieces: coordinates take as much memory as the geometries
    for first in range(0, len(geometries), 2**16):
        xy, owner = shapely.get_coordinates(geometries[first : first + 2**16], return_index=True)
        outside = ~(np.abs(xy) <= limits).all(axis=1)  # NaN is not within either
        if outside.any():
            wrong += (first + np.unique(owner[outside])).tolist()
            place = xy[outside][0]
    if wrong:
        raise ParameterError(
            subject,
            found=f"{len(wrong)} of {len(geometries)} geometries with coordinates such as "
            f"{place[0]:.6g}, {place[1]:.6g} (the first is number {wrong[0] + 1})",
            expected=f"|x| ≤ {limits[0]:g}, |y| ≤ {limits[1]:g}, as its CRS says ({crs.name})",
            remedy="Set the true CRS of the file, or mend these geometries.",
        )


def _limits(crs: CRS) -> tuple[float, float]:
    unit = unit_of(crs)
    if crs.is_geographic:
        return 2 * np.pi / unit + _ROUNDING, np.pi / 2 / unit + _ROUNDING
    return _FARTHEST / unit, _FARTHEST / unit


def unit_of(crs: CRS) -> float:
    """Radians (of a geographic CRS) or metres in a unit of its first axis."""
    axes = crs.axis_info or (crs.source_crs.axis_info if crs.source_crs else [])
    return float(axes[0].unit_conversion_factor) if axes else 1.0


def require_polygons(frame: Any, subject: str) -> None:
    """``ParameterError`` unless a GeoDataFrame's geometries are polygons; missing ones pass."""
    geometries = frame.geometry.to_numpy()
    wrong = ~_are(geometries, POLYGON, MULTIPOLYGON)
    for i in np.flatnonzero(shapely.get_type_id(geometries) == COLLECTION):
        wrong[i] &= not shapely.area(geometries[i])
    _refuse(geometries, wrong, subject, "polygons")


def require_points(frame: Any, subject: str) -> None:
    """``ParameterError`` unless a GeoDataFrame's geometries are points; missing ones pass."""
    geometries = frame.geometry.to_numpy()
    _refuse(geometries, ~_are(geometries, POINT, MULTIPOINT), subject, "points")


def _are(geometries: Any, *kinds: int) -> Any:
    return np.isin(shapely.get_type_id(geometries), (-1, *kinds)) | shapely.is_empty(geometries)


def _refuse(geometries: Any, wrong: Any, subject: str, expected: str) -> None:
    if wrong.any():
        words = ", ".join(sorted({g.geom_type for g in geometries[wrong]}))
        raise ParameterError(
            subject,
            found=f"{wrong.sum()} of {len(geometries)} geometries of type {words}",
            expected=expected,
            remedy=f"Give a layer of {expected}; lines and points have no area, but as polygons "
            "around them (in QGIS: Buffer).",
        )
