"""Cloud Optimized GeoTIFFs of maps that no one holds whole, block by block.

Blocks go into a tiled GeoTIFF in any order; from it GDAL's COG driver makes the file in the end,
which is read back and held against what was written.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geolulc.errors import OutputError
from geolulc.grid import CellGrid
from geolulc.outputs.rasters import Layer

#: Bytes of GDAL's block cache; its default is a share of the machine's memory.
CACHE: Final = 128 * 2**20
_BLOCK: Final = 256
SCRATCH: Final[Mapping[str, Any]] = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": _BLOCK,
    "blockysize": _BLOCK,
    "interleave": "band",
    "compress": "ZSTD",  # read once, by the library that wrote it
    "zstd_level": 1,
    "sparse_ok": True,  # blocks that no map reaches take no room
    "bigtiff": "IF_SAFER",
}
_COG: Final[Mapping[str, Any]] = {
    "driver": "COG",
    "compress": "DEFLATE",  # every reader has it
    "blocksize": _BLOCK,
    "bigtiff": "IF_SAFER",
    "num_threads": "ALL_CPUS",  # compression; the bytes are the same
}


class BlockRaster:
    """One raster of a mosaic."""

    def __init__(self, path: Path, grid: CellGrid) -> None:
        """``path`` is a new file; beside it lies another until ``finish``."""
        self._path, self._grid = path, grid
        self._scratch = path.with_name(f"{path.name}.blocks.tif")
        self._dataset: Any = None
        self._layer: Layer | None = None
        self._sums: list[_Sums] = []
        self._written: dict[tuple[int, int, int, int], int] = {}

    def write(self, row: int, column: int, layer: Layer) -> None:
        """The cells from ``row`` and ``column`` on; all layers have the same bands."""
        if self._dataset is None:
            rows, columns = self._grid.shape
            self._dataset = rasterio.open(
                self._scratch,
                "w",
                **SCRATCH,
                width=columns,
                height=rows,
                count=len(layer.values),
                dtype=layer.values.dtype,
                nodata=layer.nodata,
                crs=self._grid.tile.crs,
                transform=self._grid.transform,
            )
            self._sums = [_Sums() for _ in layer.values]
            # the values of one block are enough: what is kept describes the bands
            self._layer = layer
        high, wide = layer.values.shape[1:]
        self._dataset.write(layer.values, window=Window(column, row, wide, high))
        self._written[(row, column, high, wide)] = _checksum(layer.values)
        for sums, band in zip(self._sums, layer.values, strict=True):
            sums.add(band, layer.nodata)

    def finish(self, tags: Mapping[str, str]) -> None:
        """Make the file.

        Raises:
            OutputError: what is on the disk afterwards is not what was written (a full disk).
        """
        layer, dataset = self._layer, self._dataset
        if layer is None or dataset is None:
            raise ValueError(f"nothing was written into {self._path}")
        rows, columns = self._grid.shape
        with dataset:
            dataset.update_tags(**tags)
            dataset.scales = tuple(b.scale for b in layer.bands)
            for i, (band, sums) in enumerate(zip(layer.bands, self._sums, strict=True), start=1):
                dataset.set_band_description(i, band.description)
                if band.unit:
                    dataset.set_band_unit(i, band.unit)
                dataset.update_tags(i, **band.tags, **sums.tags(rows * columns))
            if layer.colors:
                dataset.write_colormap(1, dict(layer.colors))
        rasterio.shutil.copy(
            self._scratch,
            self._path,
            **_COG,
            predictor="NO" if layer.colors else "YES",
            overview_resampling=layer.overviews,
        )
        self._scratch.unlink()
        self._verify()

    def close(self) -> None:
        """Let go of what is open; the file may be incomplete."""
        if self._dataset is not None:
            self._dataset.close()

    def _verify(self) -> None:
        # closing a dataset on a full disk does not always raise: read back what is there
        try:
            with rasterio.open(self._path) as dataset:
                same = all(
                    _checksum(dataset.read(window=Window(column, row, wide, high))) == expected
                    for (row, column, high, wide), expected in self._written.items()
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


class _Sums:
    """What GDAL's statistics of a band are made of."""

    def __init__(self) -> None:
        self._count = 0
        self._total = self._squares = 0.0
        self._least, self._most = math.inf, -math.inf

    def add(self, band: NDArray[Any], nodata: float) -> None:
        valid = np.isfinite(band) if np.isnan(nodata) else band != nodata
        values = band[valid].astype(np.float64)
        if values.size:
            self._count += values.size
            self._total += float(values.sum())
            self._squares += float((values**2).sum())
            self._least = min(self._least, float(values.min()))
            self._most = max(self._most, float(values.max()))

    def tags(self, cells: int) -> dict[str, str]:
        """As ``geolulc.outputs.rasters.band_statistics``."""
        if not self._count:
            return {"STATISTICS_VALID_PERCENT": "0"}
        mean = self._total / self._count
        return {
            "STATISTICS_MINIMUM": repr(self._least),
            "STATISTICS_MAXIMUM": repr(self._most),
            "STATISTICS_MEAN": repr(mean),
            "STATISTICS_STDDEV": repr(math.sqrt(max(self._squares / self._count - mean**2, 0.0))),
            "STATISTICS_VALID_PERCENT": f"{100 * self._count / cells:.4g}",
        }


def _checksum(values: NDArray[Any]) -> int:
    # one NaN is as good as another, and -0 as 0
    plain = np.nan_to_num(values, nan=-1.0) + 0 if values.dtype.kind == "f" else values
    return zlib.crc32(np.ascontiguousarray(plain).tobytes())
