from __future__ import annotations

import numpy as np
import pytest
from made_map import SOUTHERN_TILE, TILE
from pyproj import Geod, Transformer

from geolulc.grid import MapGrid, TileGrid
from geolulc.outputs.areas import AREA_STEP, cell_areas


def geodesic_hectares(grid: MapGrid, row: int, column: int) -> float:
    """An independent reference: the ellipsoidal area of the cell's densified outline (Karney)."""
    left, bottom, right, top = grid.bounds(row, column)
    t = np.linspace(0, 1, 40)[:-1]
    x = np.concatenate(
        [left + (right - left) * t, right + 0 * t, right - (right - left) * t, left + 0 * t]
    )
    y = np.concatenate(
        [bottom + 0 * t, bottom + (top - bottom) * t, top + 0 * t, top - (top - bottom) * t]
    )
    longitude, latitude = Transformer.from_crs(grid.tile.crs, 4326, always_xy=True).transform(x, y)
    return Geod(ellps="WGS84").polygon_area_perimeter(longitude, latitude)[0] / 1e4


@pytest.mark.parametrize(
    "tile",
    [
        TILE,
        SOUTHERN_TILE,
        TileGrid("EPSG:32633", 199_980.0, 7_900_020.0, 109_800, 109_800),  # edge of a zone
        TileGrid("EPSG:3035", 4_300_020.0, 3_100_020.0, 6_600, 5_400),  # equal area
    ],
)
@pytest.mark.parametrize("stride", [1200, 360])
def test_cell_areas_are_those_on_the_ellipsoid(tile: TileGrid, stride: int) -> None:
    grid = MapGrid(tile, stride)
    areas = cell_areas(grid)
    rows, columns = grid.shape
    assert areas.shape == (rows, columns)
    for row, column in [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1), (2, 3)]:
        expected = geodesic_hectares(grid, row, column)
        assert areas[row, column] == pytest.approx(expected, rel=2e-7, abs=AREA_STEP)


def test_utm_on_its_central_meridian_shrinks_ground() -> None:
    areas = cell_areas(MapGrid(TileGrid("EPSG:32632", 498_000.0, 5_100_000.0, 6_000, 6_000)))
    assert areas[0, 1] == pytest.approx(144 / 0.9996**2, rel=1e-6)


def test_sums_of_areas_are_exact_in_any_order() -> None:
    areas = cell_areas(
        MapGrid(TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 109_800, 109_800))
    ).ravel()
    shuffled = np.random.default_rng(1).permutation(areas)
    parts = sum(float(part.sum()) for part in np.array_split(shuffled, 77))
    assert float(areas.sum()) == parts == sum(areas.tolist()) == float(np.cumsum(shuffled)[-1])
