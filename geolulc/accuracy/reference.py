"""Reference points: places with the class that they truly have, from any file of points."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import pandas
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import ProjError

from geolulc.accuracy.columns import LATITUDE, LONGITUDE, POINTS, PRESENT
from geolulc.accuracy.estimators import UNKNOWN
from geolulc.errors import ParameterError
from geolulc.nomenclature import LandCoverClass
from geolulc.outputs.tables import class_column
from geolulc.polygons.checks import require_places
from geolulc.polygons.reading import read_layers
from geolulc.text_files import TextFiles

#: Endings of tables of text.
_TEXTS: Final = (".csv", ".txt")
#: Between the names of several classes.
SEPARATOR: Final = ";"
#: Names of columns of coordinates in tables of text: (x, y), in degrees or in the map's CRS.
_DEGREES: Final = ((LONGITUDE, LATITUDE), ("lon", "lat"))
_PROJECTED: Final = (("x", "y"),)
_SHOWN: Final = 5
_EXPECTED: Final = "a layer of points with a CRS, or a .csv with longitude and latitude, or x and y"
_REMEDY: Final = "Give the file of reference points."
_TABLES: Final = TextFiles(ParameterError, _EXPECTED, _REMEDY)


@dataclass(frozen=True)
class ReferencePoints:
    """Points with their columns.

    Attributes:
        path: the file.
        table: DataFrame of its columns, a row for each point.
        x, y: float64 (point,): places in the map's CRS; NaN for none.
    """

    path: Path
    table: Any
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.table)

    def labels(self, field: str, classes: Sequence[LandCoverClass]) -> NDArray[np.intp]:
        """intp (point,): position in ``classes`` of the class in the column ``field``.

        ``UNKNOWN`` where nothing is filled in.

        Raises:
            ParameterError: no such column, or a value that is neither name nor code of a class.
        """
        values = [_text(value) for value in self._column(field)]
        named = {text: self._position(text, field, classes) for text in dict.fromkeys(values)}
        return np.array([named[text] for text in values], np.intp)

    def presence(self, field: str, classes: Sequence[LandCoverClass]) -> NDArray[np.bool_]:
        """bool (class, point): classes that are present; none where nothing is filled in.

        They are named in the column ``field`` with ";" between, or ticked in columns ``is_…``.

        Raises:
            ParameterError: as ``labels``.
        """
        found = np.zeros((len(classes), len(self)), bool)
        for i, value in enumerate(self._column(field)):
            for text in _text(value).split(SEPARATOR):
                position = self._position(text.strip(), field, classes)
                if position != UNKNOWN:
                    found[position, i] = True
        for k, land_cover in enumerate(classes):
            found[k] |= self._ticked(land_cover)
        return found

    def names_several(self, field: str, classes: Sequence[LandCoverClass]) -> bool:
        """Whether any value of the column has several classes, or any class is ticked."""
        named = field in self.table and any(SEPARATOR in _text(v) for v in self.table[field])
        return named or any(self._ticked(c).any() for c in classes)

    def _ticked(self, land_cover: LandCoverClass) -> NDArray[np.bool_]:
        """bool (point,): points whose box of the class is ticked."""
        column = class_column(PRESENT, land_cover)
        if column not in self.table:
            return np.zeros(len(self), bool)
        return np.array([_is_ticked(value) for value in self.table[column]], bool)

    def _column(self, field: str) -> Any:
        if field not in self.table:
            raise ParameterError(
                self.path,
                found=f"the columns {', '.join(map(str, self.table.columns)) or 'none'}",
                expected=f"a column {field!r} of classes",
                remedy="Name the column with --field.",
            )
        return self.table[field]

    def _position(self, text: str, field: str, classes: Sequence[LandCoverClass]) -> int:
        if not text:
            return UNKNOWN
        for k, land_cover in enumerate(classes):
            if land_cover.name == text:
                return k
        try:
            code = float(text)
        except ValueError:
            code = None
        for k, land_cover in enumerate(classes):
            if land_cover.code == code:
                return k
        names = [c.name for c in classes]
        near = get_close_matches(text, names, n=_SHOWN, cutoff=0.0)
        raise ParameterError(
            self.path,
            found=f"{text!r} in the column {field!r}",
            expected=f"names or codes of the map's classes (nearest: {', '.join(near)})",
            remedy="Correct the value, or give the nomenclature with --classes.",
        )


def read_points(path: Path, crs: CRS) -> ReferencePoints:
    """Points from a vector file, or from a .csv with longitude and latitude, or x and y.

    Args:
        path: the file; of several layers, the one called "points".
        crs: of the map: the points are brought into it.

    Raises:
        ParameterError: the file cannot be read, or holds no points with a place.
    """
    path = Path(path)
    frame = _read_table(path, crs) if path.suffix.lower() in _TEXTS else _read_layer(path)
    known = frame.geometry.notna()
    kinds = set(frame.geometry[known].geom_type)
    if kinds - {"Point"} or not len(frame):
        raise _TABLES.unusable(path, ", ".join(sorted(kinds)) or "no point")
    try:
        placed = frame.geometry.to_crs(crs)
    except ProjError as error:
        raise _TABLES.unusable(path, str(error)) from error
    x, y = (np.where(known, values, np.nan).astype(np.float64) for values in (placed.x, placed.y))
    there = np.isfinite(x) & np.isfinite(y)
    return ReferencePoints(
        path,
        pandas.DataFrame(frame.drop(columns=frame.geometry.name)),
        np.where(there, x, np.nan),
        np.where(there, y, np.nan),
    )


def _read_layer(path: Path) -> Any:
    layers = read_layers(path, str(path), preferred=POINTS)
    if len(layers) != 1:
        raise _TABLES.unusable(path, f"the layers {', '.join(layers)}", f"one called {POINTS!r}")
    return next(iter(layers.values()))


def _read_table(path: Path, crs: CRS) -> Any:
    try:
        table = pandas.read_csv(io.StringIO(_TABLES.text(path)), sep=None, engine="python")
        found = _placed(table, crs)
    except (ValueError, OverflowError, csv.Error) as error:
        raise _TABLES.unusable(path, str(error)) from error
    require_places(found, str(path))
    return found


def _placed(table: Any, crs: CRS) -> Any:
    lower = {str(column).lower(): column for column in table.columns}
    for pairs, place in ((_DEGREES, CRS.from_epsg(4326)), (_PROJECTED, crs)):
        for x, y in pairs:
            if x in lower and y in lower:
                points = geopandas.points_from_xy(table[lower[x]], table[lower[y]])
                return geopandas.GeoDataFrame(table, geometry=points, crs=place)
    raise ValueError(f"the columns {', '.join(map(str, table.columns))}")


def _text(value: object) -> str:
    if value is None or value is pandas.NA or value != value:
        return ""
    return str(value).strip()


def _is_ticked(value: object) -> bool:
    return _text(value).lower() in ("true", "1", "1.0", "yes")
