"""The place of the sun, beside what real products say of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from pyproj import Transformer

from geolulc.products import read_metadata
from geolulc.products.sun import sun_zenith


def test_the_sun_is_where_real_products_say_it_is(shared: Path) -> None:
    found = 0
    for product in sorted((shared / "data" / "safe-metadata").glob("*.SAFE")):
        if not list(product.glob("GRANULE/*/MTD_TL.xml")):
            continue
        metadata = read_metadata(product)
        if metadata.sun is None:
            continue
        grid = metadata.grid
        centre = grid.left + grid.width / 2, grid.top - grid.height / 2
        place = Transformer.from_crs(grid.crs, 4326, always_xy=True).transform(*centre)
        said = metadata.sun.zenith
        # the datatake begins some minutes before the tile is seen: a degree of the sun's way
        assert sun_zenith(metadata.sensing_time, *place) == pytest.approx(said, abs=2.5)
        found += 1
    assert found >= 4


@pytest.mark.parametrize(
    ("time", "place", "zenith"),
    [
        # noon of an equinox over the equator, of a solstice over a tropic, and at night
        (datetime(2021, 3, 20, 12, 7), (0.0, 0.0), 0.0),
        (datetime(2021, 6, 21, 12, 2), (0.0, 23.44), 0.0),
        (datetime(2021, 12, 21, 11, 58), (0.0, 50.0), 73.44),
        (datetime(2021, 3, 20, 0, 7), (0.0, 0.0), 180.0),
    ],
)
def test_the_sun_stands_over_the_tropics(time, place, zenith) -> None:
    assert sun_zenith(time, *place) == pytest.approx(zenith, abs=1.0)
