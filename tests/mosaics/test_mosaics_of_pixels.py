"""Mosaics of pixels: values by hand, the weights near edges, and places across zones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_mosaics import (
    PIXEL_RASTERS,
    RASTERS,
    flat_pixels,
    mosaic,
    pixel_header,
    read,
    write_pixels,
)
from numpy.typing import NDArray
from pyproj import Transformer

from geolulc.analysis import describe_map, open_map
from geolulc.errors import GeolulcError, OutputError, ParameterError
from geolulc.grid import Extent, Grid, TileGrid
from geolulc.maps.header import MapHeader
from geolulc.mosaics import MosaicOptions, make_mosaic
from geolulc.nomenclature import BEN19
from geolulc.outputs.options import OutputOptions

CLASSES = ("Arable land", "Pastures", "Inland waters", "Marine waters")
TIMES = [f"2024-0{month}-01T10:00:00Z" for month in (5, 6, 7)]
PIXELS = RASTERS["pixels"]


def header(left: float = 600_000.0, **changes: Any) -> MapHeader:
    return pixel_header(left, classes=CLASSES, **changes)


@pytest.mark.parametrize(
    ("combine", "expected"),
    [
        # three maps of one pixel, none of them near its tile's edge
        ("mean", [83, 67, 50, 50]),  # 83.33, 66.67, …
        ("median", [100, 50, 50, 40]),
        ("max", [150, 150, 60, 70]),
        ("latest", [0, 150, 60, 40]),
    ],
)
def test_ways_to_combine(tmp_path: Path, combine: str, expected: list[int]) -> None:
    values = [(150, 0, 40, 40), (100, 50, 50, 70), (0, 150, 60, 40)]
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 4_800, 4_800)
    maps = []
    for value, time in zip(values, TIMES, strict=True):
        made = header(tile=tile, name=time[:10], time=time)
        maps.append(write_pixels(tmp_path / "maps", made, flat_pixels(made, *value)))
    out = mosaic(tmp_path, maps[::-1], PIXELS, combine=combine)
    inside = read(out, "probabilities")[:, 100, 100].astype(int)
    assert inside.tolist() == expected
    assert read(out, "observations")[0, 100, 100] == 3
    ranked = sorted(zip(expected, range(4), strict=True), key=lambda pair: (-pair[0], pair[1]))
    codes = [BEN19[CLASSES[i]].code for _, i in ranked]
    assert read(out)[0, 100, 100] == codes[0]
    top3 = read(out, "top3")[:, 100, 100].tolist()
    assert top3[3:] == [p for p, _ in ranked[:3]]
    assert top3[:3] == [code if p else 0 for code, (p, _) in zip(codes, ranked[:3], strict=False)]
    assert read(out, "confidence")[0, 100, 100] == ranked[0][0]


def test_weights_fall_towards_the_edge_of_the_tile(tmp_path: Path) -> None:
    """Two maps side by side: within 660 m of a tile's edge its map gives way to the other."""
    first, second = header(name="a"), header(602_000.0, name="b")
    paths = [
        write_pixels(tmp_path / "maps", first, flat_pixels(first, 250, 0, 0, 0)),
        write_pixels(tmp_path / "maps", second, flat_pixels(second, 0, 250, 0, 0)),
    ]
    out = mosaic(tmp_path, paths, PIXELS)
    row = 10  # in the upper margin of both, which tells nothing about them
    p = read(out, "probabilities")[:, row].astype(int)
    assert p.shape == (4, 280)
    # seen by one map only: what it says, whatever it weighs
    assert (p[0, :100] == 250).all()
    assert (p[1, 180:] == 250).all()
    counts = read(out, "observations")[0, row]
    assert counts.tolist() == [1] * 100 + [2] * 80 + [1] * 100

    def weight(metres: float) -> float:
        inside = metres / 660
        return 1e-3 * inside if inside < 1 else max(1e-3, min(inside - 1, 1))

    for column in range(100, 180):
        x = column * 20 + 10
        mine, other = weight(3_600 - x), weight(x - 2_000)
        assert p[0, column] == pytest.approx(250 * mine / (mine + other), abs=0.51)
    # at the border itself nothing is left of the map that ends there
    assert p[0, 179] == 0
    assert p[1, 100] == 0


def test_latest_and_max_pass_over_the_margin(tmp_path: Path) -> None:
    first = header(name="a", time=TIMES[0])
    second = header(602_000.0, name="b", time=TIMES[1])
    paths = [
        write_pixels(tmp_path / "maps", first, flat_pixels(first, 240, 10, 0, 0)),
        write_pixels(tmp_path / "maps", second, flat_pixels(second, 20, 200, 0, 0)),
    ]
    latest = read(mosaic(tmp_path, paths, PIXELS, combine="latest"), "probabilities")[0, 60]
    # the later one starts at column 100; its first 660 m give way to the other's inside
    assert latest.tolist() == [240] * 133 + [20] * 147
    out = mosaic(tmp_path, paths, PIXELS, combine="max")
    largest, counts = read(out, "probabilities")[:2, 60], read(out, "observations")[0, 60]
    # both lie outside their margins from column 133 to 147
    assert largest[0].tolist() == [240] * 147 + [20] * 133
    assert largest[1].tolist() == [10] * 133 + [200] * 147
    assert counts.tolist() == [1] * 133 + [2] * 14 + [1] * 133


