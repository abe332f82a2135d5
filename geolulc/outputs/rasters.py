"""Cloud Optimized GeoTIFFs of maps that do not fit into memory: written block by block.

Blocks go into a tiled GeoTIFF as they come. In the end GDAL's COG driver makes the file from it,
and the file is read back and compared with the blocks. Nothing is changed in the file afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import rasterio.shutil
import xxhash
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geolulc.errors import OutputError
from geolulc.grid import Grid

#: Rows written at a time: 27 MB of a tile at 10 m with 19 classes.
ROWS: Final = 128
#: Two blocks of the file make a block of a mosaic; many make some whole rows of a scene's map.
_SCRATCH: Final[Mapping[str, Any]] = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": 256,
    "blockysize": ROWS,
    "interleave": "band",
    "compress": "ZSTD",  # read once, by the library that wrote it: a third of the disk
    "zstd_level": 1,
    "sparse_ok": True,  # blocks that no map of a mosaic reaches take no room
    "bigtiff": "IF_SAFER",
}
_COG: Final[Mapping[str, Any]] = {
    "driver": "COG",
    "compress": "DEFLATE",  # every reader has it
    "level": 4,  # faster than 6, files are hardly larger
    "bigtiff": "IF_SAFER",
    "num_threads": "ALL_CPUS",  # compression; the bytes are the same
}
#: Bytes of GDAL's block cache; its default is a share of the machine's memory.
_CACHE: Final = 64 * 2**20


@contextmanager
def raster_memory() -> Iterator[None]:
    """GDAL with a block cache of 64 MiB, whatever the machine has."""
    with rasterio.Env(GDAL_CACHEMAX=_CACHE):
        yield


@contextmanager
def without_side_files() -> Iterator[None]:
    """Rasters that are opened in it are what their own file says: no .aux.xml, .ovr, .msk, .tfw.

    A GIS writes such files beside a raster that it shows.
    """
    with rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        yield


@dataclass(frozen=True)
class Band:
    """A band's description, tags, unit and, where its values are quantised, scale."""

    description: str
    tags: Mapping[str, str] = field(default_factory=dict)
    scale: float = 1.0
    unit: str | None = None


@dataclass(frozen=True)
class RasterPlan:
    """The layout of a raster.

    Attributes:
        grid: the cells.
        bands: a ``Band`` for each band.
        dtype: "uint8", "uint16", "uint32" or "float32".
        nodata: value of cells without data, and of cells that are never written.
        overviews: resampling of overviews: "AVERAGE", "MODE" or "NEAREST".
        colors: colour table of a single uint8 band.
        block: cells along a block of the file.
    """

    grid: Grid
    bands: Sequence[Band]
    dtype: str
    nodata: float
    overviews: str = "NEAREST"
    colors: Mapping[int, tuple[int, int, int]] | None = None
    block: int = 512


def scratch_raster(path: Path, plan: RasterPlan) -> Any:
    """A new raster for as long as a map is made: a rasterio dataset for ``write_block``."""
    rows, columns = plan.grid.shape
    dataset = rasterio.open(
        path,
        "w",
        **_SCRATCH,
        width=columns,
        height=rows,
        count=len(plan.bands),
        dtype=plan.dtype,
        nodata=plan.nodata,
        crs=plan.grid.extent.crs,
        transform=plan.grid.transform,
    )
    if plan.colors:  # before the first block: libtiff cannot add it to a file with pixels
        dataset.write_colormap(1, dict(plan.colors))
    return dataset


def write_block(dataset: Any, row: int, column: int, values: NDArray[Any]) -> None:
    """Write the cells from ``row`` and ``column`` on: (band, rows, columns)."""
    high, wide = values.shape[1:]
    dataset.write(values, window=Window(column, row, wide, high))


def windows(shape: tuple[int, int], size: int) -> Iterator[Window]:
    """Windows of at most ``size`` × ``size`` cells over a raster, row by row of windows."""
    rows, columns = shape
    for row in range(0, rows, size):
        for column in range(0, columns, size):
            yield Window(column, row, min(size, columns - column), min(size, rows - row))


