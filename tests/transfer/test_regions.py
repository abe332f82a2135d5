"""Regions by country, season, tile and polygon."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
from pyproj import Transformer
from shapely.geometry import LineString, box

from geolulc.errors import DatasetError, ParameterError
from geolulc.transfer import find_regions


def test_countries_part_every_split(three, regions) -> None:
    assert list(regions) == ["Austria", "Finland", "Kosovo"]
    for split, share in (("train", 8), ("val", 4), ("test", 4)):
        for name, region in regions.items():
            assert len(region[split]) == share
            assert {three.countries[i] for i in region[split]} == {name}
            assert {three.splits[i] for i in region[split]} == {split}


def test_seasons_and_tiles(three) -> None:
    assert list(find_regions(three, "season")) == ["Fall", "Spring", "Summer", "Winter"]
    assert list(find_regions(three, "tile")) == ["33UUP"]


def test_another_column_is_refused(three) -> None:
    with pytest.raises(ParameterError, match="expected one of country, season, tile"):
        find_regions(three, "weather")


def polygons(tmp_path, boxes, crs="EPSG:4326", **columns):
    """A file of boxes in metres of UTM zone 33, in ``crs``."""
    frame = geopandas.GeoDataFrame(columns, geometry=boxes, crs="EPSG:32633")
    path = tmp_path / "regions.gpkg"
    frame.to_crs(crs).to_file(path, engine="pyogrio")
    return path


def test_polygons_take_patches_by_their_centre(three, tmp_path) -> None:
    # patches lie in one column from the top: 0..47, 1,200 m each; the cut runs through patch 10
    top = 5400000
    cut = top - 10.4 * 1200
    path = polygons(
        tmp_path,
        [box(290000, cut, 310000, top), box(290000, top - 20 * 1200, 310000, cut)],
        zone=[7, 8],
        name=["Alpine", "Boréal & steppe"],
    )
    found = find_regions(three, polygons=path)
    assert list(found) == ["Alpine", "Boréal & steppe"]
    inside = {
        name: np.sort(np.concatenate(list(r.positions.values()))) for name, r in found.items()
    }
    # the centre of patch 10 lies 10.5 patches down, below the cut
    np.testing.assert_array_equal(inside["Alpine"], np.arange(10))
    np.testing.assert_array_equal(inside["Boréal & steppe"], np.arange(10, 20))
    assert list(find_regions(three, polygons=path, column="zone")) == ["7", "8"]


def test_polygons_of_one_name_are_one_region(three, tmp_path) -> None:
    halves = [box(290000, 5390000, 310000, 5400000), box(290000, 5380000, 310000, 5390000)]
    found = find_regions(three, polygons=polygons(tmp_path, halves, name=["a", "a"]))
    assert sum(len(p) for p in found["a"].positions.values()) == 17


def test_overlapping_polygons_are_refused(three, tmp_path) -> None:
    path = polygons(tmp_path, [box(290000, 5390000, 310000, 5400000)] * 2, name=["a", "b"])
    with pytest.raises(DatasetError, match="in both 'a' and 'b'; expected polygons that do not"):
        find_regions(three, polygons=path)


def test_polygons_elsewhere(three, tmp_path) -> None:
    path = polygons(tmp_path, [box(290000, 0, 310000, 10)], name=["a"])
    with pytest.raises(DatasetError, match="no patch with a polygon around it"):
        find_regions(three, polygons=path)


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.write_bytes(b"not a GeoPackage"), "a file of another format"),
        (
            lambda p: geopandas.GeoDataFrame(
                {"name": ["a"]}, geometry=[LineString([(0, 0), (1, 1)])], crs="EPSG:4326"
            ).to_file(p),
            "geometries",
        ),
        (
            lambda p: geopandas.GeoDataFrame(
                {"code": [1]}, geometry=[box(0, 0, 1, 1)], crs="EPSG:4326"
            ).to_file(p),
            "no column of text",
        ),
    ],
)
def test_files_that_hold_no_regions(three, tmp_path, write, found) -> None:
    path = tmp_path / "file.gpkg"
    write(path)
    with pytest.raises(ParameterError, match=f"file.gpkg: .*({found}).*expected"):
        find_regions(three, polygons=path)


def test_a_column_that_is_not_there(three, tmp_path) -> None:
    path = polygons(tmp_path, [box(290000, 5390000, 310000, 5400000)], name=["a"])
    with pytest.raises(ParameterError, match=r"column 'zone'.*expected one of name"):
        find_regions(three, polygons=path, column="zone")


def test_the_axes_of_a_projection_do_not_matter(three, tmp_path) -> None:
    # EPSG:3035 has northing first
    transformer = Transformer.from_crs("EPSG:32633", "EPSG:3035", always_xy=True)
    assert transformer.transform(300000, 5400000)[0] > 4e6
    path = polygons(
        tmp_path, [box(290000, 5300000, 310000, 5400000)], crs="EPSG:3035", name=["all"]
    )
    found = find_regions(three, polygons=path)
    assert sum(len(p) for p in found["all"].positions.values()) == len(three)
