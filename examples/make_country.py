"""Make a small country: two Sentinel-2 tiles that overlap, on two days, and three districts.

    python examples/make_country.py FOLDER

writes four ``.SAFE`` of 3.6 km into FOLDER, and ``districts.gpkg``. All are cut from one landscape
of ``make_scene.py``, so what two tiles show of one place agrees.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import geopandas
from make_scene import add_offset, make_landscape, write_safe
from shapely import box

from geolulc.bands import BANDS

#: Upper left corner of the country in UTM zone 32, and the sides of it and of a tile, in metres.
LEFT, TOP, WIDTH, TILE = 600_000, 5_200_020, 6_000, 3_600
#: Tile → its left edge from the country's; the tiles overlap by 1.2 km.
TILES: Final = {"32TPS": 0, "32TQS": 2_400}
DAYS: Final = ("2024-06-25T10:10:31", "2024-08-14T10:10:31")
DISTRICTS: Final = ("West", "Middle", "East")


def main(folder: Path) -> None:
    """Write scenes and districts."""
    landscape = make_landscape(WIDTH, seed=5)
    for tile, left in TILES.items():
        cut = {r: (slice(TILE // r), slice(left // r, (left + TILE) // r)) for r in (10, 20, 60)}
        bands = {
            b.name: add_offset(landscape.bands[b.name][cut[b.resolution]], -1000) for b in BANDS
        }
        place = {"tile": tile, "ulx": LEFT + left, "uly": TOP}
        for day in DAYS:
            print(write_safe(folder, bands, scl=landscape.scl[cut[20]], sensing=day, **place))
    side = WIDTH / len(DISTRICTS)
    strips = [
        box(LEFT + i * side, TOP - TILE, LEFT + (i + 1) * side, TOP) for i in range(len(DISTRICTS))
    ]
    districts = geopandas.GeoDataFrame({"name": DISTRICTS}, geometry=strips, crs="EPSG:32632")
    districts.to_file(folder / "districts.gpkg", layer="districts")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
