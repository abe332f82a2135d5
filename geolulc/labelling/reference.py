"""A raster of classes as labels: any CRS and resolution, brought to pixels of 10 m by majority."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window
from scipy.ndimage import maximum_filter, minimum_filter

from geolulc.accuracy.classified import ClassifiedMap, open_classified
from geolulc.errors import OutputError, ParameterError
from geolulc.grid import PATCH_SIZE, TileGrid
from geolulc.labelling.burning import CONTESTED, NO_LABEL, PIXEL, Burnt
from geolulc.labelling.features import BLOCKS_CRS
from geolulc.labelling.folds import NO_FOLD
from geolulc.labelling.options import BLOCKS, SCENE, TILE, LabelOptions
from geolulc.nomenclature import Nomenclature, nomenclature_of
from geolulc.nomenclature_files import find_nomenclature

#: Metres along the border of a patch of another fold that get no label.
_GAP: Final = 100
#: The ground of a scene, and the place of each of its patches, int32 (rows, columns).
Claim = tuple[TileGrid, NDArray[np.int32]]


class Reference(AbstractContextManager["Reference"]):
    """A raster of classes; made by ``open_reference``, closed at the end of its context.

    Places are blocks, tiles or scenes; each patch belongs to the one that its centre is in, and
    pixels within 100 m of a patch of another fold have no label. Where the patches of several
    scenes lie askew on the same ground, of two tiles or UTM zones, it belongs to the first one's.
    """

    def __init__(self, source: ClassifiedMap, classes: Nomenclature, options: LabelOptions) -> None:
        self.nomenclature = classes
        self._source, self._options = source, options
        self._numbers: dict[Any, int] = {}
        self._claims: dict[TileGrid, NDArray[np.int32]] = {}

    def __exit__(self, *_: object) -> None:
        self._source.dataset.close()

    @property
    def place_count(self) -> int:
        """Number of places known so far."""
        return len(self._numbers)

    def on(self, grid: TileGrid, around: str) -> PlacedReference:
        """The labels on the ground of a scene; see ``Labels``."""
        if grid not in self._claims:
            self._claims[grid] = self._places_of(grid, around)
        earlier = itertools.takewhile(lambda claim: claim[0] != grid, self._claims.items())
        claims = [(grid, self._claims[grid]), *reversed([*earlier])]
        return PlacedReference(self.nomenclature, self._source.dataset, claims)

    def _places_of(self, grid: TileGrid, around: str) -> NDArray[np.int32]:
        """The number of the place of each patch, int32 (rows, columns)."""
        rows, columns = -(-grid.height // PATCH_SIZE), -(-grid.width // PATCH_SIZE)
        if self._options.split_by in (TILE, SCENE):
            return np.full((rows, columns), self._number(around), np.int32)
        x = grid.left + (np.arange(columns) + 0.5) * PATCH_SIZE
        y = grid.top - (np.arange(rows) + 0.5) * PATCH_SIZE
        to_blocks = Transformer.from_crs(grid.crs, BLOCKS_CRS, always_xy=True)
        both = np.stack(to_blocks.transform(*np.meshgrid(x, y)), axis=-1)
        keys = np.floor(both / self._options.block_size).astype(int).reshape(-1, 2).tolist()
        numbers = [self._number(tuple(key)) for key in keys]
        return np.array(numbers, np.int32).reshape(rows, columns)

    def _number(self, place: Any) -> int:
        return self._numbers.setdefault(place, len(self._numbers))

    def facts(self) -> dict[str, Any]:
        """Where labels come from."""
        return {"file": self._source.path.name, "resampling": "majority"}


class PlacedReference:
    """The raster on the ground of one scene."""

    def __init__(self, classes: Nomenclature, dataset: Any, claims: Sequence[Claim]) -> None:
        """``claims``: the scene's own, and those that go before it, the first one last."""
        self._dataset, self._claims, self._grid = dataset, claims, claims[0][0]
        #: a value that is no class, for the ground beyond the raster
        codes = {c.code for c in classes.classes}
        limits = np.iinfo(dataset.dtypes[0]) if np.dtype(dataset.dtypes[0]).kind in "ui" else None
        highest = 65535 if limits is None else int(limits.max)
        free = (code for code in range(min(highest, 65535), -1, -1) if code not in codes)
        self._nothing = next(free, None)
        self._positions = np.full(65537, NO_LABEL, np.int32)
        self._positions[[c.code for c in classes.classes]] = np.arange(len(classes))

    def strip(self, first: int, last: int, folds: NDArray[np.int32] | None) -> Burnt:
        """Labels of pixel rows ``first`` to ``last`` (exclusive); see ``PlacedLabels``."""
        codes = self._codes(first, last)
        whole = np.isfinite(codes) if codes.dtype.kind == "f" else np.ones(codes.shape, bool)
        inside = whole & (codes >= 0) & (codes < 65536)
        positions = self._positions[np.where(inside, codes, 65536).astype(np.int64)]
        gap = 0 if folds is None else _GAP // PIXEL
        places = self._places(first - gap, last + gap, gap)
        if folds is not None:
            near = _near_others(folds[places], gap)
            positions = np.where(near & (positions >= 0), CONTESTED, positions)
        return Burnt(positions.astype(np.int32), _inner(places, gap))

    def _places(self, first: int, last: int, beyond: int) -> NDArray[np.int32]:
        """Places of pixel rows ``first`` to ``last``, and as many columns ``beyond`` the scene."""
        own = self._grid
        edges = own.top - PIXEL * np.array([first, last])
        stops = np.arange(-PATCH_SIZE, own.width + 2 * PATCH_SIZE, PATCH_SIZE)
        x = PIXEL * (np.arange(-beyond, own.width // PIXEL + beyond) + 0.5)
        down = ((np.arange(last - first) + 0.5) / (last - first))[:, None]
        found = np.zeros((last - first, len(x)), np.int32)
        for grid, places in self._claims:
            # between zones a patch is turned, and its sides bend by less than a tenth of a metre
            to_grid = Transformer.from_crs(own.crs, grid.crs, always_xy=True)
            right, up = to_grid.transform(*np.meshgrid(own.left + stops, edges))
            if not _meet(right - grid.left, grid.width) or not _meet(grid.top - up, grid.height):
                continue
            across, along = (
                (1 - down) * np.interp(x, stops, line[0]) + down * np.interp(x, stops, line[1])
                for line in (right - grid.left, grid.top - up)
            )
            there = (across >= 0) & (across < grid.width) & (along >= 0) & (along < grid.height)
            if grid == own:
                there[:] = True  # the scene's last patches go on
            row, column = (
                np.clip(metres[there] // PATCH_SIZE, 0, most - 1).astype(np.intp)
                for metres, most in zip((along, across), places.shape, strict=True)
            )
            found[there] = places[row, column]
        return found

    def _codes(self, first: int, last: int) -> NDArray[Any]:
        """Codes of pixels of 10 m by majority; what is no class where the raster has no data."""
        rows, columns = self._grid.shape(PIXEL)
        try:
            with WarpedVRT(
                self._dataset,
                crs=rasterio.CRS.from_user_input(self._grid.crs),
                transform=self._grid.transform(PIXEL),
                width=columns,
                height=rows,
                src_nodata=self._dataset.nodata,
                nodata=self._nothing,
                resampling=Resampling.mode,
                warp_mem_limit=256,
            ) as warped:
                codes: NDArray[Any] = warped.read(1, window=Window(0, first, columns, last - first))
        except RasterioError as error:
            raise OutputError(
                self._dataset.name,
                found=f"a raster that cannot be brought to {self._grid.crs} ({error})",
                expected="a whole file in a CRS that can",
                remedy="Reproject it, to the UTM zone say.",
            ) from error
        return codes


def _near_others(folds: NDArray[np.int32], gap: int) -> NDArray[np.bool_]:
    """Pixels with another fold within ``gap`` pixels; ``folds`` has so many more on each side."""
    side = 2 * gap + 1
    least = minimum_filter(np.where(folds == NO_FOLD, np.iinfo(np.int32).max, folds), side)
    return _inner((least < folds) | (maximum_filter(folds, side) > folds), gap)


def _meet(metres: NDArray[np.float64], side: int) -> bool:
    """Whether places along an axis of a grid, all of them known, reach the ground it covers."""
    return bool(np.isfinite(metres).all() and metres.max() >= 0 and metres.min() < side)


def _inner(pixels: NDArray[Any], gap: int) -> NDArray[Any]:
    """``pixels`` without ``gap`` on each side."""
    rows, columns = pixels.shape
    return pixels[gap : rows - gap, gap : columns - gap]


def open_reference(
    path: Path, options: LabelOptions, *, class_file: Path | str | None = None
) -> Reference:
    """A raster of one band of classes, a map of geolulc among them.

    Args:
        path: the raster, in any CRS and resolution.
        options: how labels are split.
        class_file: a nomenclature (a file, or the name of a built-in one) whose codes it holds;
            None: the raster's own names and colours.

    Raises:
        OutputError: it is no such raster, or holds codes of no class.
        ParameterError: the nomenclature is wrong; ``split_by`` is a column.
    """
    if options.split_by not in (BLOCKS, TILE, SCENE):
        raise ParameterError(
            "split by",
            found=f"{options.split_by!r} of a raster",
            expected=f"{BLOCKS}, {TILE} or {SCENE}",
            remedy="Only features have columns.",
        )
    source = open_classified(path, None if class_file is None else Path(class_file))
    if source.dataset.count != 1:
        source.dataset.close()
        raise OutputError(
            path,
            found=f"{source.dataset.count} bands",
            expected="one of classes",
            remedy="Give map_classes.tif, beside it.",
        )
    if class_file is not None:
        classes = find_nomenclature(class_file)
    elif source.header is not None:
        classes = source.header.nomenclature
    else:
        plain = [{"name": c.name, "code": c.code, "color": c.color} for c in source.classes]
        title = path.stem[:500]
        classes = nomenclature_of({"id": "raster", "title": title, "classes": plain})
    return Reference(source, classes, options)
