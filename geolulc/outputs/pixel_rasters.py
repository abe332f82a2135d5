"""Cloud Optimized GeoTIFFs of maps that no one holds whole: written block row by block row.

Rows go into a tiled GeoTIFF as they come; from it GDAL's COG driver makes the file in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import rasterio.shutil
import xxhash
from numpy.typing import NDArray
from rasterio.windows import Window

from geolulc.errors import OutputError
from geolulc.outputs.rasters import Band
from geolulc.pixel_map import PixelGrid, PixelMapHeader, PixelStrip

#: Pixels along a block of the file.
_BLOCK: Final = 512
#: Rows written at a time: 27 MB of a tile with 19 classes.
ROWS: Final = 128
_SCRATCH: Final[Mapping[str, Any]] = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": _BLOCK,
    "blockysize": ROWS,
    "interleave": "band",
    "compress": "ZSTD",  # read once, by the library that wrote it: a third of the disk
    "zstd_level": 1,
    "bigtiff": "IF_SAFER",
    "num_threads": "ALL_CPUS",
}
_COG: Final[Mapping[str, Any]] = {
    "driver": "COG",
    "compress": "DEFLATE",  # every reader has it
    "level": 4,  # faster than 6, files are hardly larger
    "blocksize": _BLOCK,
    "bigtiff": "IF_SAFER",
    "num_threads": "ALL_CPUS",  # compression; the bytes are the same
}


@dataclass(frozen=True)
class RasterPlan:
    """A raster: what its bands are and how it is laid out.

    Attributes:
        grid: the pixels.
        bands: one for each band.
        nodata: value of pixels without data.
        overviews: how overviews are made: "AVERAGE", "MODE" or "NEAREST".
        colors: colour table of a single band.
        dtype: "uint8" or "uint16".
    """

    grid: PixelGrid
    bands: Sequence[Band]
    nodata: int
    overviews: str
    colors: Mapping[int, tuple[int, int, int]] | None = None
    dtype: str = "uint8"


def whole_blocks(header: PixelMapHeader, strips: Iterable[PixelStrip]) -> Iterator[PixelStrip]:
    """The rows of ``strips`` in blocks of ``ROWS`` rows, the last one shorter.

    A block's array is used again for the next. Whatever the strips' heights, what is made of
    the blocks is the same to the last bit.

    Raises:
        ValueError: a strip is not uint8 (class, rows, columns) of the whole width, does not
            follow on the one before, or rows are missing at the end.
    """
    rows, columns = header.grid.shape
    block = np.empty((len(header.classes), min(ROWS, rows), columns), np.uint8)
    done = 0
    for strip in strips:
        p = strip.probabilities
        expected = (len(header.classes), p.shape[1] if p.ndim == 3 else 0, columns)
        if p.shape != expected or p.dtype != np.uint8:
            raise ValueError(f"a strip of {p.dtype} {p.shape}, not uint8 {expected}")
        if strip.row != done or done + p.shape[1] > rows:
            raise ValueError(
                f"a strip of {p.shape[1]} rows from {strip.row} after {done} of {rows}"
            )
        taken = 0
        while taken < p.shape[1]:
            start = done % ROWS
            count = min(p.shape[1] - taken, min(ROWS, rows - done + start) - start)
            block[:, start : start + count] = p[:, taken : taken + count]
            taken, done = taken + count, done + count
            if done % ROWS == 0 or done == rows:
                yield PixelStrip(done - start - count, block[:, : start + count])
    if done != rows:
        raise ValueError(f"{done} rows of {rows}")


class RasterWriter:
    """A COG from blocks of rows. Use as a context; ``finish`` makes the file."""

    def __init__(self, path: Path, scratch: Path, plan: RasterPlan) -> None:
        """``path`` is a new file; ``scratch`` one for the rows meanwhile, removed in the end."""
        self._path, self._scratch, self._plan = path, scratch, plan
        self._values = int(np.iinfo(plan.dtype).max) + 1
        self._counts = np.zeros((len(plan.bands), self._values), np.int64)
        self._digests = [xxhash.xxh3_128() for _ in plan.bands]
        self._row = 0
        rows, columns = plan.grid.shape
        self._dataset = rasterio.open(
            scratch,
            "w",
            **_SCRATCH,
            width=columns,
            height=rows,
            count=len(plan.bands),
            dtype=plan.dtype,
            nodata=plan.nodata,
            crs=plan.grid.tile.crs,
            transform=plan.grid.transform,
        )

    def __enter__(self) -> RasterWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._dataset.close()
        self._scratch.unlink(missing_ok=True)

    def append(self, values: NDArray[Any]) -> None:
        """The next rows, best ``ROWS`` of them: (band, rows, columns) of the plan's dtype."""
        rows = values.shape[1]
        values = np.ascontiguousarray(values)
        self._dataset.write(values, window=Window(0, self._row, values.shape[2], rows))
        for counts, digest, band in zip(self._counts, self._digests, values, strict=True):
            counts += np.bincount(band.ravel(), minlength=self._values)
            digest.update(band.data)
        self._row += rows

    def finish(self, tags: Mapping[str, str]) -> None:
        """Make the file, with ``tags``, and read it back.

        Raises:
            OutputError: what is on the disk is not what was written (a full disk).
        """
        dataset, plan = self._dataset, self._plan
        dataset.update_tags(**tags)
        dataset.scales = tuple(b.scale for b in plan.bands)
        for i, band in enumerate(plan.bands, start=1):
            dataset.set_band_description(i, band.description)
            statistics = _statistics(self._counts[i - 1], plan.nodata)
            dataset.update_tags(i, **band.tags, **statistics)
        if plan.colors:
            dataset.write_colormap(1, dict(plan.colors))
        dataset.close()
        rasterio.shutil.copy(
            self._scratch,
            self._path,
            **_COG,
            predictor="NO" if plan.colors else "YES",
            overview_resampling=plan.overviews,
        )
        self._scratch.unlink()
        self._verify()

    def _verify(self) -> None:
        # closing a dataset on a full disk does not always raise: read back what is there
        same = False
        found = [xxhash.xxh3_128() for _ in self._plan.bands]
        try:
            with rasterio.open(self._path) as dataset:
                for top in range(0, dataset.height, _BLOCK):
                    rows = min(_BLOCK, dataset.height - top)
                    window = Window(0, top, dataset.width, rows)
                    for i, digest in enumerate(found, start=1):
                        digest.update(dataset.read(i, window=window).data)
            same = all(a.digest() == b.digest() for a, b in zip(found, self._digests, strict=True))
        except rasterio.errors.RasterioIOError:
            pass
        if not same:
            raise OutputError(
                self._path.name,
                found="the file on the disk is not what was written",
                expected="to write the whole output",
                remedy="Free some space or give another path.",
            )


def _statistics(counts: NDArray[np.int64], nodata: int) -> dict[str, str]:
    """As ``rasters.band_statistics``, from the number of pixels of each value."""
    known = counts.copy()
    known[nodata] = 0
    total = int(known.sum())
    if not total:
        return {"STATISTICS_VALID_PERCENT": "0"}
    values = np.arange(len(counts))
    there = np.flatnonzero(known)
    mean = float(known @ values) / total
    return {
        "STATISTICS_MINIMUM": repr(float(there[0])),
        "STATISTICS_MAXIMUM": repr(float(there[-1])),
        "STATISTICS_MEAN": repr(mean),
        "STATISTICS_STDDEV": repr(float(np.sqrt(known @ (values - mean) ** 2 / total))),
        "STATISTICS_VALID_PERCENT": f"{100 * total / int(counts.sum()):.4g}",
    }
