"""One grid for many maps: whose, how large, and when none can be chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_fields import made_field, write_field
from made_mosaics import flat_pixels, mosaic, pixel_header, write_pixels

from geolulc.errors import ParameterError
from geolulc.grid import Extent, Grid
from geolulc.mosaics.grids import beyond_world, choose_grid
from geolulc.mosaics.options import MosaicOptions
from geolulc.mosaics.sources import MapSource, read_sources


def sources(folder: Path, *places: dict) -> list[MapSource]:
    return read_sources([write_field(folder, made_field(**place)) for place in places])


def test_tiles_that_agree_keep_their_cells(tmp_path: Path) -> None:
    found = choose_grid(
        sources(tmp_path, {"left": 600_000.0}, {"left": 618_600.0, "top": 5_106_600.0}),
        MosaicOptions(),
    )
    assert found.copied
    extent = found.cells.extent
    assert (extent.crs, extent.left, extent.top) == ("EPSG:32632", 600_000.0, 5_106_600.0)
    assert (extent.width, extent.height) == (42_600, 24_600)
    assert found.cells.cell == 600


def test_another_phase_is_resampled_onto_multiples_of_the_cell(tmp_path: Path) -> None:
    found = choose_grid(
        sources(tmp_path, {"left": 600_000.0}, {"left": 618_660.0}), MosaicOptions()
    )
    assert not found.copied
    assert found.cells.extent.left % 600 == 0
    assert found.cells.extent.top % 600 == 0
    assert found.cells.extent.left <= 600_000.0
    assert found.cells.extent.left + found.cells.extent.width >= 642_660.0


def test_zones_meet_on_the_european_grid(tmp_path: Path) -> None:
    both = sources(tmp_path, {}, {"crs": "EPSG:32633"})
    found = choose_grid(both, MosaicOptions(cell_size=1000))
    assert found.cells.extent.crs == "EPSG:3035"
    assert found.cells.extent.left % 1000 == 0
    assert choose_grid(both, MosaicOptions(crs="EPSG:32632")).cells.extent.crs == "EPSG:32632"


def test_outside_europe_a_crs_is_asked_for(tmp_path: Path) -> None:
    both = sources(tmp_path, {"top": 2_000_040.0}, {"crs": "EPSG:32633"})
    with pytest.raises(ParameterError, match=r"outside Europe.*--crs"):
        choose_grid(both, MosaicOptions())
    assert choose_grid(both, MosaicOptions(crs="EPSG:8857")).cells.extent.crs == "EPSG:8857"


def test_sizes_that_differ_are_asked_for(tmp_path: Path) -> None:
    both = sources(tmp_path, {}, {"left": 618_600.0, "stride": 1200})
    with pytest.raises(ParameterError, match=r"cells of 600, 1200 m.*--cell-size"):
        choose_grid(both, MosaicOptions())
    assert choose_grid(both, MosaicOptions(cell_size=300)).cells.cell == 300


def test_pixels_are_called_pixels(tmp_path: Path) -> None:
    """Those of one UTM zone always share their phase; errors speak of pixels."""
    headers = [
        pixel_header(602_020.0, name="a"),
        pixel_header(name="b"),
        pixel_header(name="c", size=10),
    ]
    paths = [write_pixels(tmp_path, h, flat_pixels(h, 200, 30, 20)) for h in headers]
    found = choose_grid(read_sources(paths[:2]), MosaicOptions())
    assert found.copied
    assert (found.cells.cell, found.cells.shape) == (20, (120, 281))
    with pytest.raises(ParameterError, match=r"pixels of 10, 20 m.*--cell-size"):
        choose_grid(read_sources(paths), MosaicOptions())


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2263", "nowhere", "+proj=laea"])
def test_a_crs_that_measures_no_metres(tmp_path: Path, crs: str) -> None:
    with pytest.raises(ParameterError, match="projected CRS in metres"):
        choose_grid(sources(tmp_path, {}), MosaicOptions(crs=crs))


def test_a_crs_without_a_place_for_a_map(tmp_path: Path) -> None:
    """A gnomonic projection of the other hemisphere."""
    with pytest.raises(ParameterError, match=r"CRS ESRI:102036: found no place in it for .*--crs"):
        choose_grid(sources(tmp_path, {}), MosaicOptions(crs="ESRI:102036"))


#: 12 km around the 180th meridian, in the zone to its east.
ACROSS = {"left": 175_080.0, "top": 8_146_020.0, "width": 12_000, "height": 6_000} | {
    "crs": "EPSG:32701"
}


@pytest.mark.parametrize("crs", ["EPSG:6933", "EPSG:8857", "EPSG:3857", "ESRI:54009"])
def test_a_cut_through_a_map_is_refused(tmp_path: Path, crs: str) -> None:
    """Projections of the world have their edges at the 180th meridian."""
    with pytest.raises(ParameterError, match=f"CRS {crs}: found a cut through .*--crs"):
        choose_grid(sources(tmp_path, ACROSS), MosaicOptions(crs=crs))


def test_a_place_that_is_of_other_ground_too_is_refused(tmp_path: Path) -> None:
    """A polyconic projection of Brazil, on the other side of the globe."""
    with pytest.raises(ParameterError, match="found the place of other ground for"):
        choose_grid(sources(tmp_path, ACROSS), MosaicOptions(crs="EPSG:5880"))


@pytest.mark.parametrize(
    "crs", ["EPSG:32760", "EPSG:3832", "EPSG:3031", "EPSG:3413", "EPSG:32631", "EPSG:32647"]
)
def test_ground_across_the_180th_meridian_counts_once(tmp_path: Path, crs: str) -> None:
    """In the zone beside it, around it, around the poles, and in zones a world away."""
    path = write_field(tmp_path, made_field(**ACROSS))
    out = mosaic(tmp_path, [path], ["probabilities"], crs=crs)
    # a cell or two at the edges of so small a map are 4 %
    assert mapped(out) == pytest.approx(mapped(path), rel=0.05)


def test_beyond_the_edge_of_the_world_is_no_ground(tmp_path: Path) -> None:
    """Maps at either side of the 180th meridian, in a CRS whose edges it is."""
    west = {**ACROSS, "left": ACROSS["left"] - 12_000, "width": 18_000}
    east = {**ACROSS, "left": ACROSS["left"] + 12_000}
    paths = [write_field(tmp_path, made_field(**place)) for place in (east,)]
    out = mosaic(tmp_path, paths, ["probabilities"], crs="EPSG:6933", cell_size=1000)
    assert mapped(out) == pytest.approx(mapped(paths[0]), rel=0.1)
    with pytest.raises(ParameterError, match="a cut through"):
        choose_grid(sources(tmp_path, west), MosaicOptions(crs="EPSG:6933"))
    block = Grid.over(Extent("EPSG:6933", 17_357_000.0, -2_000_000.0, 20_000, 4_000), 1000)
    beyond = beyond_world(block)
    assert beyond is not None
    edge = 17_367_530.45 - 17_357_000
    np.testing.assert_array_equal(beyond[0], np.arange(20) * 1000 + 500 > edge)
    assert beyond_world(Grid.over(Extent("EPSG:3035", 4e6, 3e6, 20_000, 4_000), 1000)) is None


def mapped(path: Path) -> float:
    with rasterio.open(path) as dataset:
        return float(dataset.tags()["MAPPED_AREA_HA"])


def test_tiles_a_world_apart(tmp_path: Path) -> None:
    both = sources(tmp_path, {"stride": 120}, {"top": 60.0 * 1200, "stride": 120})
    with pytest.raises(ParameterError, match="at most 4,000,000,000"):
        choose_grid(both, MosaicOptions(cell_size=5, crs="EPSG:32632"))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"combine": "mode"}, "combination 'mode'"),
        ({"cell_size": 0}, "cell size"),
        ({"min_weight": 1.5}, "smallest weight"),
    ],
)
def test_options_that_make_no_sense(changes: dict, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        MosaicOptions(**changes)
