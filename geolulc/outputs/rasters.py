"""Cloud Optimized GeoTIFFs of a map. GDAL's COG driver lays them out; nothing is changed after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray

from geolulc.errors import OutputError
from geolulc.grid import CellGrid

#: Cells along a block. A tile at 1,200 m is one block, at 120 m 4 × 4 with overviews.
_BLOCK: Final = 256
_CREATION: Final[Mapping[str, Any]] = {
    "driver": "COG",
    "compress": "DEFLATE",  # every reader has it; at these sizes ZSTD gains nothing
    "blocksize": _BLOCK,
    "bigtiff": "IF_SAFER",
    "num_threads": "ALL_CPUS",  # compression; the bytes are the same
}
#: Bytes of GDAL's block cache; its default is a share of the machine's memory.
_CACHE: Final = 64 * 2**20


@contextmanager
def raster_memory() -> Iterator[None]:
    """GDAL with a block cache of 64 MiB, whatever the machine has, and all its cores."""
    with rasterio.Env(GDAL_CACHEMAX=_CACHE, GDAL_NUM_THREADS="ALL_CPUS"):
        yield


@dataclass(frozen=True)
class Band:
    """A band's description, tags and, where its values are quantised, scale."""

    description: str
    tags: Mapping[str, str]
    scale: float = 1.0
    unit: str | None = None


@dataclass(frozen=True)
class Layer:
    """What a raster of a map holds, or a part of it; attributes as in ``write_raster``."""

    values: NDArray[Any]
    bands: Sequence[Band]
    nodata: float
    overviews: str
    colors: Mapping[int, tuple[int, int, int]] | None = None


def write_layer(path: Path, layer: Layer, grid: CellGrid, tags: Mapping[str, str]) -> None:
    """``write_raster`` of a ``layer`` that is all of the map."""
    write_raster(
        path,
        layer.values,
        grid,
        layer.bands,
        nodata=layer.nodata,
        tags=tags,
        overviews=layer.overviews,
        colors=layer.colors,
    )


def write_raster(
    path: Path,
    values: NDArray[Any],
    grid: CellGrid,
    bands: Sequence[Band],
    *,
    nodata: float,
    tags: Mapping[str, str],
    overviews: str,
    colors: Mapping[int, tuple[int, int, int]] | None = None,
) -> None:
    """Write ``values`` (band, rows, columns) as a Cloud Optimized GeoTIFF.

    Args:
        path: a new file.
        values: float32, uint8 or uint16; ``nodata`` where there is nothing.
        grid: places the cells on the ground.
        bands: one for each of ``values``.
        nodata: value of cells without data.
        tags: metadata of the file.
        overviews: how overviews are made: "AVERAGE", "MODE" or "NEAREST".
        colors: colour table of a single uint8 band.

    Raises:
        OutputError: what is on the disk afterwards is not what was written (a full disk).
    """
    rows, columns = grid.shape
    predictor = "YES" if colors is None else "NO"
    with rasterio.open(
        path,
        "w",
        **_CREATION,
        predictor=predictor,
        overview_resampling=overviews,
        width=columns,
        height=rows,
        count=len(values),
        dtype=values.dtype,
        nodata=nodata,
        crs=grid.tile.crs,
        transform=grid.transform,
    ) as dataset:
        dataset.write(values)
        dataset.update_tags(**tags)
        dataset.scales = tuple(b.scale for b in bands)
        for i, band in enumerate(bands, start=1):
            dataset.set_band_description(i, band.description)
            if band.unit:
                dataset.set_band_unit(i, band.unit)
            dataset.update_tags(i, **band.tags, **band_statistics(values[i - 1], nodata=nodata))
        if colors:
            dataset.write_colormap(1, dict(colors))
    _verify(path, values)


def band_statistics(band: NDArray[Any], *, nodata: float) -> dict[str, str]:
    """GDAL's STATISTICS_* tags of a band, in the units of the file; {} where all is nodata."""
    valid = np.isfinite(band) if np.isnan(nodata) else band != nodata
    if not valid.any():
        return {"STATISTICS_VALID_PERCENT": "0"}
    values = band[valid].astype(np.float64)
    return {
        "STATISTICS_MINIMUM": repr(float(values.min())),
        "STATISTICS_MAXIMUM": repr(float(values.max())),
        "STATISTICS_MEAN": repr(float(values.mean())),
        "STATISTICS_STDDEV": repr(float(values.std())),
        "STATISTICS_VALID_PERCENT": f"{100 * valid.mean():.4g}",
    }


def _verify(path: Path, values: NDArray[Any]) -> None:
    # closing a dataset on a full disk does not always raise: read back what is there
    may_be_nan = values.dtype.kind == "f"
    try:
        with rasterio.open(path) as dataset:
            same = dataset.count == len(values) and all(
                np.array_equal(dataset.read(i), band, equal_nan=may_be_nan)
                for i, band in enumerate(values, start=1)
            )
    except rasterio.errors.RasterioIOError:
        same = False
    if not same:
        raise OutputError(
            path.name,
            found="the file on the disk is not what was written",
            expected="to write the whole output",
            remedy="Free some space or give another path.",
        )
