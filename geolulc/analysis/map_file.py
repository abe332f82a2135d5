"""The one reader of written maps: any raster of a map of cells or of pixels, window by window.

A file can come from anybody. Its tags are compared with the raster before memory of its size is
allocated, and all that is wrong with it is one ``OutputError``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from geolulc.analysis.consistency import not_a_map, require_consistent, require_own
from geolulc.errors import GeolulcError, OutputError
from geolulc.maps.coarser import Coarser
from geolulc.maps.encoding import ENCODINGS
from geolulc.maps.header import LandCoverMap, MapBlock, MapHeader
from geolulc.maps.ranking import rank_classes
from geolulc.nomenclature import Codes, Nomenclature
from geolulc.outputs.cautions import Caution, cautions_of
from geolulc.outputs.rasters import windows, without_side_files
from geolulc.outputs.tags import header_of, mosaic_of

#: Cells along a window of one band, and of the probabilities of all classes: multiples of the
#: files' blocks.
_WINDOW: Final = 1024
_WINDOW_OF_ALL: Final = 512
#: ``read_map`` holds at most so many values: a map of 43 classes at 60 m has 144 million.
_MOST_VALUES: Final = 2**28
#: A probability or share of 1, in steps of 0.004 or 0.0001 can pass it by rounding.
HIGHEST: Final = 1.0001
#: Fractions that float32 holds add up to 1 within this.
_TOTAL: Final = 1e-3
#: Errors that tags which geolulc did not write lead to.
_MALFORMED: Final = (
    ArithmeticError, AttributeError, LookupError, ProjError, RecursionError, TypeError, ValueError,
)  # fmt: skip
#: Further tags that the rasters of one map share, besides the tags of the header.
_SHARED: Final = ("MAPPED_AREA_HA", "AREA_HA_BY_CLASS")


@dataclass(frozen=True)
class MapFile:
    """An open raster of a map; a context that closes it.

    Attributes:
        path: the file.
        content: the output that it holds: "probabilities", "classes", "confidence", …
        header: the map, of which the raster may be one of several.
        tags: the raster's tags.
        dataset: the rasterio dataset; its shape and place are those of the header's grid.
        cautions: of the map.
        coarser: how the file's classes become those of ``header``; None where they are these.
    """

    path: Path
    content: str
    header: MapHeader
    tags: Mapping[str, str]
    dataset: Any
    cautions: tuple[Caution, ...]
    coarser: Coarser | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.dataset.close()

    def windows(self, size: int | None = None) -> Iterator[Window]:
        """Windows of at most ``size`` × ``size`` cells over the raster, row by row of them.

        Without a size, as many cells as fit well into memory with all bands.
        """
        size = size or (_WINDOW if self.dataset.count == 1 else _WINDOW_OF_ALL)
        return windows(self.header.grid.shape, size)

    @property
    def _fine(self) -> MapHeader:
        """The header with the file's own classes."""
        return self.header if self.coarser is None else self.coarser.fine

    def is_gap(self, window: Window) -> bool:
        """Whether the file has no block there: no cell has data, and none need be read.

        Mosaics of places far apart have many such windows.
        """
        nodata, (high, wide) = self.dataset.nodata, self.dataset.block_shapes[0]
        encoded = self.content == "probabilities"
        own = ENCODINGS[self.dataset.dtypes[0]].nodata if encoded else self._fine.no_class
        if nodata is None or not (nodata == own or (np.isnan(nodata) and np.isnan(own))):
            return False  # a gap reads as something else
        rows, columns = window.toslices()
        names = (
            f"BLOCK_OFFSET_{column}_{row}"
            for row in range(rows.start // high, (rows.stop - 1) // high + 1)
            for column in range(columns.start // wide, (columns.stop - 1) // wide + 1)
        )
        return not any(
            self.dataset.get_tag_item(name, "TIFF", bidx=band)
            for name in names
            for band in self.dataset.indexes
        )

    def codes(self, window: Window, shape: tuple[int, int] | None = None) -> Codes:
        """(rows, columns): code of the most probable class; ``header.no_class`` for no data.

        Of a raster of classes, or of one of probabilities. A code that is none of the map's
        classes counts as no data. With a smaller ``shape`` than the window's, by the overviews.
        """
        if self.content != "classes":
            return rank_classes(self._probabilities(window, shape), 1).dominant(self.header)
        header = self._fine
        values = self.values(window, shape=shape)[0]
        values[header.positions[values] < 0] = header.no_class
        return values if self.coarser is None else self.coarser.codes(values)

    def shares(self, window: Window) -> NDArray[np.float32]:
        """float32 (class, rows, columns): the probabilities, NaN for no data."""
        return self.block(window).shares

    def block(self, window: Window) -> MapBlock:
        """The cells of a window of a raster of probabilities: uint8 steps of pixels, else float32.

        Raises:
            OutputError: the raster holds something else, or is damaged.
        """
        return MapBlock(window.row_off, window.col_off, self._probabilities(window))

    def _probabilities(self, window: Window, shape: tuple[int, int] | None = None) -> NDArray[Any]:
        """Those of the classes of ``header``, as ``block`` has them."""
        if self.content != "probabilities":
            raise not_a_map(self.path, f"geolulc's {self.content} raster")
        values = self.values(window, shape=shape)
        shares = ENCODINGS[values.dtype.name].decode(values)
        # not all damage keeps a block from being unpacked; infinite ones are no data once decoded
        given = values if values.dtype.kind == "f" else shares
        if (given < 0).any() or (given > HIGHEST).any():
            raise self.damaged("probabilities outside 0 to 1")
        if self.header.fractions:
            shares /= self._totals(shares)
        found = values if self.header.exclusive else shares
        return found if self.coarser is None else self.coarser.probabilities(found)

    def _totals(self, fractions: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sums of fractions over the classes, which are 1 but for rounding in the file."""
        totals = fractions.sum(axis=0)
        dtype = self.dataset.dtypes[0]
        step = 0.0 if dtype == "float32" else ENCODINGS[dtype].scale
        if (np.abs(totals - 1) > _TOTAL + len(fractions) * step / 2).any():
            raise self.damaged("cover fractions that do not add up to 1")
        return np.asarray(totals, np.float32)

    def values(
        self,
        window: Window,
        bands: Sequence[str] | None = None,
        shape: tuple[int, int] | None = None,
    ) -> NDArray[Any]:
        """Values (band, rows, columns) as the file has them, of all bands or of those named.

        With a smaller ``shape`` than the window's, the nearest values of the overviews.

        Raises:
            OutputError: the file is damaged.
        """
        names = self.dataset.descriptions
        numbers = None if bands is None else [names.index(name) + 1 for name in bands]
        try:
            count = self.dataset.count if numbers is None else len(numbers)
            sized = {} if shape is None else {"out_shape": (count, *shape)}
            return np.asarray(self.dataset.read(numbers, window=window, **sized))
        except RasterioError as error:
            raise self.damaged(str(error)) from error

    def damaged(self, why: str) -> OutputError:
        """The error for this file, whose values are not those of a map."""
        return OutputError(
            self.path,
            found=f"a damaged file ({why})",
            expected="a whole map",
            remedy="Map the scene again.",
        )


def open_map(path: Path) -> MapFile:
    """Open any raster of a map of cells or pixels, of a scene or a mosaic.

    Raises:
        OutputError: ``path`` is missing, no raster, damaged, not written by geolulc, or its tags
            contradict the raster.
    """
    path = Path(path)
    with refusing(path):
        dataset = open_raster(path)
        try:
            tags = dataset.tags()
            if "NOMENCLATURE" not in tags:
                raise not_a_map(path, f"geolulc's {tags.get('GEOLULC_FILE', 'unknown')} raster")
            header = header_of(tags, dataset.crs.to_string())
            found = MapFile(path, tags["GEOLULC_FILE"], header, tags, dataset, cautions_of(tags))
            require_consistent(path, found.content, header, dataset)
            return found
        except BaseException:
            dataset.close()
            raise


def open_main(path: Path, coarser: Nomenclature | None = None) -> MapFile:
    """Open a map.tif: the raster of probabilities of a map of cells, of classes of one of pixels.

    Args:
        path: the file.
        coarser: a nomenclature that holds the map's; the map is read as one of its classes.

    Raises:
        OutputError: as ``open_map``, or ``path`` is another raster of a map.
        ParameterError: as of ``Coarser.of``.
    """
    found = open_map(path)
    main = "classes" if found.header.exclusive else "probabilities"
    if found.content != main:
        found.close()
        raise OutputError(
            path,
            found=f"geolulc's {found.content} raster of {found.header.unit.many}",
            expected=f"a map written by geolulc: its map.tif, which holds its {main}",
            remedy="Give the map.tif that geolulc map wrote.",
        )
    if coarser is None:
        return found
    try:
        conversion = Coarser.of(found.header, coarser)
    except BaseException:
        found.close()
        raise
    return replace(found, header=conversion.header, coarser=conversion)


def sibling(map_file: MapFile, name: str) -> MapFile | None:
    """Open the raster beside a map.tif that holds ``name`` of the same map; None without one.

    Args:
        map_file: an open map.tif.
        name: "uncertainty" of a map of cells; "confidence", "top3" or "probabilities" of one of
            pixels; …

    Raises:
        OutputError: the raster cannot be read, or is of another map.
    """
    path = map_file.path.with_name(f"{map_file.path.stem}_{name}.tif")
    if not path.is_file():
        return None
    other = open_map(path)
    if not (
        other.content == name
        and other.header == (map_file.coarser.fine if map_file.coarser else map_file.header)
        and mosaic_of(other.tags) == mosaic_of(map_file.tags)
        and all(other.tags.get(tag) == map_file.tags.get(tag) for tag in _SHARED)
    ):
        other.close()
        raise OutputError(
            path,
            found=f"{name} of another map",
            expected=f"that of {map_file.path.name}",
            remedy="Map the scene again, or move the file away.",
        )
    return other


def read_map(path: Path) -> LandCoverMap:
    """The whole map in a raster of probabilities of any ``--dtype``.

    The file holds no valid and clear shares. ``write_map`` of the result gives equal
    probabilities, tags and areas.

    Raises:
        OutputError: ``path`` is no raster of a map's probabilities, or holds more values than
            fit into memory.
    """
    with open_map(path) as found:
        rows, columns = found.header.grid.shape
        count = len(found.header.classes)
        if found.content == "probabilities" and count * rows * columns > _MOST_VALUES:
            raise OutputError(
                path,
                found=f"{count} × {rows} × {columns} values",
                expected=f"a map written by geolulc, of at most {_MOST_VALUES:,} values",
                remedy="Mosaic a smaller region or larger cells, or read it by windows.",
            )
        return LandCoverMap(found.header, found.block(Window(0, 0, columns, rows)))


def open_raster(path: Path) -> Any:
    """The rasterio dataset of a raster that geolulc wrote: of a map, or of a comparison.

    Raises:
        OutputError: ``path`` is missing, no raster, or not written by geolulc.
    """
    with refusing(path), warnings.catch_warnings(), without_side_files():
        # the error below explains a stranger's raster better
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if not path.is_file():
            raise not_a_map(path, "no such file")
        dataset = rasterio.open(path, driver="GTiff")
        try:
            require_own(path, dataset)
        except BaseException:
            dataset.close()
            raise
        return dataset


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside is an ``OutputError``: ``path`` is not a map of geolulc's."""
    try:
        yield
    except OutputError:
        raise
    except (GeolulcError, RasterioError, *_MALFORMED) as error:
        raise not_a_map(path, f"{type(error).__name__}: {error}") from error
