from __future__ import annotations

import numpy as np
import pytest
from made_map import SOUTHERN_TILE, TILE
from pyproj import Geod, Transformer

from geolulc.grid import Grid, TileGrid
from geolulc.maps.areas import CELL_AREAS, PIXEL_AREAS, AreaMethod, areal_scale, ground_areas

ZONE_EDGE = TileGrid("EPSG:32633", 199_980.0, 7_900_020.0, 109_800, 109_800)


def geodesic_hectares(grid: Grid, row: int, column: int) -> float:
    """An independent reference: the ellipsoidal area of the cell's densified outline (Karney)."""
    left, bottom, right, top = grid.part(row, column, 1, 1).extent.bounds
    t = np.linspace(0, 1, 40)[:-1]
    x = np.concatenate(
        [left + (right - left) * t, right + 0 * t, right - (right - left) * t, left + 0 * t]
    )
    y = np.concatenate(
        [bottom + 0 * t, bottom + (top - bottom) * t, top + 0 * t, top - (top - bottom) * t]
    )
    longitude, latitude = Transformer.from_crs(grid.extent.crs, 4326, always_xy=True).transform(
        x, y
    )
    return Geod(ellps="WGS84").polygon_area_perimeter(longitude, latitude)[0] / 1e4


@pytest.mark.parametrize(
    "tile",
    [
        TILE,
        SOUTHERN_TILE,
        ZONE_EDGE,
        TileGrid("EPSG:3035", 4_300_020.0, 3_100_020.0, 6_600, 5_400),  # equal area
    ],
)
@pytest.mark.parametrize("stride", [1200, 360])
def test_cell_areas_are_those_on_the_ellipsoid(tile: TileGrid, stride: int) -> None:
    grid = Grid.over(tile, stride)
    areas = ground_areas(grid, CELL_AREAS)
    rows, columns = grid.shape
    assert areas.shape == (rows, columns)
    for row, column in [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1), (2, 3)]:
        expected = geodesic_hectares(grid, row, column)
        assert areas[row, column] == pytest.approx(expected, rel=2e-7, abs=CELL_AREAS.step)


@pytest.mark.parametrize("size", [10, 20, 60])
def test_pixel_areas_are_those_at_their_own_scale(size: int) -> None:
    grid = Grid.over(TILE, size)
    areas = ground_areas(grid, PIXEL_AREAS)
    x, y = np.meshgrid(
        TILE.left + size * (np.arange(grid.shape[1]) + 0.5),
        TILE.top - size * (np.arange(grid.shape[0]) + 0.5),
    )
    np.testing.assert_allclose(areas, size**2 / 1e4 / areal_scale(TILE.crs, x, y), rtol=1e-5)
    # one scale for every square of 1,200 m
    along = 1200 // size
    for row in range(0, grid.shape[0], along):
        assert len(np.unique(areas[row : row + along, :along])) == 1


@pytest.mark.parametrize("method", [CELL_AREAS, PIXEL_AREAS])
def test_areas_of_a_part_are_those_of_the_whole(method: AreaMethod) -> None:
    grid = Grid.over(TILE, 60)
    whole = ground_areas(grid, method)
    rows, columns = slice(7, 51), slice(33, 64)
    np.testing.assert_array_equal(ground_areas(grid, method, rows, columns), whole[rows, columns])
    assert not whole.flags.writeable


def test_edge_cells_can_count_whole() -> None:
    grid = Grid.over(TILE, 1200)
    cut, whole = ground_areas(grid, CELL_AREAS), ground_areas(grid, CELL_AREAS, whole=True)
    np.testing.assert_array_equal(cut[:-1, :-1], whole[:-1, :-1])
    np.testing.assert_allclose(whole[-1, :-1], 2 * cut[-1, :-1], rtol=1e-12)
    np.testing.assert_allclose(whole[-1, -1], 4 * cut[-1, -1], rtol=1e-12)


def test_utm_on_its_central_meridian_shrinks_ground() -> None:
    tile = TileGrid("EPSG:32632", 498_000.0, 5_100_000.0, 6_000, 6_000)
    areas = ground_areas(Grid.over(tile, 1200), CELL_AREAS)
    assert areas[0, 1] == pytest.approx(144 / 0.9996**2, rel=1e-6)


@pytest.mark.parametrize(("method", "cell"), [(CELL_AREAS, 1200), (PIXEL_AREAS, 60)])
def test_sums_of_areas_are_exact_in_any_order(method: AreaMethod, cell: int) -> None:
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 109_800, 109_800)
    areas = ground_areas(Grid.over(tile, cell), method).ravel()
    shuffled = np.random.default_rng(1).permutation(areas)
    parts = sum(float(part.sum()) for part in np.array_split(shuffled, 77))
    assert float(areas.sum()) == parts == float(np.cumsum(shuffled)[-1])
    assert np.all(areas % method.step == 0)
