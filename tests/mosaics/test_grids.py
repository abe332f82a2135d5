"""One grid for many maps: whose, how large, and when none can be chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_fields import made_field, write_field

from geolulc.errors import ParameterError
from geolulc.mosaics.grids import choose_grid
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
    tile = found.cells.tile
    assert (tile.crs, tile.left, tile.top) == ("EPSG:32632", 600_000.0, 5_106_600.0)
    assert (tile.width, tile.height) == (42_600, 24_600)
    assert found.cells.stride == 600


def test_another_phase_is_resampled_onto_multiples_of_the_cell(tmp_path: Path) -> None:
    found = choose_grid(
        sources(tmp_path, {"left": 600_000.0}, {"left": 618_660.0}), MosaicOptions()
    )
    assert not found.copied
    assert found.cells.tile.left % 600 == 0
    assert found.cells.tile.top % 600 == 0
    assert found.cells.tile.left <= 600_000.0
    assert found.cells.tile.left + found.cells.tile.width >= 642_660.0


def test_zones_meet_on_the_european_grid(tmp_path: Path) -> None:
    both = sources(tmp_path, {}, {"crs": "EPSG:32633"})
    found = choose_grid(both, MosaicOptions(cell_size=1000))
    assert found.cells.tile.crs == "EPSG:3035"
    assert found.cells.tile.left % 1000 == 0
    assert choose_grid(both, MosaicOptions(crs="EPSG:32632")).cells.tile.crs == "EPSG:32632"


def test_outside_europe_a_crs_is_asked_for(tmp_path: Path) -> None:
    both = sources(tmp_path, {"top": 2_000_040.0}, {"crs": "EPSG:32633"})
    with pytest.raises(ParameterError, match=r"outside Europe.*--crs"):
        choose_grid(both, MosaicOptions())
    assert choose_grid(both, MosaicOptions(crs="EPSG:8857")).cells.tile.crs == "EPSG:8857"


def test_sizes_that_differ_are_asked_for(tmp_path: Path) -> None:
    both = sources(tmp_path, {}, {"left": 618_600.0, "stride": 1200})
    with pytest.raises(ParameterError, match=r"cells of 600, 1200 m.*--cell-size"):
        choose_grid(both, MosaicOptions())
    assert choose_grid(both, MosaicOptions(cell_size=300)).cells.stride == 300


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2263", "nowhere", "+proj=laea"])
def test_a_crs_that_measures_no_metres(tmp_path: Path, crs: str) -> None:
    with pytest.raises(ParameterError, match="projected CRS in metres"):
        choose_grid(sources(tmp_path, {}), MosaicOptions(crs=crs))


def test_a_crs_without_a_place_for_a_map(tmp_path: Path) -> None:
    """A gnomonic projection of the other hemisphere."""
    with pytest.raises(ParameterError, match=r"CRS ESRI:102036: found no place in it for .*--crs"):
        choose_grid(sources(tmp_path, {}), MosaicOptions(crs="ESRI:102036"))


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