def landmark(grid: Grid, x: float, y: float) -> NDArray[np.bool_]:
    """Pixels within 300 m of a place that is given in EPSG:3035."""
    px, py = _centres(grid)
    transformer = Transformer.from_crs(grid.extent.crs, "EPSG:3035", always_xy=True)
    px, py = transformer.transform(*np.meshgrid(px, py))
    return np.asarray(np.hypot(px - x, py - y) < 300)


def _centres(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Projected x of the columns and y of the rows."""
    rows, columns = grid.shape
    x = grid.extent.left + (np.arange(columns) + 0.5) * grid.cell
    return x, grid.extent.top - (np.arange(rows) + 0.5) * grid.cell


@pytest.mark.parametrize("size", [20, 10, 60])
def test_zones_meet_where_they_should(tmp_path: Path, size: int) -> None:
    """A round lake on the border of zones 32 and 33 is where it is, and round, from both."""
    x, y = Transformer.from_crs(4326, 3035, always_xy=True).transform(12.0, 47.0)
    paths = []
    for crs, name in (("EPSG:32632", "west"), ("EPSG:32633", "east")):
        cx, cy = Transformer.from_crs(3035, crs, always_xy=True).transform(x, y)
        left, top = round(cx / 60) * 60.0 - 2_400, round(cy / 60) * 60.0 + 2_400
        made = header(tile=TileGrid(crs, left, top, 4_800, 4_800), name=name)
        steps = flat_pixels(made, 230, 20, 0, 0)
        steps[:, landmark(made.grid, x, y)] = np.array([0, 10, 240, 0])[:, None]
        paths.append(write_pixels(tmp_path / "maps", made, steps))
    out = mosaic(tmp_path, paths, PIXELS, cell_size=size)
    with open_map(out) as raster:
        grid = raster.header.grid
    assert (grid.extent.crs, grid.cell) == ("EPSG:3035", size)
    assert grid.extent.left % size == grid.extent.top % size == 0
    expected_x, expected_y = _centres(grid)
    lake = read(out)[0] == BEN19["Inland waters"].code
    distance = np.hypot(*np.meshgrid(expected_x - x, expected_y - y))
    # a pixel of 20 m on its rim may fall to either side
    assert lake[distance < 300 - 0.75 * (size + 20)].all()
    assert not lake[distance > 300 + 0.75 * (size + 20)].any()
    assert lake.sum() * size**2 == pytest.approx(np.pi * 300**2, rel=0.02)
    rows, columns = np.nonzero(lake)
    assert expected_x[columns].mean() == pytest.approx(x, abs=0.2 * size)
    assert expected_y[rows].mean() == pytest.approx(y, abs=0.2 * size)
    assert read(out, "observations").max() == 2


def test_an_area_of_interest_has_no_edge_of_a_tile(tmp_path: Path) -> None:
    """A map that is cut inside its tile missed nothing there: both maps count alike."""
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 6_000, 6_000)
    part = Extent("EPSG:32632", 601_800.0, 5_098_200.0, 1_200, 1_200)
    first = header(tile=tile, name="a", grid=Grid(part, 20, tile))
    second = header(tile=tile, name="b")
    paths = [
        write_pixels(tmp_path / "maps", first, flat_pixels(first, 250, 0, 0, 0)),
        write_pixels(tmp_path / "maps", second, flat_pixels(second, 0, 250, 0, 0)),
    ]
    p = read(mosaic(tmp_path, paths, PIXELS), "probabilities")
    assert p[0, 90, 90] == p[1, 90, 90] == 125
    assert p[1, 89, 89] == 250


def test_what_is_refused(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    first = header(name="a")
    a = write_pixels(maps, first, flat_pixels(first, 200, 30, 20, 0), PIXEL_RASTERS[:3])
    out = tmp_path / "mosaic.tif"

    def attempt(*paths: Path, output: OutputOptions | None = None, **choices: Any) -> None:
        output = output or OutputOptions(("classes",))
        make_mosaic(list(paths), out, MosaicOptions(**choices), output)

    with pytest.raises(ParameterError, match=r"a\.tif: found a map without a_probabilities\.tif"):
        attempt(a, output=OutputOptions(("classes", "probabilities")))
    with pytest.raises(ParameterError, match="Leave --min-weight out"):
        attempt(a, min_weight=0.5)
    with pytest.raises(ParameterError, match="dtype uint16"):
        attempt(a, output=OutputOptions(("classes",), dtype="uint16"))
    with pytest.raises(ParameterError, match="cells"):
        attempt(a, output=OutputOptions(("classes", "vectors"), cells=True))
    alone = replace(first, scene={**first.scene, "name": "d"})
    d = write_pixels(maps, alone, flat_pixels(first, 200, 30, 20, 0), ("classes",))
    with pytest.raises(OutputError, match=r"d\.tif: found no probabilities beside it"):
        attempt(d)
    (maps / "a_top3.tif").rename(maps / "d_top3.tif")
    with pytest.raises(OutputError, match=r"d_top3\.tif: found top3 of another map"):
        attempt(d)
    with pytest.raises(GeolulcError, match="none among 1 rasters"):
        attempt(maps / "a_confidence.tif")
    assert list(tmp_path.glob("mosaic*")) == []
    attempt(a)
    assert describe_map(out)["mosaic"]["probabilities"] == '{"confidence": 1}'
