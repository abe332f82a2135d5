"""The area that a map shows, from files and boxes of every kind."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import Transformer
from shapely.geometry import LineString, Point, box

from geolulc.errors import ParameterError
from geolulc.grid import Grid, TileGrid
from geolulc.mapping.area import Area, select_cells

TILE = TileGrid("EPSG:32632", 600_000.0, 5_000_040.0, 3_600, 3_600)
GRID = Grid.over(TILE, 600)
#: Across the 180th meridian.
FIJI = TileGrid("EPSG:32701", 178_200.0, 8_141_400.0, 3_600, 3_600)


def write(path: Path, *shapes: object, crs: object = TILE.crs, **options: object) -> Path:
    geopandas.GeoDataFrame(geometry=list(shapes), crs=crs).to_file(path, **options)
    return path


def ground(left: float, bottom: float, right: float, top: float) -> shapely.Polygon:
    """A box in metres from the upper-left corner of the tile, to the right and down."""
    return box(TILE.left + left, TILE.top - bottom, TILE.left + right, TILE.top - top)


@pytest.mark.parametrize(
    "text",
    [
        "-180,-60,180,84",
        "-180,-90,180,90",
        "-25,-23,102,84",
        "6,7,99,50",
        "-352,40,-345,50",
        "0,-90,360,90",
    ],
)
def test_boxes_larger_than_the_projection_hold_the_scene(text: str) -> None:
    assert select_cells(GRID, text).all()
    shape = Area.of(TILE, text).shape
    assert shape is not None
    assert shape.area == pytest.approx(3_600**2)


def test_a_box_across_180_degrees_however_it_is_written() -> None:
    grid = Grid.over(FIJI, 60)
    x, _ = Transformer.from_crs(4326, FIJI.crs, always_xy=True).transform(
        [179.99, 180.01], [-16.8, -16.8]
    )
    written = [
        select_cells(grid, text)
        for text in (
            "179.99,-17,-179.99,-16",
            "179.99,-17,180.01,-16",
            "-180.01,-17,-179.99,-16",
        )
    ]
    columns = np.flatnonzero(written[0].any(axis=0))
    at = (np.array(x) - FIJI.left) / 60
    assert columns[0] == pytest.approx(max(at[0], 0), abs=2)
    assert columns[-1] == pytest.approx(min(at[1], 59), abs=2)
    assert (written[0] == written[1]).all()
    assert (written[0] == written[2]).all()


@pytest.mark.parametrize("text", ["11,45,9,46", "9,46,10,45", "9,45,400,46", "9,-91,10,46"])
def test_boxes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="a box that is empty or not on the globe"):
        select_cells(GRID, text)


def test_all_layers_of_polygons_are_the_area(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", ground(10, 100, 500, 10), layer="2023")
    right = geopandas.GeoSeries([ground(3_100, 100, 3_500, 10)], crs=TILE.crs).to_crs(4326)
    write(path, *right, crs=4326, layer="2024", mode="a")
    write(path, LineString(ground(0, 3_600, 3_600, 0).exterior.coords), layer="roads", mode="a")
    selected = select_cells(GRID, path)
    assert np.argwhere(selected).tolist() == [[0, 0], [0, 5]]


def test_points_and_lines_where_there_is_no_polygon(tmp_path: Path) -> None:
    middle = Point(TILE.left + 900, TILE.top - 900)
    assert np.argwhere(select_cells(GRID, write(tmp_path / "a.gpkg", middle))).tolist() == [[1, 1]]
    line = LineString([middle, Point(TILE.left + 1_500, TILE.top - 900)])
    selected = select_cells(GRID, write(tmp_path / "b.gpkg", line, None))
    assert np.argwhere(selected).tolist() == [[1, 1], [1, 2]]


@pytest.mark.parametrize("crs", [32601, 32718, 3031, 2154])
def test_areas_elsewhere_are_outside(tmp_path: Path, crs: int) -> None:
    path = write(tmp_path / "a.gpkg", box(500_000, 4_000_000, 501_000, 4_001_000), crs=crs)
    with pytest.raises(ParameterError, match=r"outside the scene: x 500000\.\.501000, y .* in "):
        select_cells(GRID, path)


def test_a_file_without_geometry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"a\.gpkg: found no geometry"):
        select_cells(GRID, write(tmp_path / "a.gpkg", None, shapely.Polygon()))
    with pytest.raises(ParameterError, match=r"b\.gpkg: found no such file"):
        select_cells(GRID, tmp_path / "b.gpkg")
