"""Regions across sheets: the same polygons as without, nothing lost, nothing twice, little held."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from made_fields import CLASSES, made_field, write_field

from geolulc.grid import CellGrid, Extent
from geolulc.landcover_map import LandCoverMap
from geolulc.mosaics import MosaicOptions, MosaicOutput, make_mosaic, vectors
from geolulc.mosaics.blocks import part_of
from geolulc.mosaics.regions import RegionMerger, Regions, Sheet
from geolulc.outputs import describe_map
from geolulc.outputs.areas import cell_areas
from geolulc.outputs.cells import dominant_codes
from geolulc.outputs.tables import class_polygons, dominant_probability

FEW = MosaicOutput(("probabilities", "vectors"), cells=True)


def pattern(kind: str) -> LandCoverMap:
    """30 × 41 cells, those at the edge cut, some without data across borders of sheets."""
    made = made_field(width=24_300, height=17_700)
    shape = made.probabilities.shape
    rows, columns = np.indices(shape[1:])
    codes = {
        "smooth": made.probabilities.argmax(axis=0),
        "noise": np.random.default_rng(0).integers(0, 3, shape[1:]),
        "one": np.zeros(shape[1:], int),
        "rings": np.maximum(abs(rows - 15), abs(columns - 20)) // 2 % 3,
        "chessboard": (rows // 5 + columns // 5) % 2,  # squares that end where sheets do
        "snake": np.where(rows % 4 == 3, columns % 41 == np.where(rows % 8 == 3, 40, 0), 1),
    }[kind]
    p = np.random.default_rng(1).uniform(0.3, 0.6, shape).astype(np.float32)
    np.put_along_axis(p, codes[None].astype(int), 0.9, axis=0)
    if kind != "one":
        p[:, 8:11, 5:9] = np.nan
    return replace(made, probabilities=p)


def merged(made: LandCoverMap, side: int) -> tuple[list[Regions], list[int]]:
    """What came back, and how many pieces were held after each row of sheets."""
    frame = np.pad(dominant_codes(made), 1)
    p = dominant_probability(made)
    rows, columns = made.grid.shape
    merger = RegionMerger(made.grid)
    found, held = [], []
    for row in range(0, rows, side):
        for column in range(0, columns, side):
            part = part_of(made.grid, row, column, side, side)
            high, wide = part.shape
            around = frame[row : row + high + 2, column : column + wide + 2]
            inside = p[row : row + high, column : column + wide]
            found.append(merger.add(Sheet(row, column, part, around, inside)))
        found.append(merger.end_row())
        held.append(len(merger))
    return found, held


@pytest.mark.parametrize("side", [5, 7, 10, 64])
@pytest.mark.parametrize("kind", ["smooth", "noise", "one", "rings", "chessboard", "snake"])
def test_the_polygons_are_those_of_the_undivided_map(kind: str, side: int) -> None:
    made = pattern(kind)
    whole = class_polygons(made)
    found, held = merged(made, side)
    polygons = np.concatenate([regions.polygons for regions in found])
    assert shapely.coverage_is_valid(polygons)
    assert held[-1] == 0

    def by_shape(shapes: Any) -> np.ndarray:
        return np.argsort(shapely.to_wkb(shapely.normalize(shapes)))

    one, other = by_shape(polygons), by_shape(whole.geometry.values)
    assert len(one) == len(other), "one polygon a region"
    same = shapely.equals_identical(
        shapely.normalize(polygons[one]), shapely.normalize(whole.geometry.values[other])
    )
    assert same.all(), "to the corner"
    for name in ("code", "area_ha", "cells"):
        values = np.concatenate([getattr(regions, name) for regions in found])
        np.testing.assert_array_equal(values[one], whole[name].to_numpy()[other], name)
    means = np.concatenate([regions.mean_probability for regions in found])
    np.testing.assert_allclose(means[one], whole.mean_probability.to_numpy()[other], rtol=1e-12)


def test_a_region_is_given_away_when_it_is_whole() -> None:
    """Only those that reach the sheets to come are held."""
    grid = CellGrid(Extent("EPSG:32632", 600_000.0, 5_100_000.0, 8 * 600, 8 * 600), 600)
    codes = np.ones((8, 8), np.int64)
    codes[:, 4:] = 2  # both go through
    codes[1:3, 1:7] = 3  # across a border, but whole after the first row of sheets
    codes[5, 5] = 3  # in one sheet
    numbers = {1: 0, 2: 1, 3: 2}
    p = np.full((3, 8, 8), 0.25, np.float32)
    for code, index in numbers.items():
        p[index][codes == code] = 0.5
    made = replace(made_field(), grid=grid, probabilities=p, valid=p[0], clear=None)
    found, held = merged(made, 4)
    assert held == [2, 0]
    cells = [sorted(regions.cells.tolist()) for regions in found]
    assert cells == [[], [], [12], [], [1], [32 - 6 - 1, 32 - 6]]
    assert found[2].area_ha == cell_areas(grid)[1:3, 1:7].sum()
    (box,) = found[2].polygons
    assert box.equals(shapely.box(600_600, 5_098_200, 604_200, 5_099_400))


def test_a_mosaic_of_many_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files; the tables of the first sheet, which is empty, have the columns of the others."""
    monkeypatch.setattr(vectors, "SHEET", 16)
    made = made_field()
    p = made.probabilities.copy()
    p[:, :16, :16] = np.nan
    share = np.where(np.isnan(p[0]), np.nan, 0.5).astype(np.float32)
    path = write_field(tmp_path, replace(made, probabilities=p, clear=share))
    out = tmp_path / "mosaic.tif"
    make_mosaic([path], out, MosaicOptions(), FEW)
    regions = pyogrio.read_dataframe(out.with_suffix(".gpkg"), layer="classes")
    cells = pyogrio.read_dataframe(out.with_suffix(".gpkg"), layer="cells")
    assert regions.area_ha.sum() == describe_map(out)["mapped_area_ha"]
    assert len(regions) == len(class_polygons(replace(made, probabilities=p)))
    assert set(regions.name) <= set(CLASSES)
    assert set(cells.name[cells.code > 0]) == set(regions.name)
    assert len(cells) == 30 * 40
    assert not cells.duplicated(["row", "column"]).any()
    assert cells.clear_share.count() == 30 * 40 - 16 * 16
    assert (cells.clear_share.dropna() == 0.5).all()
    assert list(tmp_path.glob(".*")) == []
