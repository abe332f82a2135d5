"""Make a BigEarthNet v2 archive with reference maps from made landscapes, one a seed.

    python examples/make_archive.py FOLDER [--train 1,2] [--val 3] [--test 4] [--size 12000]

Each landscape (``make_scene.make_landscape``) is cut into patches; the reference map of a patch
holds the CORINE code of every pixel's cover. ``geolulc prepare FOLDER STORE --reference-maps``
takes it. ``write_archive`` does the same with any arrays.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from make_scene import COVERS, make_landscape
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import from_origin

from geolulc.bands import BANDS
from geolulc.nomenclature import BEN19

#: Side of a patch in metres.
PATCH: Final = 1200
#: Countries that scenes get in turn, and the first day of their sensing.
COUNTRIES: Final = ("Austria", "Finland", "Portugal")
FIRST_DAY: Final = date(2017, 6, 13)
#: Our name of a split → the one of the metadata of v2.
SPLITS: Final[Mapping[str, str]] = {"train": "train", "val": "validation", "test": "test"}


class Scene(NamedTuple):
    """What patches are cut from: DN without offset by band (native resolution), CORINE codes."""

    bands: Mapping[str, NDArray[np.uint16]]
    codes: NDArray[np.uint16]
    split: str = "train"


def landscape_scene(seed: int, split: str = "train", size: int = 12_000) -> Scene:
    """The landscape of ``seed``, a square of ``size`` metres."""
    landscape = make_landscape(size, seed)
    return Scene(landscape.bands, clc_codes([c.name for c in COVERS])[landscape.cover], split)


def clc_codes(names: Iterable[str]) -> NDArray[np.uint16]:
    """The first CORINE code of each class of the 19."""
    return np.array([BEN19[name].clc[0] for name in names], np.uint16)


def write_archive(folder: Path, scenes: Sequence[Scene], *, every: int = 1) -> Path:
    """Write ``BigEarthNet-S2``, ``Reference_Maps`` and ``metadata.parquet`` into ``folder``.

    Scenes are on different days and, in turn, in different countries. A patch is labelled with
    the classes of its reference map.

    Args:
        folder: where the archive goes.
        scenes: what to cut patches from.
        every: take only one patch of so many.

    Returns:
        ``folder``.
    """
    rows = []
    for number, scene in enumerate(scenes):
        # seasons differ too: a quarter of a year from one scene to the next
        day = FIRST_DAY + timedelta(days=91 * (number % 4) + number // 4)
        tile = f"S2A_MSIL2A_{day:%Y%m%d}T101031_N9999_R022_T33UUP"
        down, across = (pixels * 10 // PATCH for pixels in scene.codes.shape)
        for place in range(0, down * across, every):
            row, column = divmod(place, across)
            name = f"{tile}_{column:02d}_{row:02d}"
            codes = _write_patch(folder, tile, name, scene, row, column)
            present = BEN19.positions_of_clc(np.unique(codes))
            rows.append(
                {
                    "patch_id": name,
                    "labels": [BEN19.names[p] for p in sorted({*present.tolist()} - {255})],
                    "split": SPLITS[scene.split],
                    "country": COUNTRIES[number % len(COUNTRIES)],
                    "s1_name": f"S1A_{name}",
                    "s2v1_name": f"S2A_MSIL2A_{day:%Y%m%d}T101031_{column}_{row}",
                    "contains_seasonal_snow": False,
                    "contains_cloud_or_shadow": False,
                }
            )
    pq.write_table(pa.Table.from_pylist(rows), folder / "metadata.parquet")
    return folder


def _write_patch(
    folder: Path, tile: str, name: str, scene: Scene, row: int, column: int
) -> NDArray[np.uint16]:
    left, top = 300_000 + PATCH * column, 5_400_000 - PATCH * row

    def window(pixels: NDArray[np.uint16], resolution: int) -> NDArray[np.uint16]:
        side = PATCH // resolution
        return pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]

    bands = folder / "BigEarthNet-S2" / tile / name
    maps = folder / "Reference_Maps" / tile / name
    bands.mkdir(parents=True)
    maps.mkdir(parents=True)
    for band in BANDS:
        pixels = window(scene.bands[band.name], band.resolution)
        _write_tiff(bands / f"{name}_{band.name}.tif", pixels, band.resolution, left, top)
    codes = window(scene.codes, 10)
    _write_tiff(maps / f"{name}_reference_map.tif", codes, 10, left, top)
    return codes


def _write_tiff(
    path: Path, pixels: NDArray[np.uint16], resolution: int, left: int, top: int
) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=pixels.shape[1],
        height=pixels.shape[0],
        count=1,
        dtype="uint16",
        crs=CRS.from_epsg(32633),
        transform=from_origin(left, top, resolution, resolution),
    ) as raster:
        raster.write(pixels, 1)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", default="1,2", help="seeds")
    parser.add_argument("--val", default="3", help="seeds")
    parser.add_argument("--test", default="4", help="seeds")
    parser.add_argument("--size", type=int, default=12_000, help="side of a landscape in metres")
    options = parser.parse_args()
    scenes = [
        landscape_scene(int(seed), split, options.size)
        for split in SPLITS
        for seed in getattr(options, split).split(",")
        if seed
    ]
    print(write_archive(options.folder, scenes))


if __name__ == "__main__":
    main()
