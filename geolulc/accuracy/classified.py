"""A map whose accuracy is asked for, window by window: of geolulc, or a stranger's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geolulc.accuracy.foreign import legend_of, open_single_band, read_codes, values_of
from geolulc.accuracy.ground import pixel_hectares
from geolulc.analysis.compare import Transitions
from geolulc.analysis.consistency import require_ground
from geolulc.analysis.map_file import MapFile, open_map, open_raster, refusing
from geolulc.errors import OutputError
from geolulc.maps.areas import ground_areas
from geolulc.maps.header import MapHeader
from geolulc.maps.ranking import present_classes
from geolulc.nomenclature import NO_CLASS, LandCoverClass, Nomenclature
from geolulc.nomenclature_files import find_nomenclature
from geolulc.outputs.rasters import windows
from geolulc.outputs.tags import header_of
from geolulc.safe_texts import one_line

#: Pixels of a window.
_WINDOW: Final = 2**20
#: Position of a pixel without a class.
NOWHERE: Final = -1


class Layer(Protocol):
    """Something that every pixel of a map belongs to one of, or to none: classes, or strata."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what pixels can belong to."""

    def positions(self, window: Window) -> NDArray[np.int32]:
        """int32 (rows, columns): position in ``names``; ``NOWHERE`` for none."""


