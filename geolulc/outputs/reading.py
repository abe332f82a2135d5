"""A map.tif back into a ``LandCoverMap``."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geolulc.errors import GeolulcError, OutputError
from geolulc.grid import LOCATED_CELLS, CellGrid, Extent, MapGrid, TileGrid
from geolulc.landcover_map import LandCoverMap
from geolulc.nomenclature import nomenclature
from geolulc.outputs.tags import MOSAIC, model_of, scene_of

#: A file may claim any size: a map of 43 classes at 120 m has 36 million values.
_MOST_VALUES: Final = 2**30
#: What tags that are not as we write them lead to.
_MALFORMED: Final = (KeyError, ValueError, TypeError, AttributeError, RecursionError)


@contextmanager
def opened_map(path: Path) -> Iterator[Any]:
    """The rasterio dataset of a raster that geolulc wrote.

    Raises:
        OutputError: ``path`` is missing, no raster, damaged, or not written by geolulc.
    """
    try:
        with warnings.catch_warnings():
            # of a stranger's raster: the error below says what is wrong with it
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path)
        with dataset:
            if "GEOLULC_VERSION" not in dataset.tags():
                raise _not_a_map(path, "a raster without geolulc's tags")
            yield dataset
    except OutputError:
        raise
    except (GeolulcError, RasterioError, *_MALFORMED) as error:
        raise _not_a_map(path, f"{type(error).__name__}: {error}") from error


def read_map(path: Path) -> LandCoverMap:
    """The map in a map.tif, of any ``--dtype``.

    The file holds no valid and clear shares: ``valid`` is NaN, ``clear`` None. ``write_map`` of
    the result gives equal probabilities, tags and areas.

    Raises:
        OutputError: ``path`` is not the map.tif of a geolulc map.
    """
    with opened_map(path) as dataset:
        tags = dataset.tags()
        if tags.get("GEOLULC_FILE") != "probabilities":
            raise _not_a_map(path, f"geolulc's {tags.get('GEOLULC_FILE', 'unknown')} raster")
        if dataset.count * dataset.height * dataset.width > _MOST_VALUES:
            raise OutputError(
                path,
                found=f"{dataset.count} × {dataset.height} × {dataset.width} values",
                expected=f"a map written by geolulc, of at most {_MOST_VALUES:,} values",
                remedy="Mosaic a smaller region or larger cells, or read it by windows.",
            )
        grid = grid_of(dataset.crs.to_string(), tags)
        if grid.shape != dataset.shape or grid.transform != dataset.transform:
            raise _not_a_map(path, f"a grid of {dataset.shape} cells that its tags contradict")
        names = nomenclature(tags["NOMENCLATURE"])
        for name in dataset.descriptions:
            names[name]  # an unknown class is refused before the bands are read
        values = dataset.read()
        nodata = ~np.isfinite(values) if values.dtype.kind == "f" else values == dataset.nodata
        scale = np.array(dataset.scales)[:, None, None]
        p = np.where(nodata.any(axis=0), np.nan, values * scale).astype(np.float32)
        return LandCoverMap(
            grid=grid,
            classes=tuple(dataset.descriptions),
            nomenclature=names.id,
            probabilities=p,
            valid=np.full(grid.shape, np.nan, np.float32),
            thresholds=tuple(json.loads(tags["THRESHOLDS"])),
            scene=scene_of(tags),
            model=model_of(tags),
        )


def grid_of(crs: str, tags: Mapping[str, str]) -> CellGrid:
    """The cells of a map from its tags: a ``MapGrid`` unless it is a mosaic or inside patches."""
    left, bottom, right, top = json.loads(tags["TILE_EXTENT"])
    place = crs, left, top, round(right - left), round(top - bottom)
    sizes = int(tags["STRIDE_M"]), int(tags["PATCH_SIZE_M"])
    if MOSAIC in tags:
        return CellGrid(Extent(*place), *sizes)
    if sizes[0] in LOCATED_CELLS:
        return CellGrid(TileGrid(*place), *sizes)
    return MapGrid(TileGrid(*place), *sizes)


def _not_a_map(path: Path, found: str) -> OutputError:
    return OutputError(
        path,
        found=found,
        expected="a map written by geolulc",
        remedy="Give the map.tif that geolulc map wrote.",
    )
