"""Every cell's patch lies inside the tile, on the 60 m grid, and the cells cover the tile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolulc.errors import ParameterError, ProductError
from geolulc.grid import PATCH_SIZE, Grid, MapGrid, TileGrid

FULL = TileGrid("EPSG:32632", 399960.0, 5300040.0, 109_800, 109_800)

tiles = st.builds(
    lambda w, h: TileGrid("EPSG:32632", 399960.0, 5300040.0, 60 * w, 60 * h),
    st.integers(20, 400),
    st.integers(20, 400),
)
strides = st.integers(1, 20).map(lambda n: 60 * n)


@pytest.mark.parametrize(
    ("stride", "cells"),
    [(1200, 92), (600, 183), (360, 305), (300, 366), (120, 915), (60, 1830), (1080, 102)],
)
def test_a_full_tile_is_covered_and_nothing_is_dropped(stride: int, cells: int) -> None:
    assert MapGrid(FULL, stride).shape == (cells, cells)


def test_patches_are_bigearthnets_own_at_stride_1200_and_the_last_moves_inside() -> None:
    grid = MapGrid(FULL)
    assert [grid.patch_left(i) for i in (0, 1, 90)] == [0, 1200, 108_000]
    # the last cell starts at 109,200 m; its patch would end at 110,400 m
    assert grid.patch_left(91) == 109_800 - 1200
    assert grid.window(91, 91, 10) == (slice(10860, 10980), slice(10860, 10980))
    assert grid.window(91, 91, 20) == (slice(5430, 5490), slice(5430, 5490))
    assert grid.window(91, 91, 60) == (slice(1810, 1830), slice(1810, 1830))


def test_patches_are_centred_on_cells_of_a_smaller_stride() -> None:
    grid = MapGrid(FULL, 600)
    # cell 5 spans 3,000 to 3,600 m, so its patch spans 2,700 to 3,900 m
    assert grid.patch_top(5) == 2700
    assert grid.patch_top(0) == 0


def test_patches_of_odd_strides_lie_30_m_up_and_left() -> None:
    grid = MapGrid(FULL, 300)
    # cell 5 spans 1,500 to 1,800 m: a patch from 1,050 m on would start inside a 60 m pixel
    assert grid.patch_left(5) == 1020
    assert grid.patch_top(5) == 1020
    # as far as the tile goes, at both ends
    assert [grid.patch_left(i) for i in (0, 1, 2, 364, 365)] == [0, 0, 120, 108_600, 108_600]
    assert MapGrid(FULL, 60).patch_lead == 600
    assert MapGrid(FULL, 1140).patch_lead == 60


@given(tiles, strides)
def test_patches_are_centred_on_cells_as_far_as_the_grid_and_the_tile_let_them(
    tile: TileGrid, stride: int
) -> None:
    grid = MapGrid(tile, stride)
    off = 30 if stride % 120 else 0
    for start, count, extent in (
        (grid.patch_top, grid.shape[0], tile.height),
        (grid.patch_left, grid.shape[1], tile.width),
    ):
        for i in range(count):
            centred = i * stride + stride // 2 - PATCH_SIZE // 2 - off
            if 0 <= centred <= extent - PATCH_SIZE:
                assert start(i) == centred
            else:
                assert start(i) == (0 if centred < 0 else extent - PATCH_SIZE)


def test_edges_are_cut_to_the_tile() -> None:
    x, y = Grid.over(FULL, PATCH_SIZE).edges()
    assert (x[0], x[1], y[0], y[1]) == (399960.0, 401160.0, 5300040.0, 5298840.0)
    assert (x[92] - x[91], y[91] - y[92]) == (600.0, 600.0)
    assert (x[92], y[92]) == (FULL.left + 109_800, FULL.top - 109_800)


@given(tiles, strides)
def test_windows_lie_inside_on_the_60_m_grid_and_share_their_ground(
    tile: TileGrid, stride: int
) -> None:
    grid = MapGrid(tile, stride)
    rows, columns = grid.shape
    for row in {0, rows // 2, rows - 1}:
        for column in {0, columns // 2, columns - 1}:
            top, left = grid.patch_top(row), grid.patch_left(column)
            assert top % 60 == 0
            assert left % 60 == 0
            assert 0 <= top <= tile.height - PATCH_SIZE
            assert 0 <= left <= tile.width - PATCH_SIZE
            for resolution in (10, 20, 60):
                y, x = grid.window(row, column, resolution)
                assert (y.start * resolution, y.stop * resolution) == (top, top + PATCH_SIZE)
                assert (x.start * resolution, x.stop * resolution) == (left, left + PATCH_SIZE)


@given(tiles, strides)
def test_cells_tile_the_ground_exactly(tile: TileGrid, stride: int) -> None:
    x, y = MapGrid(tile, stride).cells.edges()
    widths, heights = np.diff(x), -np.diff(y)
    assert min(widths) > 0
    assert min(heights) > 0
    assert sum(widths) == tile.width
    assert sum(heights) == tile.height


@given(tiles, strides)
def test_a_cells_centre_lies_in_its_patch(tile: TileGrid, stride: int) -> None:
    grid = MapGrid(tile, stride)
    for column in range(grid.shape[1]):
        centre = min(column * stride + stride / 2, tile.width)
        left = grid.patch_left(column)
        assert left <= centre <= left + PATCH_SIZE


@pytest.mark.parametrize("stride", [0, -120, 30, 100, 1000, 1260, 1320, 2400])
def test_a_stride_off_the_grid_is_refused(stride: int) -> None:
    with pytest.raises(
        ParameterError, match=rf"stride: found {stride} m; expected a multiple of 60 m"
    ):
        MapGrid(FULL, stride)


def test_a_scene_smaller_than_a_patch_is_refused() -> None:
    small = TileGrid("EPSG:32632", 0.0, 0.0, 1140, 1200)
    with pytest.raises(ProductError, match=r"found an extent of 1140 m × 1200 m"):
        MapGrid(small)
    assert MapGrid(small, 600, 600).shape == (2, 2)


def test_a_tile_off_the_60_m_grid_is_refused() -> None:
    with pytest.raises(ProductError, match="multiples of 60 m"):
        TileGrid("EPSG:32632", 0.0, 0.0, 1210, 1200)


def test_transforms_place_pixels_and_cells() -> None:
    assert FULL.transform(20) @ (3, 2) == (400020.0, 5300000.0)
    assert MapGrid(FULL, 600).cells.transform @ (1, 1) == (400560.0, 5299440.0)
    assert FULL.shape(60) == (1830, 1830)


def test_cells_outside_the_grid_are_an_index_error() -> None:
    with pytest.raises(IndexError, match="cell 92 of 92"):
        MapGrid(FULL).patch_top(92)
