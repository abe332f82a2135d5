"""Geometry over all sizes, strides and areas: each cell once, windows inside, tiles once."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geolulc.bands import RESOLUTIONS
from geolulc.grid import MapGrid, TileGrid
from geolulc.mapping.selection import plan_tile_rows
from geolulc.mapping.shares import clear_share, valid_share
from geolulc.products import Tiling

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
        cell_left, cell_bottom, cell_right, cell_top = grid.bounds(row, column)
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
    np.testing.assert_allclose(clear_share(scl, lefts, 1200, (0, 9)), clear, rtol=1e-6)
