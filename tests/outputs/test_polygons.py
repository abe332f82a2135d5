"""Regions as polygons: a coverage, and the same polygons however the map is cut into blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_codes import (
    KINDS,
    confidence_of,
    header_of,
    in_order,
    made_codes,
    polygons_of,
    raster,
)

from geolulc.grid import Extent, Grid
from geolulc.maps.areas import ground_areas
from geolulc.maps.regions import find_regions
from geolulc.maps.sieve import sieve
from geolulc.outputs import regions as regions_module
from geolulc.outputs.polygons import cell_polygons
from geolulc.outputs.region_merging import RegionMerger, RegionPolygons
from geolulc.outputs.regions import region_sizes
from geolulc.outputs.tables import region_table

SHAPE = 7, 8


@settings(max_examples=100, deadline=None)
@given(arrays(np.uint8, SHAPE, elements=st.integers(0, 3)), st.sampled_from(KINDS))
def test_regions_partition_the_cells(codes: np.ndarray, kind: str) -> None:
    header = header_of(kind, SHAPE)
    found = polygons_of(header, codes)
    polygons = found.polygons
    assert shapely.is_valid(polygons).all()
    assert (shapely.get_type_id(polygons) == 3).all()
    assert shapely.coverage_is_valid(polygons)  # shared corners: no gap, overlap or sliver
    labelled = find_regions(codes)
    owner, order = labelled.labels, np.argsort(labelled.code, kind="stable")
    order = order[labelled.code[order] != 0]
    assert len(polygons) == len(order)
    boxes = cell_polygons(header.grid, slice(None), slice(None)).reshape(SHAPE)
    areas = ground_areas(header.grid, header.unit.areas)
    for i, region in enumerate(order):
        # exactly its cells, cut to the tile: an independent union
        union = shapely.union_all(boxes[owner == region])
        assert union.geom_type == "Polygon"
        assert polygons[i].symmetric_difference(union).area == 0
        assert found.code[i] == labelled.code[region]
        assert found.cells[i] == (owner == region).sum()
        assert found.area_ha[i] == areas[owner == region].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_holes_and_regions_that_touch_at_a_corner(kind: str) -> None:
    header = header_of(kind, SHAPE)
    codes = np.zeros(SHAPE, np.uint8)
    codes[1:4, 1:4] = 1
    codes[2, 2] = 2  # an island
    codes[4, 4] = 1  # touches the first at a corner only
    ring, corner, island = polygons_of(header, codes).polygons
    assert len(ring.interiors) == 1
    assert ring.area == 8 * header.grid.cell**2
    assert corner.area == island.area == header.grid.cell**2
    assert ring.touches(corner)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("simplify", [False, True])
def test_no_cells_no_regions(kind: str, simplify: bool) -> None:
    header = header_of(kind, SHAPE)
    found = polygons_of(header, np.zeros(SHAPE, np.uint8), block=3, simplify=simplify)
    assert len(found) == 0
    table = region_table(header, found)
    assert list(table.columns) == [
        "code", "name", "area_ha", "mean_probability", "cells", "geometry",
    ]  # fmt: skip
    assert [str(kind) for kind in table.dtypes] == [
        "int32", "object", "float64", "float64", "int32", "geometry",
    ]  # fmt: skip


def pattern(name: str) -> np.ndarray:
    """30 × 41 codes, some without data across borders of blocks."""
    rows, columns = np.indices((30, 41))
    codes = {
        "smooth": np.hypot(rows - 9, columns - 12) // 9 % 3,
        "noise": np.random.default_rng(0).integers(0, 3, rows.shape),
        "one": np.zeros(rows.shape, int),
        "rings": np.maximum(abs(rows - 15), abs(columns - 20)) // 2 % 3,
        "chessboard": (rows // 5 + columns // 5) % 2,  # squares that end where blocks do
        "snake": np.where(rows % 4 == 3, columns % 41 == np.where(rows % 8 == 3, 40, 0), 1),
    }[name]
    codes = (codes + 1).astype(np.uint8)
    if name != "one":
        codes[8:11, 5:9] = 0
    return codes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [5, 7, 10])
@pytest.mark.parametrize("name", ["smooth", "noise", "one", "rings", "chessboard", "snake"])
def test_the_polygons_are_those_of_the_undivided_map(name: str, block: int, kind: str) -> None:
    codes = pattern(name)
    header = header_of(kind, codes.shape)
    whole, found = polygons_of(header, codes), polygons_of(header, codes, block=block)
    assert shapely.coverage_is_valid(found.polygons)
    expected, order = in_order(whole.polygons)
    polygons, other = in_order(found.polygons)
    assert len(polygons) == len(expected), "one polygon a region"
    assert shapely.equals_identical(polygons, expected).all(), "to the corner"
    for field in ("code", "area_ha", "cells"):
        values, wanted = getattr(found, field)[other], getattr(whole, field)[order]
        np.testing.assert_array_equal(values, wanted, field)
    np.testing.assert_allclose(found.expected_ha[other], whole.expected_ha[order], rtol=1e-12)
    with raster(codes) as classes:
        sizes = region_sizes(header, classes, block=block)
    assert sorted(sizes) == sorted(whole.cells)


@pytest.mark.parametrize("kind", KINDS)
def test_a_region_is_given_away_when_it_is_whole(kind: str) -> None:
    """Only the pieces of those that reach the blocks to come are held."""
    codes = np.ones((8, 8), np.uint8)
    codes[:, 4:] = 2  # both go through
    codes[1:3, 1:7] = 3  # across a border, but whole after the first row of blocks
    codes[5, 5] = 3  # in one block
    header = header_of(kind, codes.shape)
    merger = RegionMerger(header)
    held, found = [], []
    with raster(codes) as classes, raster(confidence_of(header)) as confidence:
        for block in regions_module._blocks(header, classes, confidence, 4):
            found.append(merger.add(block))
            if block.column:
                found.append(merger.end_row())
                held.append(len(merger))
    assert held == [2, 0]
    cells = [sorted(regions.cells.tolist()) for regions in found]
    assert cells == [[], [], [12], [], [1], [32 - 6 - 1, 32 - 6]]
    areas = ground_areas(header.grid, header.unit.areas)
    assert found[2].area_ha == areas[1:3, 1:7].sum()
    (box,) = found[2].polygons
    x, y = header.grid.edges()
    assert box.equals(shapely.box(x[1], y[3], x[7], y[1]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [10_000, 256, 97])
def test_simplified_polygons_are_a_coverage_that_keeps_areas(block: int, kind: str) -> None:
    codes = made_codes()
    sieve(codes, 50)
    header = header_of(kind, codes.shape)
    found = polygons_of(header, codes, block=block, simplify=True)
    polygons, square = found.polygons, header.grid.cell**2
    labelled = find_regions(codes)
    assert sorted(found.cells) == sorted(labelled.cells[labelled.code != 0])
    assert set(shapely.get_type_id(polygons)) == {3}
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    # no gaps, no overlaps: together they cover their outline once
    union = shapely.coverage_union_all(polygons)
    assert shapely.area(polygons).sum() == pytest.approx(union.area, rel=1e-12)
    ends = 1 if kind == "pixels" else 2  # cells of the last row and column are cut to half
    for code in range(1, 20):
        area = shapely.area(polygons[found.code == code]).sum() / square
        rows, columns = np.nonzero(codes == code)
        cut = (1 - (rows == 599) * (1 - 1 / ends)) * (1 - (columns == 719) * (1 - 1 / ends))
        assert area == pytest.approx(cut.sum(), rel=0.0051)
    shapes = rasterio.features.shapes(codes, mask=codes != 0, connectivity=4)
    steps = sum(len(ring) for shape, _ in shapes for ring in shape["coordinates"])
    assert shapely.get_num_coordinates(polygons).sum() < 0.8 * steps
    # all that blocks have in common: the regions and what is measured in them
    whole = polygons_of(header, codes, block=10_000, simplify=True)
    assert sorted(found.area_ha) == sorted(whole.area_ha)


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_those_of_the_cells(kind: str) -> None:
    codes = pattern("noise")
    header = header_of(kind, codes.shape)
    found = polygons_of(header, codes, block=7)
    table = region_table(header, found)
    p = confidence_of(header).astype(float) / (250 if kind == "pixels" else 1)
    areas = ground_areas(header.grid, header.unit.areas)
    x, y = header.grid.edges()
    inside_cells = shapely.points(*np.meshgrid(x[:-1] + 1, y[:-1] - 1))
    for _, region in table.iterrows():
        inside = shapely.contains_properly(region.geometry, inside_cells)
        assert inside.sum() == region["cells"]
        assert areas[inside].sum() == region["area_ha"]
        mean = np.average(p[inside], weights=areas[inside])
        np.testing.assert_allclose(region["mean_probability"], mean, rtol=1e-12)
        assert set(codes[inside]) == {region["code"]}


def test_areas_do_not_depend_on_blocks_across_a_wide_map() -> None:
    """Squares of one areal scale lie across borders of blocks."""
    codes = np.ones((200, 1000), np.uint8)
    header = header_of("pixels", codes.shape)
    ground = Extent("EPSG:32632", 300_000.0, 5_100_000.0, 10_000, 2_000)
    header = replace(header, grid=Grid.over(ground, 10))
    one: RegionPolygons = polygons_of(header, codes)
    other = polygons_of(header, codes, block=97)
    assert one.area_ha == other.area_ha == ground_areas(header.grid, header.unit.areas).sum()
    assert other.polygons[0].normalize() == one.polygons[0].normalize()
