"""Regions of a minimum area, in maps of one sheet and of several."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from made_codes import KINDS, confidence_of, header_of, in_order, made_codes, raster

from geolulc.maps.header import MapHeader
from geolulc.maps.regions import find_regions
from geolulc.maps.sieve import sieve
from geolulc.outputs.minimum_area import LargestRegions, Sheets, cells_of, coarse_map
from geolulc.outputs.region_merging import RegionPolygons
from geolulc.outputs.regions import region_polygons

#: 600 × 720 cells in 3 × 4 sheets.
SMALL = Sheets(whole=100, side=200, halo=100)
ALL = 1_000_000


def coarse(
    header: MapHeader,
    codes: np.ndarray,
    folder: Path,
    unit: int,
    *,
    sheets: Sheets = SMALL,
    most: int = ALL,
) -> tuple[np.ndarray, int]:
    """The sieved codes, and the cells of the smallest region."""
    hectares = unit * header.grid.cell**2 / 10_000
    with (
        raster(codes) as classes,
        coarse_map(header, classes, folder, min_area=hectares, most=most, sheets=sheets) as made,
        rasterio.open(made.classes) as dataset,
    ):
        found = dataset.read(1)
    assert list(folder.iterdir()) == []
    return found, made.unit


def patches() -> np.ndarray:
    """Squares much larger than a sheet's halo, speckled."""
    rng = np.random.default_rng(3)
    codes = np.kron(rng.integers(1, 6, (4, 4)), np.ones((150, 180))).astype(np.uint8)
    speckled = rng.random(codes.shape) < 0.1
    codes[speckled] = rng.integers(0, 8, int(speckled.sum()))
    return codes


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 20, (600, 720), np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [2, 20, 50])
def test_sheets_give_what_the_whole_map_gives(tmp_path: Path, kind: str, unit: int) -> None:
    codes = made_codes()
    header = header_of(kind, codes.shape)
    whole, one = coarse(header, codes, tmp_path, unit, sheets=Sheets())
    found, other = coarse(header, codes, tmp_path, unit)
    assert one == other == unit
    np.testing.assert_array_equal(found, whole)
    sieve(codes, unit)
    np.testing.assert_array_equal(whole, codes)


def test_sheets_of_noise_give_what_the_whole_map_gives(tmp_path: Path) -> None:
    codes = noise()
    header = header_of("pixels", codes.shape)
    found, _ = coarse(header, codes, tmp_path, 20)
    sieve(codes, 20)
    np.testing.assert_array_equal(found, codes)


def test_of_large_regions_that_sheets_cut_few_cells_differ(tmp_path: Path) -> None:
    """Which of two neighbours is the larger one can look different; nothing small is left."""
    codes = patches()
    header = header_of("pixels", codes.shape)
    found, _ = coarse(header, codes, tmp_path, 50)
    large = find_regions(codes)
    stays = large.cells[large.labels] >= 50
    np.testing.assert_array_equal(found[stays], codes[stays])
    np.testing.assert_array_equal(found == 0, codes == 0)
    sieve(codes, 50)
    assert (found != codes).mean() < 0.005
    regions = find_regions(found)
    assert regions.cells[regions.code != 0].min() >= 50


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("simplify", [False, True])
def test_a_region_across_sheets_is_one_polygon(tmp_path: Path, kind: str, simplify: bool) -> None:
    codes = made_codes()
    header = header_of(kind, codes.shape)

    def polygons(sheets: Sheets, block: int) -> RegionPolygons:
        hectares = 50 * header.grid.cell**2 / 10_000
        with (
            raster(codes) as classes,
            raster(confidence_of(header)) as confidence,
            coarse_map(
                header, classes, tmp_path, min_area=hectares, most=ALL, sheets=sheets
            ) as made,
        ):
            found = region_polygons(
                header, made.classes, confidence, simplify=simplify, block=block
            )
            return RegionPolygons.concatenated(list(found))

    whole, found = polygons(Sheets(), 2048), polygons(SMALL, 128)
    assert shapely.coverage_is_valid(found.polygons)
    assert sorted(found.cells) == sorted(whole.cells)
    assert sorted(found.area_ha) == sorted(whole.area_ha)
    if not simplify:  # else outlines of blocks stay
        one, other = in_order(found.polygons)[0], in_order(whole.polygons)[0]
        assert shapely.equals_identical(one, other).all()
    # where sheets meet, a region goes on
    x, y = header.grid.edges()
    for line in (shapely.LineString([(x[200], y[0]), (x[200], y[-1])]),
                 shapely.LineString([(x[0], y[400]), (x[-1], y[400])])):  # fmt: skip
        inside = shapely.length(shapely.intersection(shapely.boundary(found.polygons), line))
        assert inside.sum() < 0.5 * line.length


@pytest.mark.parametrize("sheets", [Sheets(), SMALL])
def test_the_minimum_grows_until_regions_are_few_enough(
    tmp_path: Path, sheets: Sheets, caplog: pytest.LogCaptureFixture
) -> None:
    codes = made_codes()
    header = header_of("pixels", codes.shape)
    with caplog.at_level(logging.WARNING):
        found, unit = coarse(header, codes, tmp_path, 50, most=200, sheets=sheets)
    assert unit == 800
    regions = find_regions(found)
    assert 50 < (regions.code != 0).sum() <= 200
    assert regions.cells[regions.code != 0].min() >= unit
    assert caplog.messages == [
        f"regions of 0.5 ha would be more than 200 polygons: the smallest have {unit / 100:g} ha"
    ]


def test_a_bound_that_holds_is_not_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting reads the whole map once more."""
    counted = []
    monkeypatch.setattr(
        "geolulc.outputs.minimum_area.region_sizes",
        lambda *_: counted.append(1) or np.zeros(0, np.int64),
    )
    codes = made_codes()
    header = header_of("pixels", codes.shape)
    coarse(header, codes, tmp_path, 50, most=100_000)
    coarse(header, codes, tmp_path, 50, most=700, sheets=Sheets())
    coarse(header, codes, tmp_path, 1, most=codes.size)
    assert not counted
    coarse(header, codes, tmp_path, 1, most=codes.size - 1)
    coarse(header, codes, tmp_path, 50, most=700)
    assert len(counted) == 2


def test_scratch_goes_when_something_fails(tmp_path: Path) -> None:
    header = header_of("pixels", (600, 720))
    with (
        pytest.raises(KeyboardInterrupt),
        raster(made_codes()) as classes,
        coarse_map(header, classes, tmp_path, min_area=0.5, most=ALL),
    ):
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_largest_regions_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    sizes = np.array([5, 3, 9, 3, 3, 1])
    largest = LargestRegions(sizes, 4)
    first = largest.kept(sizes[:4], np.ones(4))
    second = largest.kept(sizes[4:], np.ones(2))
    assert first.tolist() == [True, True, True, True]
    assert second.tolist() == [False, False]
    largest.warn()
    assert caplog.messages == ["the 2 smallest regions (2 ha in all) left out: islands in nodata"]
    caplog.clear()
    everything = LargestRegions(np.zeros(0, np.int64), 4)
    assert everything.kept(sizes, np.ones(6)).all()
    everything.warn()
    assert not caplog.messages


def test_hectares_are_whole_cells() -> None:
    assert cells_of(header_of("pixels", (9, 9)).grid, 0.5) == 50
    assert cells_of(header_of("cells", (9, 9)).grid, 0) == 1
    assert cells_of(header_of("cells", (9, 9)).grid, 36.1) == 2
