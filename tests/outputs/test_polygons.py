from __future__ import annotations

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_map import TILE, made_map

from geolulc.grid import MapGrid, TileGrid
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.polygons import cell_polygons, dissolve
from geolulc.outputs.tables import class_polygons

GRID = MapGrid(TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 9_000, 7_800), 1200)


@settings(max_examples=150, deadline=None)
@given(arrays(np.uint8, GRID.shape, elements=st.integers(0, 3)))
def test_regions_partition_the_cells(codes: np.ndarray) -> None:
    polygons, owner = dissolve(GRID, codes)
    assert shapely.is_valid(polygons).all()
    assert (shapely.get_type_id(polygons) == 3).all()
    assert ((owner >= 0) == (codes > 0)).all()
    assert shapely.coverage_is_valid(polygons)  # shared corners: no gap, overlap or sliver
    assert set(owner[owner >= 0]) == set(range(len(polygons)))
    boxes = cell_polygons(GRID, codes > 0)
    index = owner[codes > 0]
    for i, polygon in enumerate(polygons):
        # exactly its cells, cut to the tile: an independent union
        union = shapely.union_all(boxes[index == i])
        assert union.geom_type == "Polygon"
        assert polygon.symmetric_difference(union).area == 0
        assert len(np.unique(codes[owner == i])) == 1
    # neighbours of one code belong to one region
    same = (codes[:, 1:] == codes[:, :-1]) & (codes[:, 1:] > 0)
    assert (owner[:, 1:][same] == owner[:, :-1][same]).all()
    same = (codes[1:] == codes[:-1]) & (codes[1:] > 0)
    assert (owner[1:][same] == owner[:-1][same]).all()


def test_holes_and_regions_that_touch_at_a_corner() -> None:
    codes = np.zeros(GRID.shape, np.uint8)
    codes[1:4, 1:4] = 1
    codes[2, 2] = 2  # an island
    codes[4, 4] = 1  # touches the first at a corner only
    polygons, owner = dissolve(GRID, codes)
    assert len(polygons) == 3
    ring = polygons[owner[1, 1]]
    assert len(ring.interiors) == 1
    assert ring.area == 8 * 1200**2
    assert owner[4, 4] != owner[3, 3]


def test_no_cells_no_regions() -> None:
    polygons, owner = dissolve(GRID, np.zeros(GRID.shape, np.uint8))
    assert len(polygons) == 0
    assert (owner == -1).all()


def test_polygon_figures_are_those_of_their_cells() -> None:
    made = made_map(nodata=0.2, seed=7)
    table = class_polygons(made)
    areas = cell_areas(made.grid)
    centres = shapely.points(
        *np.meshgrid(
            TILE.left + (np.arange(6) + 0.25) * 1200, TILE.top - (np.arange(5) + 0.25) * 1200
        )
    )
    for _, region in table.iterrows():
        inside = shapely.contains(region.geometry, centres)
        assert inside.sum() == region["cells"]
        assert areas[inside].sum() == region["area_ha"]
        i = made.classes.index(region["name"])
        mean = np.average(made.probabilities[i][inside].astype(float), weights=areas[inside])
        np.testing.assert_allclose(region["mean_probability"], mean, rtol=1e-6)