class ClassifiedMap:
    """An open map of classes; a context that closes it. A ``Layer`` of its classes.

    Attributes:
        path: the file.
        classes: those that it can have.
        dataset: the rasterio dataset.
        unit: "pixel" or "cell".
        header: of a map of geolulc.
        strata_words: what its strata are, without others.
        several: whether several classes can be present in a cell, as ``presence`` tells.
        unchanged: position of what did not change, in a comparison.
    """

    several = False
    unchanged: int | None = None
    header: MapHeader | None = None
    unit = "pixel"
    strata_words = "the map's classes"

    def __init__(self, path: Path, dataset: Any, classes: tuple[LandCoverClass, ...]) -> None:
        self.path, self.dataset, self.classes = Path(path), dataset, classes
        codes = np.array([c.code for c in classes], np.int64)
        self._lowest = int(codes.min(initial=0))
        self._table = np.full(int(codes.max(initial=0)) - self._lowest + 2, NOWHERE, np.int32)
        self._table[codes - self._lowest] = np.arange(len(classes))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.dataset.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(c.name for c in self.classes)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.dataset.height, self.dataset.width

    @property
    def transform(self) -> Affine:
        """(column, row) → coordinates in the map's CRS."""
        return self.dataset.transform

    @property
    def crs(self) -> CRS:
        """The CRS of the coordinates."""
        return CRS.from_user_input(self.dataset.crs)

    @property
    def pixel_metres(self) -> float:
        """Side of a pixel in the middle of the map, in metres on the ground."""
        rows, columns = self.shape
        middle = self.hectares(Window(columns // 2, rows // 2, 1, 1))
        return float(np.sqrt(middle[0, 0] * 10_000))

    def windows(self) -> Iterator[Window]:
        """Windows over the map, of which each holds a million pixels or so, as the file lies."""
        rows, columns = self.shape
        high, wide = self.dataset.block_shapes[0]
        if wide >= columns and high < rows:  # strips: of whole rows, so that each is read once
            step = max(high, _WINDOW // columns // high * high)
            return (Window(0, r, columns, min(step, rows - r)) for r in range(0, rows, step))
        return windows(self.shape, int(_WINDOW**0.5))

    def positions(self, window: Window) -> NDArray[np.int32]:
        """int32 (rows, columns): position of the class; ``NOWHERE`` for no data."""
        codes, known = self._codes(window)
        place = codes.astype(np.int64, copy=False) - self._lowest
        inside = known & (place >= 0) & (place < len(self._table))
        return self._table[np.where(inside, place, len(self._table) - 1)]

    def hectares(self, window: Window) -> NDArray[np.float64]:
        """float64 (rows, columns): the area of the pixels on the ground."""
        return pixel_hectares(self.dataset.crs, self.transform, window)

    def presence(self, window: Window) -> NDArray[np.bool_]:
        """bool (class, rows, columns): the classes that are there; of a map of cells several."""
        places = np.arange(len(self.classes))[:, None, None]
        return np.asarray(places == self.positions(window))

    def _codes(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        return read_codes(self.dataset, window)


class WholeMap:
    """All of a map with data as one stratum."""

    names = ("all",)

    def __init__(self, classified: ClassifiedMap) -> None:
        self.map = classified

    def positions(self, window: Window) -> NDArray[np.int32]:
        """int32 (rows, columns): 0, or ``NOWHERE`` where the map has no data."""
        return np.minimum(self.map.positions(window), 0)


class _OwnMap(ClassifiedMap):
    """Any raster of a map of geolulc that tells its classes."""

    def __init__(self, found: MapFile) -> None:
        super().__init__(found.path, found.dataset, found.header.land_cover)
        self.header = found.header
        self._file = found
        self.unit = found.header.unit.one
        self.several = found.content == "probabilities" and not found.header.adds_up

    def hectares(self, window: Window) -> NDArray[np.float64]:
        return _own_hectares(self._file.header, window)

    def presence(self, window: Window) -> NDArray[np.bool_]:
        if not self.several:
            return super().presence(window)
        return np.asarray(present_classes(self._file.header, self._file.shares(window)) == 1)

    def _codes(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        codes = self._file.codes(window)
        return codes, codes != self._file.header.no_class


class ChangeMap(ClassifiedMap):
    """The first band of a comparison's change.tif: unchanged, or the class that it became."""

    unchanged = 0
    strata_words = "changes from one class to another"

    def __init__(self, path: Path, dataset: Any, after: MapHeader) -> None:
        transitions = Transitions.of(after)
        self._factor, unchanged = transitions.factor, transitions.unchanged
        classes = [LandCoverClass("Unchanged", unchanged, "#d9d9d9")]
        classes += [
            LandCoverClass(f"Now {c.name}", c.code, c.color, f"Now {c.short}")
            for c in after.land_cover
        ]
        super().__init__(path, dataset, tuple(classes))
        self._after = after
        self.unit = after.unit.one

    def transitions(self, window: Window) -> NDArray[np.int64]:
        """int64 (rows, columns): code before × ``factor`` + code after; ``NOWHERE`` without data.

        Cells that did not change have the transition from a class to itself.
        """
        values = self.dataset.read(2, window=window).astype(np.int64)
        return np.where(self.positions(window) == NOWHERE, NOWHERE, values)

    def ends(self, transition: int) -> tuple[LandCoverClass, LandCoverClass]:
        """The class before and the class after of a transition."""
        by_code = {c.code: c for c in self._after.land_cover}
        before, after = divmod(transition, self._factor)
        return by_code[before], by_code[after]

    def hectares(self, window: Window) -> NDArray[np.float64]:
        return _own_hectares(self._after, window)


def _own_hectares(header: MapHeader, window: Window) -> NDArray[np.float64]:
    return ground_areas(header.grid, header.unit.areas, *window.toslices())


def open_classified(path: Path, class_file: Path | None = None) -> ClassifiedMap:
    """Open a map of geolulc, a change.tif, or any raster of one band of classes.

    Args:
        path: the file.
        class_file: a nomenclature (``nomenclature_files``): the raster then holds its codes.
            Without one, a stranger's raster has the names and colours that GDAL finds, or its
            values as names.

    Raises:
        OutputError: ``path`` is no such map.
        ParameterError: the nomenclature is wrong.
    """
    path = Path(path)
    if class_file is None and _is_own(path):
        return _open_own(path)
    dataset = open_single_band(path)
    try:
        blank = ClassifiedMap(path, dataset, ())
        values = values_of(dataset, blank.windows())
        if not values:
            raise OutputError(
                path, found="no data at all", expected="a map", remedy="Give the right raster."
            )
        if class_file is None:
            return ClassifiedMap(path, dataset, legend_of(dataset).classes(values))
        classes = find_nomenclature(class_file).classes
        # a raster that declares no nodata mostly means 0
        unknown = sorted(values - {c.code for c in classes} - {NO_CLASS})
        if unknown:
            raise OutputError(
                path,
                found=f"the codes {', '.join(map(str, unknown[:10]))}",
                expected=f"codes of {class_file}",
                remedy="Add the classes to the file, or declare the codes as nodata.",
            )
        return ClassifiedMap(path, dataset, classes)
    except BaseException:
        dataset.close()
        raise


def raster_nomenclature(path: Path) -> Nomenclature:
    """The classes of a raster: of a map of geolulc, or names and colours that GDAL finds in it.

    Raises:
        OutputError: as ``open_classified``.
        ParameterError: the names cannot be those of a nomenclature.
    """
    with open_classified(path) as found:
        if found.header is not None:
            return found.header.nomenclature
        identifier = "".join(c if c.isalnum() or c in "_.-" else "-" for c in path.stem)
        return Nomenclature(identifier[:100] or "raster", one_line(path.stem), found.classes)


def _is_own(path: Path) -> bool:
    try:
        with rasterio.open(path, driver="GTiff") as dataset:
            return "GEOLULC_VERSION" in dataset.tags()
    except RasterioError:
        return False  # open_single_band explains


def _open_own(path: Path) -> ClassifiedMap:
    with refusing(path):
        dataset = open_raster(path)
        tags = dataset.tags()
        if tags.get("GEOLULC_FILE") == "change":
            after = {k.removeprefix("AFTER_"): v for k, v in tags.items() if k[:6] == "AFTER_"}
            header = header_of(after, dataset.crs.to_string())
            require_ground(path, header, after)
            return ChangeMap(path, dataset, header)
        dataset.close()
        found = open_map(path)
        if found.content not in ("classes", "probabilities"):
            found.close()
            raise OutputError(
                path,
                found=f"geolulc's {found.content} raster",
                expected="a raster that tells classes: map.tif, map_classes.tif or change.tif",
                remedy="Give one of these.",
            )
        return _OwnMap(found)


@dataclass(frozen=True)
class Totals:
    """What a map holds: pixels and hectares of each class, or stratum.

    Attributes:
        pixels: int64 (class,).
        hectares: float64 (class,): on the ground.
    """

    pixels: NDArray[np.int64]
    hectares: NDArray[np.float64]

    @classmethod
    def of(cls, positions: NDArray[np.int32], hectares: NDArray[np.float64], count: int) -> Totals:
        """Those of one window; ``NOWHERE`` is left out."""
        flat = positions.ravel() + 1
        pixels = np.bincount(flat, minlength=count + 1)[1:]
        areas = np.bincount(flat, hectares.ravel(), minlength=count + 1)[1:]
        return cls(pixels, areas.astype(np.float64))

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.pixels + other.pixels, self.hectares + other.hectares)
