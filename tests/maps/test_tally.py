"""What the cells of a map add up to, in whatever blocks they come."""

from __future__ import annotations

import numpy as np
import pytest
from made_map import made_map
from made_pixel_map import made_header, made_pixel_map

from geolulc.grid import TileGrid
from geolulc.maps.areas import ground_areas
from geolulc.maps.encoding import FULL
from geolulc.maps.header import LandCoverMap, MapBlock
from geolulc.maps.ranking import rank_classes
from geolulc.maps.tally import Tally

SMALL = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 2_400, 1_800)


def made_of(kind: str) -> LandCoverMap:
    if kind == "cells":
        return made_map(nodata=0.2, seed=3, stride=120)
    return made_pixel_map(SMALL)


def tally_of(made: LandCoverMap, blocks: list[MapBlock] | None = None) -> Tally:
    tally = Tally(made.header)
    for block in [made.block] if blocks is None else blocks:
        tally.add(block, rank_classes(block.probabilities))
    return tally


def squares(block: MapBlock, size: int) -> list[MapBlock]:
    """The block in squares, in no order."""
    rows, columns = block.shape
    found = [
        MapBlock(
            r,
            c,
            block.probabilities[:, r : r + size, c : c + size],
            None if block.valid is None else block.valid[r : r + size, c : c + size],
            None if block.clear is None else block.clear[r : r + size, c : c + size],
        )
        for r in range(0, rows, size)
        for c in range(0, columns, size)
    ]
    np.random.default_rng(0).shuffle(found)  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("kind", ["cells", "pixels"])
def test_summaries_weigh_by_area_and_cover_the_map(kind: str) -> None:
    made = made_of(kind)
    summaries = tally_of(made).summaries
    areas = ground_areas(made.header.grid, made.header.unit.areas)
    shares = made.block.shares.astype(float)
    mapped = np.isfinite(shares).all(axis=0)
    assert [s.land_cover.name for s in summaries] == list(made.header.classes)
    assert sum(s.area_ha for s in summaries) == areas[mapped].sum()
    assert sum(s.cells for s in summaries) == mapped.sum()
    assert sum(s.share for s in summaries) == pytest.approx(1)
    index = np.where(mapped, np.where(mapped, shares, -1).argmax(axis=0), -1)
    for i, s in enumerate(summaries):
        p = shares[i]
        assert s.cells == (index == i).sum()
        assert s.area_ha == areas[index == i].sum()
        # of classes that do not exclude each other the sum would be no area
        expected = pytest.approx(np.nansum(p * areas), rel=1e-6) if kind == "pixels" else None
        assert s.expected_area_ha == expected
        mean = np.average(p[mapped], weights=areas[mapped])
        assert s.mean_probability == pytest.approx(mean, rel=1e-6)
        if s.cells:
            sure = np.average(p[index == i], weights=areas[index == i])
            assert s.dominant_probability == pytest.approx(sure, rel=1e-6)
        reached = p >= made.header.presence_thresholds[i]
        present = index == i if kind == "pixels" else reached
        assert s.present_cells == present.sum()


@pytest.mark.parametrize("kind", ["cells", "pixels"])
@pytest.mark.parametrize("size", [7, 32])
def test_blocks_do_not_change_the_sums(kind: str, size: int) -> None:
    made = made_of(kind)
    whole, parts = tally_of(made), tally_of(made, squares(made.block, size))
    for a, b in zip(whole.summaries, parts.summaries, strict=True):
        exact = ("land_cover", "cells", "area_ha", "share", "present_cells")
        assert all(getattr(a, name) == getattr(b, name) for name in exact)
        if kind == "pixels":
            assert a.expected_area_ha == pytest.approx(b.expected_area_ha, rel=1e-6)
    one, other = whole.figures, parts.figures
    assert (one.cells, one.mapped, one.area_ha) == (other.cells, other.mapped, other.area_ha)
    assert one.mean_entropy == pytest.approx(other.mean_entropy, rel=1e-5)
    assert one.half_clear == other.half_clear
    if kind == "cells":
        assert one.mean_valid == pytest.approx(other.mean_valid, rel=1e-6)
        assert one.mean_clear == pytest.approx(other.mean_clear, rel=1e-6)


def test_figures_are_those_of_the_cells() -> None:
    made = made_of("cells")
    block, found = made.block, tally_of(made).figures
    mapped = np.isfinite(block.probabilities[0])
    assert block.valid is not None
    assert block.clear is not None
    assert found.cells == mapped.size
    assert found.mean_valid == pytest.approx(block.valid.mean(dtype=float))
    assert found.mean_clear == pytest.approx(block.clear.mean(dtype=float))
    assert found.clear_mapped == (pytest.approx(block.clear[mapped].sum(dtype=float)), mapped.sum())
    assert found.half_clear == (block.clear[mapped] < 0.5).sum()


def test_masked_pixels_have_no_data_so_the_others_are_clear() -> None:
    made = made_of("pixels")
    found = tally_of(made).figures
    assert found.mean_clear == 1
    assert found.mean_valid is None
    unmasked = LandCoverMap(made_header(SMALL, masked_scl=()), made.block)
    assert tally_of(unmasked).figures.clear is None


def test_observations_and_what_maps_of_a_mosaic_did_not_hold() -> None:
    header = made_header(SMALL)
    p = np.zeros((19, 180, 240), np.uint8)
    p[0], p[1] = FULL // 2, FULL // 4
    count = np.ones((180, 240), np.uint16)
    count[3, 4] = 7
    found = tally_of(LandCoverMap(header, MapBlock(0, 0, p, count=count))).figures
    assert found.most_observations == 7
    assert found.unknown == pytest.approx((FULL - FULL // 2 - FULL // 4) / FULL)


@pytest.mark.parametrize("kind", ["cells", "pixels"])
def test_a_map_without_data_has_no_areas(kind: str) -> None:
    made = made_map(nodata=1.0) if kind == "cells" else made_pixel_map(SMALL)
    if kind == "pixels":
        made = LandCoverMap(made.header, MapBlock(0, 0, np.full((19, 180, 240), 255, np.uint8)))
    tally = tally_of(made)
    assert {s.area_ha for s in tally.summaries} == {0.0}
    assert {s.share for s in tally.summaries} == {0.0}
    assert all(np.isnan(s.mean_probability) for s in tally.summaries)
    assert (tally.figures.mapped, tally.figures.mean_entropy) == (0, 0)


@pytest.mark.parametrize("kind", ["cells", "pixels"])
def test_a_sample_has_a_cell_of_every_square(kind: str) -> None:
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 12_000, 1_200)
    if kind == "cells":
        tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 72_000, 2_400)
        made = made_map(tile, stride=60)
    else:
        made = made_pixel_map(tile)
    sample = tally_of(made, squares(made.block, 50)).totals.sample
    assert made.header.grid.shape[1] == 1200
    assert sample.header.grid.cell == 2 * made.header.grid.cell
    assert sample.extent == made.extent
    np.testing.assert_array_equal(sample.block.shares, made.block.shares[:, 1::2, 1::2])


def test_a_small_map_is_its_own_sample() -> None:
    made = made_map()
    sample = tally_of(made).totals.sample
    assert sample.header == made.header
    np.testing.assert_array_equal(sample.block.probabilities, made.block.probabilities)
