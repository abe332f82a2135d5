"""Mosaics of cells: seams between tiles and zones, and what observations weigh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_fields import CLASSES, changed, flat_field, landscape_on, made_field, write_field
from made_mosaics import RASTERS, mosaic, read
from scipy.ndimage import binary_erosion

from geolulc.analysis import describe_map, read_map
from geolulc.grid import Grid, TileGrid
from geolulc.maps.header import LandCoverMap
from geolulc.mosaics import MosaicOptions, make_mosaic
from geolulc.outputs.options import OutputOptions

CELLS = RASTERS["cells"]


def test_no_seam_where_tiles_overlap(tmp_path: Path) -> None:
    whole = made_field(width=42_600).block.shares
    a, b = made_field(), made_field(618_600.0)
    out = mosaic(tmp_path, [write_field(tmp_path, m) for m in (a, b)], CELLS)
    found = read(out)
    np.testing.assert_allclose(found, whole, atol=1e-7)
    counts = read(out, "observations")[0]
    # the outermost patches of a tile are moved inside: there the neighbour's counts alone
    assert counts[10].tolist() == [1] * 32 + [2] * 7 + [1] * 32
    step = np.abs(np.diff(found, axis=2)).mean(axis=(0, 1))
    smooth = np.abs(np.diff(whole, axis=2)).mean(axis=(0, 1))
    np.testing.assert_allclose(step, smooth, atol=1e-6)


def test_cells_inside_patches(tmp_path: Path) -> None:
    """Maps of 160 m, whose cells no patch was moved for, meet without a seam too."""

    def located(left: float, width: int) -> LandCoverMap:
        grid = Grid.over(TileGrid("EPSG:32632", left, 5_100_000.0, width, 9_600), 160)
        ones = np.ones(grid.shape, np.float32)
        made = made_field(name=f"at{left:.0f}")
        return changed(made, grid=grid, probabilities=landscape_on(grid), valid=ones, clear=ones)

    parts = [write_field(tmp_path, located(left, 9_600)) for left in (600_000.0, 606_720.0)]
    out = mosaic(tmp_path, parts, CELLS)
    whole = located(600_000.0, 16_320).block.shares
    np.testing.assert_allclose(read(out), whole, atol=1e-7)
    counts = read(out, "observations")[0]
    assert counts[0].tolist() == [1] * 42 + [2] * 18 + [1] * 42


def test_patches_moved_inside_the_edge_make_no_seam(tmp_path: Path) -> None:
    """At 120 m the five outermost cells of a tile all saw its outermost patch."""
    whole = made_field(width=15_600, height=6_000, stride=120).block.shares
    parts = []
    for left in (600_000.0, 606_000.0):
        part = made_field(left, width=9_600, height=6_000, stride=120)
        p = part.block.shares.copy()
        p[:, :, :5], p[:, :, -5:] = p[:, :, 5:6], p[:, :, -6:-5]
        parts.append(write_field(tmp_path, changed(part, probabilities=p)))
    found = read(mosaic(tmp_path, parts, CELLS))
    inner = np.s_[:, :, 5:-5]
    np.testing.assert_allclose(found[inner], whole[inner], atol=1e-7)


def test_patches_beside_their_cells_make_no_seam(tmp_path: Path) -> None:
    """At 300 m no patch is centred to the metre: those count that were not moved inside."""
    whole = made_field(width=15_600, height=6_000, stride=300).block.shares
    parts = []
    for left in (600_000.0, 606_000.0):
        part = made_field(left, width=9_600, height=6_000, stride=300)
        columns = part.header.grid.shape[1]
        # a patch starts 450 m before its cell, or 480 m to lie on the grid of 60 m
        starts = np.clip(np.arange(columns) * 300 - 480, 0, 9_600 - 1_200)
        seen = np.unique(starts, return_inverse=True)[1]
        # cells of one patch have its answer: that of the cell whose patch was not moved
        own = [np.flatnonzero(starts == s)[-1 if s == 0 else 0] for s in np.unique(starts)]
        p = part.block.shares[:, :, np.array(own)[seen]]
        parts.append(write_field(tmp_path, changed(part, probabilities=p)))
    out = mosaic(tmp_path, parts, CELLS)
    inner = np.s_[:, :, 2:-2]
    np.testing.assert_allclose(read(out)[inner], whole[inner], atol=1e-7)
    assert set(np.unique(read(out, "observations"))) == {1, 2}


@pytest.mark.parametrize("size", [600, 250, 1200])
def test_zones_meet_without_a_seam(tmp_path: Path, size: int) -> None:
    """Zones 32 and 33 on the European grid: what is interpolated is the landscape."""
    west = made_field(700_020.0, 5_100_000.0, 48_000, 36_000, stride=600)
    east = made_field(260_040.0, 5_099_940.0, 48_000, 36_000, crs="EPSG:32633")
    paths = [write_field(tmp_path, m) for m in (west, east)]
    out = mosaic(tmp_path, paths, CELLS, cell_size=size)
    found, true = read(out), landscape_on(read_map(out).header.grid)
    count = read(out, "observations")[0]
    # at the outer edge patches are moved inside, and nothing lies beyond to interpolate to
    inner = binary_erosion(count > 0, iterations=-(-1800 // size))
    assert (count[inner] == 2).sum() > 100
    assert (count[inner] == 1).sum() > 100
    # the landscape bends by at most 0.45 × (40 per 78 km)² = 0.12 per km²: between centres 600 m
    # apart a line misses it by an eighth of that × 0.36 km² in x and in y
    limit = 0.011 if size <= 600 else 0.02
    assert np.abs(found - true).max(axis=0)[inner].max() < limit
    excess = np.abs(np.diff(found, axis=2)) - np.abs(np.diff(true, axis=2))
    border = inner[:, 1:] & inner[:, :-1] & (count[:, 1:] != count[:, :-1])
    elsewhere = inner[:, 1:] & inner[:, :-1] & ~border
    assert border.sum() > 20
    assert excess[:, border].max() < max(0.005, 1.5 * excess[:, elsewhere].max())


def test_weights_are_valid_times_clear(tmp_path: Path) -> None:
    first = flat_field(0.2, time="2024-05-01T10:00:00Z")
    second = flat_field(0.8, time="2024-06-01T10:00:00Z", clear=0.25)
    out = mosaic(tmp_path, [write_field(tmp_path, m) for m in (first, second)], CELLS)
    mean = (0.2 + 0.25 * 0.8) / 1.25
    np.testing.assert_allclose(read(out), mean, rtol=1e-6)
    spread = np.sqrt((0.2 - mean) ** 2 / 1.25 + 0.25 * (0.8 - mean) ** 2 / 1.25)
    np.testing.assert_allclose(read(out, "confidence"), 1 - 2 * spread, rtol=1e-6)
    np.testing.assert_allclose(read(out, "uncertainty")[3], (1 + 0.25 * 0.25) / 1.25, rtol=1e-6)
    assert (read(out, "observations") == 2).all()


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"combine": "latest"}, 0.5),  # the last one that is clear enough
        ({"combine": "latest", "min_weight": 0.1}, 0.8),
        ({"combine": "max"}, 0.5),
        ({"combine": "median", "min_weight": 0.0}, 0.35),  # half of the weight, 1, lies below 0.5
        ({"combine": "mean", "min_weight": 0.9}, 0.2),
    ],
)
def test_ways_to_combine(tmp_path: Path, choices: dict, expected: float) -> None:
    maps = [
        flat_field(0.2, time="2024-05-01T10:00:00Z"),
        flat_field(0.5, time="2024-05-11T10:00:00Z", clear=0.75),
        flat_field(0.8, time="2024-06-01T10:00:00Z", clear=0.25),
    ]
    paths = [write_field(tmp_path, m) for m in reversed(maps)]
    found = read(mosaic(tmp_path, paths, CELLS, **choices))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_cloud_alone_is_no_data(tmp_path: Path) -> None:
    path = write_field(tmp_path, flat_field(0.5, time="2024-05-01T10:00:00Z", clear=0.0))
    out = mosaic(tmp_path, [path], CELLS)
    assert np.isnan(read(out)).all()
    assert (read(out, "observations") == 0).all()


def test_without_shares_a_map_weighs_1_and_that_is_said(tmp_path: Path) -> None:
    first = write_field(tmp_path, flat_field(0.2, time="2024-05-01T10:00:00Z", clear=0.5))
    second = write_field(tmp_path, flat_field(0.8, time="2024-06-01T10:00:00Z"), ("probabilities",))
    out = tmp_path / "mosaic.tif"
    result = make_mosaic([first, second], out, MosaicOptions(), OutputOptions(report=True))
    assert result.unweighted == 1
    np.testing.assert_allclose(read(out), (0.1 + 0.8) / 1.5, rtol=1e-6)
    assert describe_map(out)["mosaic"]["unweighted_maps"] == "1"
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert "1 maps without them weigh 1" in page


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_maps_in_any_encoding(tmp_path: Path, dtype: str) -> None:
    first, second = made_field(), made_field(618_600.0)
    order = [2, 0, 1]
    turned = changed(
        second,
        classes=tuple(CLASSES[i] for i in order),
        probabilities=second.block.shares[order],
        thresholds=tuple(second.header.thresholds[i] for i in order),
    )
    paths = [write_field(tmp_path, m, dtype=dtype) for m in (first, turned)]
    found = read_map(mosaic(tmp_path, paths, CELLS))
    assert found.header.classes == CLASSES
    assert found.header.thresholds == first.header.thresholds
    step = {"uint8": 0.004, "uint16": 0.0001}[dtype]
    whole = made_field(width=42_600).block.shares
    np.testing.assert_allclose(found.block.shares, whole, atol=0.51 * step)
