"""A raster of classes as labels: any CRS and resolution, brought to pixels of 10 m by majority."""

from __future__ import annotations

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


class Reference(AbstractContextManager["Reference"]):
    """A raster of classes; made by ``open_reference``, closed at the end of its context.

    Places are blocks, tiles or scenes; each patch belongs to the one that its centre is in, and
    pixels within 100 m of a patch of another fold have no label.
    """

    def __init__(self, source: ClassifiedMap, classes: Nomenclature, options: LabelOptions) -> None:
        self.nomenclature = classes
        self._source, self._options = source, options
        self._numbers: dict[Any, int] = {}

    def __exit__(self, *_: object) -> None:
        self._source.dataset.close()

    @property
    def place_count(self) -> int:
        """Number of places known so far."""
        return len(self._numbers)

    def place(self, key: Any) -> int:
        """The number of a place."""
        return self._numbers.setdefault(key, len(self._numbers))

    def on(self, grid: TileGrid, around: str) -> PlacedReference:
        """The labels on the ground of a scene; see ``Labels``."""
        return PlacedReference(self, self._source.dataset, grid, around, self._options)

    def facts(self) -> dict[str, Any]:
        """Where labels come from."""
        return {"file": self._source.path.name, "resampling": "majority"}


class PlacedReference:
    """The raster on the ground of one scene."""

    def __init__(
        self,
        reference: Reference,
        dataset: Any,
        grid: TileGrid,
        around: str,
        options: LabelOptions,
    ) -> None:
        self._reference, self._dataset, self._grid = reference, dataset, grid
        classes = reference.nomenclature.classes
        #: a value that is no class, for the ground beyond the raster
        codes = {c.code for c in classes}
        limits = np.iinfo(dataset.dtypes[0]) if np.dtype(dataset.dtypes[0]).kind in "ui" else None
        highest = 65535 if limits is None else int(limits.max)
        free = (code for code in range(min(highest, 65535), -1, -1) if code not in codes)
        self._nothing = next(free, None)
        self._positions = np.full(65537, NO_LABEL, np.int32)
        self._positions[[c.code for c in classes]] = np.arange(len(classes))
        self._places = self._places_of(grid, around, options)

    def _places_of(self, grid: TileGrid, around: str, options: LabelOptions) -> NDArray[np.int32]:
        """int32 (rows, columns): the place of each patch."""
        rows, columns = -(-grid.height // PATCH_SIZE), -(-grid.width // PATCH_SIZE)
        if options.split_by in (TILE, SCENE):
            return np.full((rows, columns), self._reference.place(around), np.int32)
        x = grid.left + (np.arange(columns) + 0.5) * PATCH_SIZE
        y = grid.top - (np.arange(rows) + 0.5) * PATCH_SIZE
        to_blocks = Transformer.from_crs(grid.crs, BLOCKS_CRS, always_xy=True)
        both = np.stack(to_blocks.transform(*np.meshgrid(x, y)), axis=-1)
        keys = np.floor(both / options.block_size).astype(int).reshape(-1, 2).tolist()
        numbers = [self._reference.place(tuple(key)) for key in keys]
        return np.array(numbers, np.int32).reshape(rows, columns)

    def strip(self, first: int, last: int, folds: NDArray[np.int32] | None) -> Burnt:
        """Labels of pixel rows ``first`` to ``last`` (exclusive); see ``PlacedLabels``."""
        codes = self._codes(first, last)
        whole = np.isfinite(codes) if codes.dtype.kind == "f" else np.ones(codes.shape, bool)
        inside = whole & (codes >= 0) & (codes < 65536)
        positions = self._positions[np.where(inside, codes, 65536).astype(np.int64)]
        side = PATCH_SIZE // PIXEL
        rows, columns = (np.arange(a, b) for a, b in ((first, last), (0, codes.shape[1])))
        places = self._places[rows[:, None] // side, columns[None] // side]
        if folds is not None:
            of_patches = folds[self._places]
            near = np.zeros(codes.shape, bool)
            gap = _GAP // PIXEL
            own = of_patches[rows[:, None] // side, columns[None] // side]
            for down, right in ((gap, 0), (-gap, 0), (0, gap), (0, -gap)):
                there = np.clip((rows + down) // side, 0, of_patches.shape[0] - 1)
                across = np.clip((columns + right) // side, 0, of_patches.shape[1] - 1)
                other = of_patches[there[:, None], across[None]]
                near |= (other != own) & (other != NO_FOLD)
            positions = np.where(near & (positions >= 0), CONTESTED, positions)
        return Burnt(positions.astype(np.int32), places.astype(np.int32))

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
