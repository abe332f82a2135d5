"""The unlabelled imagery of dynamicworld-student, as stacks of GeoTIFFs that ``prepare`` reads.

    python benchmarks/student_imagery.py SHARED STACKS
    geolulc prepare --unlabelled … STACKS/l2a/* world.store
    geolulc prepare --unlabelled STACKS/l1c/* world-l1c.store

SHARED holds the files of public repositories under the names that the card of the model gives
them. STACKS/l2a gets Level-2A, STACKS/l1c the Level-1C images of the same ground, which the teacher
sees (``--teacher-store``). Brandenburg is known in Level-1C only: its Level-2A is computed with the
air that ``geolulc map`` computes the other way.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform

from geolulc.bands import BAND_NAMES, SENTINEL2
from geolulc.products.atmosphere import air_of
from geolulc.products.directions import Direction
from geolulc.products.sun import sun_zenith

#: Bands of Level-1C in the order of the pairs.
LEVEL_1C = (*BAND_NAMES[: BAND_NAMES.index("B09") + 1], "B10", "B11", "B12")
#: File of ``imagery`` → time, UTC, "" where it is not known, and whether 1000 is in its numbers.
CHIPS = {
    "hydro/patch_1.tif": ("", True),
    "hydro/patch_100.tif": ("", True),
    "hydro/patch_1000.tif": ("", True),
    "hydro/patch_10000.tif": ("", False),
    "eotdl/Boadella_2022-03-08.tif": ("2022:03:08 10:50:00", False),
    "eotdl/s2_roads.tiff": ("", False),
    "eotdl/ship_209075000_2022-08-12.tif": ("2022:08:12 10:30:00", False),
    "eotdl/ship_210017000_2022-08-12.tif": ("2022:08:12 10:30:00", False),
    "eotdl/ship_210167000_2022-08-12.tif": ("2022:08:12 10:30:00", False),
}
#: Pair → whether 1000 is in the numbers of its Level-2A and of its Level-1C.
PAIRS = {
    "282D_485L_3_3": (False, True),
    "38D_378R_2_3": (False, False),
    "433D_629L_3_1": (True, True),
    "637U_59R_1_3": (False, False),
}


def write(
    file: Path,
    bands: dict[str, NDArray[Any]],
    profile: dict[str, Any],
    time: str,
    shifted: bool = False,
) -> None:
    """One GeoTIFF of bands on one grid, named, with its time and offset."""
    file.parent.mkdir(parents=True, exist_ok=True)
    first = next(iter(bands.values()))
    known = {name: profile[name] for name in ("crs", "transform")} | {"compress": "deflate"}
    rows, columns = first.shape
    known |= {"count": len(bands), "height": rows, "width": columns, "dtype": first.dtype}
    with rasterio.open(file, "w", driver="GTiff", **known) as out:
        out.write(np.stack(list(bands.values())))
        out.descriptions = tuple(bands)
        if shifted:
            out.scales, out.offsets = [1e-4] * len(bands), [-0.1] * len(bands)
        if time:
            out.update_tags(TIFFTAG_DATETIME=time)


def read(file: Path, names: tuple[str, ...]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Its bands by name, and its grid."""
    with rasterio.open(file) as data:
        return dict(zip(names, data.read(), strict=True)), dict(data.profile)


def folder(source: list[Path], out: Path, time: str) -> None:
    """A folder of one GeoTIFF a band from files whose names say their band ("…_B02_10m", "B2")."""
    for file in source:
        text = next(part for part in reversed(file.stem.split("_")) if part.startswith("B"))
        name = next(n for n in BAND_NAMES if n.lstrip("B0") == text.lstrip("B0"))
        bands, profile = read(file, (name,))
        write(out / f"{out.name}_{name}.tif", bands, profile, time)


def brandenburg(source: Path, level_2a: Path, level_1c: Path) -> None:
    """Both levels of a Level-1C image: what the air adds is taken away for Level-2A."""
    time = datetime(2017, 2, 16, 10, 21, 1)
    text = time.strftime("%Y:%m:%d %H:%M:%S")
    for file in sorted(source.glob("*.jp2")):
        name = file.stem.rsplit("_", 1)[1]
        bands, profile = read(file, (name,))
        write(level_1c / f"brandenburg_{name}.tif", bands, profile, text)
        if name == "B10":
            continue
        place = profile["transform"] * (profile["width"] / 2, profile["height"] / 2)
        (longitude,), (latitude,) = transform(profile["crs"], 4326, *([v] for v in place))
        sun = Direction(sun_zenith(time, longitude, latitude))
        air = air_of((name,), sun)[name]
        seen = bands[name] / SENTINEL2.scale
        ground = (seen - air.path) / air.transmission
        ground = ground / (1 + air.albedo * ground) * SENTINEL2.scale
        dn = np.where(bands[name] == 0, 0, ground.round().clip(1, 65535)).astype(np.uint16)
        write(level_2a / f"brandenburg_{name}.tif", {name: dn}, profile, text)


def main(shared: Path, out: Path) -> None:
    for name, (time, shifted) in CHIPS.items():
        bands, profile = read(shared / "imagery" / name, BAND_NAMES)
        file = out / "l2a" / f"{Path(name).stem}.tif"
        write(file, bands, profile, time, shifted)
    for name, shifts in PAIRS.items():
        for level, names, shifted in zip(
            ("l2a", "l1c"), (BAND_NAMES, LEVEL_1C), shifts, strict=True
        ):
            bands, profile = read(shared / "pairs" / f"{name}_{level}.tif", names)
            write(out / level / f"{name}.tif", bands, profile, "", shifted)
    (punjab,) = (shared / "imagery/ssl4eo-s12-0000200").iterdir()
    folder(sorted(punjab.glob("*.tif")), out / "l2a/punjab", "2020:06:04 05:48:31")
    sicily = shared / "imagery/T33SVB_20181229_N0211"
    folder(sorted(sicily.glob("*.jp2")), out / "l2a/sicily", "2018:12:29 09:54:11")
    source = shared / "own-labels/brandenburg-l1c/IMG_DATA"
    brandenburg(source, out / "l2a/brandenburg", out / "l1c/brandenburg")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("stacks", type=Path)
    arguments = parser.parse_args()
    main(arguments.shared, arguments.stacks)
