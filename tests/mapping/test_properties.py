"""Geometry over all sizes, strides and areas: each cell once, windows inside, tiles once."""

from __future__ import annotations

import itertools
from collections import Counter

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from made_product import Means, make_model, make_product, random_bands

from geolulc.bands import BANDS, RESOLUTIONS
from geolulc.grid import MapGrid, TileGrid
from geolulc.mapping import MapOptions, predict_scene
from geolulc.mapping.cells import PatchCells
from geolulc.mapping.quality import clear_share, valid_share
from geolulc.mapping.strips import plan_tile_rows
from geolulc.products import Tiling, open_product

sizes = st.integers(20, 120).map(lambda n: n * 60)
strides = st.integers(1, 20).map(lambda n: n * 60)


@st.composite
def grids(draw):
    left, top = draw(st.integers(0, 50)) * 20, draw(st.integers(0, 50)) * 20
    return MapGrid(TileGrid("EPSG:32632", left, top, draw(sizes), draw(sizes)), draw(strides))


@settings(max_examples=60, deadline=None)
@given(grids())
def test_windows_lie_inside_and_cover_the_same_ground(grid):
    rows, columns = grid.shape
    covered = {r: np.zeros(grid.tile.shape(r), bool) for r in RESOLUTIONS}
    step = max(1, rows * columns // 200)
    for row, column in itertools.islice(
        itertools.product(range(rows), range(columns)), 0, None, step
    ):
        grounds = set()
        for r in RESOLUTIONS:
            ys, xs = grid.window(row, column, r)
            assert ys.start >= 0
            assert ys.stop <= covered[r].shape[0]
            assert xs.start >= 0
            assert xs.stop <= covered[r].shape[1]
            grounds.add((ys.start * r, ys.stop * r, xs.start * r, xs.stop * r))
        assert len(grounds) == 1
        top, bottom, left, right = grounds.pop()
        assert bottom - top == right - left == 1200
        # the patch holds its cell, as far as the tile goes
        cell = grid.cells.part(row, column, 1, 1).extent
        cell_left, cell_bottom, cell_right, cell_top = cell.bounds
        assert grid.tile.left + left <= cell_left
        assert cell_right <= grid.tile.left + right
        assert cell_top <= grid.tile.top - top
        assert grid.tile.top - bottom <= cell_bottom


@settings(max_examples=60, deadline=None)
@given(grids(), st.data())
def test_the_plan_holds_every_tile_that_is_needed_and_no_other(grid, data):
    resolution = data.draw(st.sampled_from(RESOLUTIONS))
    side = data.draw(st.integers(16, 700))
    tiling = Tiling(grid.tile.shape(resolution), (side, side))
    seed = data.draw(st.integers(0, 1000))
    share = data.draw(st.sampled_from([0.02, 0.3, 1.0]))
    selected = np.random.default_rng(seed).random(grid.shape) < share
    plan = plan_tile_rows(grid, selected, tiling, resolution)
    assert [t.row for t in plan] == sorted({t.row for t in plan})
    planned = {(t.row, c) for t in plan for c in t.columns}
    needed = set()
    for row, column in np.argwhere(selected):
        ys, xs = grid.window(int(row), int(column), resolution)
        for tile_row in range(ys.start // side, (ys.stop - 1) // side + 1):
            (entry,) = (t for t in plan if t.row == tile_row)
            assert entry.first <= row <= entry.last
            needed |= {(tile_row, c) for c in range(xs.start // side, (xs.stop - 1) // side + 1)}
    # rows of tiles serve several rows of cells: a tile may be there for its neighbours' columns
    assert needed <= planned
    rows_needed = {row for row, _ in needed}
    assert {row for row, _ in planned} == rows_needed
    columns_needed = {column for _, column in needed}
    assert {column for _, column in planned} <= columns_needed


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 60), st.integers(0, 2**32 - 1), st.floats(0, 0.2))
def test_shares_are_means_of_windows(columns60, seed, holes):
    rng = np.random.default_rng(seed)
    dn = {
        r: (rng.random((2, 1200 // r, columns60 * 60 // r)) >= holes / r).astype(np.uint16)
        for r in RESOLUTIONS
    }
    lefts = np.arange(0, columns60 * 60 - 1199, 60)
    mask = np.ones((120, columns60 * 6), bool)
    for r, array in dn.items():
        mask &= np.kron(array.all(axis=0), np.ones((r // 10, r // 10), bool)).astype(bool)
    expected = [mask[:, left // 10 : left // 10 + 120].mean() for left in lefts]
    np.testing.assert_allclose(valid_share(dn, lefts, 1200), expected, rtol=1e-6)
    scl = rng.integers(0, 12, (60, columns60 * 3)).astype(np.uint8)
    clear = [np.isin(scl[:, x // 20 : x // 20 + 60], [0, 9], invert=True).mean() for x in lefts]
    np.testing.assert_allclose(clear_share(scl, 20, lefts, 1200, (0, 9)), clear, rtol=1e-6)


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    """A product with holes in single bands, the folder for areas, and what is really there."""
    folder = tmp_path_factory.mktemp("land")
    bands = random_bands(3660, 2700)
    rng = np.random.default_rng(1)
    for name in ("B03", "B8A", "B09"):
        rows, columns = bands[name].shape
        top, left = rng.integers(0, rows // 2), rng.integers(0, columns // 2)
        bands[name][top : top + rows // 3, left : left + columns // 2] = 0
    valid = np.ones(bands["B04"].shape, bool)
    for band in BANDS:
        side = band.resolution // 10
        valid &= np.kron(bands[band.name] > 0, np.ones((side, side), bool))
    return make_product(folder, bands), folder, bands["B04"], valid


@settings(max_examples=15, deadline=None)
@given(
    strides,
    st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    st.integers(1, 9),
    st.none() | st.tuples(*(st.integers(0, 26) for _ in range(4))),
)
def test_every_cell_is_written_once_and_where_it_belongs(land, stride, min_valid, batch, corners):
    path, folder, b04, valid = land
    options = {"stride": stride, "min_valid": min_valid, "batch_size": batch, "allow_empty": True}
    area = None
    if corners is not None:
        x, y = sorted(corners[:2]), sorted(corners[2:])
        # 13 m off the cells' edges
        area = np.array([x[0] * 100 + 13, y[0] * 100 + 13, x[1] * 100 + 87, y[1] * 100 + 87])
        box = shapely.box(
            600_000 + area[0], 5_200_020 - area[3], 600_000 + area[2], 5_200_020 - area[1]
        )
        options["aoi"] = folder / "area.gpkg"
        geopandas.GeoSeries([box], crs=32632).to_file(options["aoi"])
    options = MapOptions(device="cpu", mask_scl=(), threads=2, **options)
    counts: Counter = Counter()
    place = PatchCells._place

    def counting(cells, row, columns, result):
        counts.update((row, int(column)) for column in columns)
        place(cells, row, columns, result)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PatchCells, "_place", counting)
        made = predict_scene(path, make_model(Means()), options)
    patches = MapGrid(open_product(path).grid, stride)
    rows, columns = patches.shape
    for row, column in itertools.product(range(rows), range(columns)):
        inside = area is None or (
            area[0] < (column + 1) * stride
            and area[2] > column * stride
            and area[1] < (row + 1) * stride
            and area[3] > row * stride
        )
        window = patches.window(row, column, 10)
        share = valid[window].mean() if inside else 0.0
        assert made.block.valid[row, column] == np.float32(share)
        mapped = np.float32(share) >= min_valid and share > 0
        assert counts[row, column] == mapped
        found = made.block.probabilities[0, row, column]
        if mapped:
            mean = (b04[window] * valid[window]).mean() / 32768
            assert abs(found - mean) < 1e-6
        else:
            assert np.isnan(found)