class RasterWriter:
    """A Cloud Optimized GeoTIFF from blocks. Use as a context; ``finish`` makes the file."""

    def __init__(self, path: Path, plan: RasterPlan) -> None:
        """``path`` is a new file; a hidden file lies beside it until the context ends."""
        self._path, self._plan = path, plan
        self._blocks = path.with_name(f".{path.name}.blocks.tif")
        self._scratch = scratch_raster(self._blocks, plan)
        counted = _Counts if plan.dtype in ("uint8", "uint16") else _Moments
        self._statistics = [counted(plan) for _ in plan.bands]
        self._checksums: dict[tuple[int, int], list[tuple[Window, int]]] = {}

    def __enter__(self) -> RasterWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()
        self._blocks.unlink(missing_ok=True)

    def write(self, row: int, column: int, values: NDArray[Any]) -> None:
        """The cells from ``row`` and ``column`` on: (band, rows, columns) of the plan's dtype.

        Blocks come in any order, each cell once.
        """
        write_block(self._scratch, row, column, values)
        for statistics, band in zip(self._statistics, values, strict=True):
            statistics.add(band)
        for place, piece in _pieces(row, column, values, self._plan.block):
            block = place.row_off // self._plan.block, place.col_off // self._plan.block
            self._checksums.setdefault(block, []).append((place, _checksum(piece)))

    def finish(self, tags: Mapping[str, str]) -> None:
        """Make the file, with ``tags``, and read it back; in any thread.

        Raises:
            OutputError: the file on the disk does not hold the blocks (a full disk).
        """
        dataset, plan = self._scratch, self._plan
        rows, columns = plan.grid.shape
        dataset.update_tags(**tags)
        dataset.scales = tuple(b.scale for b in plan.bands)
        for i, (band, found) in enumerate(zip(plan.bands, self._statistics, strict=True), start=1):
            dataset.set_band_description(i, band.description)
            if band.unit:
                dataset.set_band_unit(i, band.unit)
            dataset.update_tags(i, **band.tags, **_statistics_tags(found, rows * columns))
        dataset.close()
        with raster_memory():
            rasterio.shutil.copy(
                self._blocks,
                self._path,
                **_COG,
                blocksize=plan.block,
                predictor="NO" if plan.colors else "YES",
                overview_resampling=plan.overviews,
            )
            self._blocks.unlink()
            self._verify()

    def _verify(self) -> None:
        # closing a dataset on a full disk does not always raise: read the file back
        try:
            with rasterio.open(self._path) as dataset:
                # block by block: all bands of one are unpacked together, and only once
                same = all(
                    self._is_written(dataset, *block, places)
                    for block, places in self._checksums.items()
                )
        except RasterioError:
            same = False
        if not same:
            raise OutputError(
                self._path.name,
                found="the file on the disk is not what was written",
                expected="to write the whole output",
                remedy="Free some space or give another path.",
            )

    def _is_written(
        self, dataset: Any, row: int, column: int, places: Sequence[tuple[Window, int]]
    ) -> bool:
        side = self._plan.block
        top, left = row * side, column * side
        high, wide = min(side, dataset.height - top), min(side, dataset.width - left)
        values = dataset.read(window=Window(left, top, wide, high))
        for place, checksum in places:
            rows = slice(place.row_off - top, place.row_off - top + place.height)
            columns = slice(place.col_off - left, place.col_off - left + place.width)
            if _checksum(values[:, rows, columns]) != checksum:
                return False
        return True


def _pieces(
    row: int, column: int, values: NDArray[Any], side: int
) -> Iterator[tuple[Window, NDArray[Any]]]:
    """The parts of ``values`` that lie in one block of the file each, with their place in it."""
    high, wide = values.shape[1:]
    for top, bottom in _cuts(row, row + high, side):
        for left, right in _cuts(column, column + wide, side):
            piece = values[:, top - row : bottom - row, left - column : right - column]
            yield Window(left, top, right - left, bottom - top), piece


def _cuts(start: int, stop: int, side: int) -> Iterator[tuple[int, int]]:
    while start < stop:
        end = min((start // side + 1) * side, stop)
        yield start, end
        start = end


def _checksum(values: NDArray[Any]) -> int:
    # one NaN is as good as another, and -0 as 0
    plain = np.nan_to_num(values, nan=-1.0) + 0 if values.dtype.kind == "f" else values
    return xxhash.xxh3_64_intdigest(np.ascontiguousarray(plain).data)


class _Counts:
    """Statistics of a band of whole numbers, from the number of cells of each value: exact."""

    def __init__(self, plan: RasterPlan) -> None:
        self._nodata = int(plan.nodata)
        self._counts = np.zeros(int(np.iinfo(plan.dtype).max) + 1, np.int64)

    def add(self, band: NDArray[Any]) -> None:
        self._counts += np.bincount(band.ravel(), minlength=len(self._counts))

    @property
    def found(self) -> tuple[int, float, float, float, float]:
        """Number of cells, lowest and highest value, mean, and sum of squares about it."""
        known = self._counts.copy()
        known[self._nodata] = 0
        present, total = np.flatnonzero(known), int(known.sum())
        if not total:
            return 0, math.nan, math.nan, math.nan, math.nan
        values = np.arange(len(known))
        mean = float(known @ values) / total
        squares = float(known @ (values - mean) ** 2)
        return total, float(present[0]), float(present[-1]), mean, squares


class _Moments:
    """Statistics of a band of fractions, block by block (Chan, Golub and LeVeque 1983)."""

    def __init__(self, plan: RasterPlan) -> None:
        self._nodata = plan.nodata
        self.found = 0, math.inf, -math.inf, 0.0, 0.0

    def add(self, band: NDArray[Any]) -> None:
        known = np.isfinite(band) if math.isnan(self._nodata) else band != self._nodata
        values = band[known].astype(np.float64)
        if not values.size:
            return
        number, low, high, mean, squares = self.found
        more = float(values.mean())
        total = number + values.size
        apart = more - mean
        self.found = (
            total,
            min(low, float(values.min())),
            max(high, float(values.max())),
            mean + apart * values.size / total,
            squares + float(((values - more) ** 2).sum()) + apart**2 * number * values.size / total,
        )


def _statistics_tags(statistics: _Counts | _Moments, cells: int) -> dict[str, str]:
    """GDAL's STATISTICS_* tags of a band of so many cells, in the units of the file."""
    number, low, high, mean, squares = statistics.found
    if not number:
        return {"STATISTICS_VALID_PERCENT": "0"}
    return {
        "STATISTICS_MINIMUM": repr(low),
        "STATISTICS_MAXIMUM": repr(high),
        "STATISTICS_MEAN": repr(mean),
        "STATISTICS_STDDEV": repr(math.sqrt(squares / number)),
        "STATISTICS_VALID_PERCENT": f"{100 * number / cells:.4g}",
    }
