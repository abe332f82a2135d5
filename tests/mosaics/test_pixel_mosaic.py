"""Mosaics of maps of pixels: values by hand, copies to the bit, seams, grids, and their readers."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pystac
import pytest
import rasterio
import shapely
from made_fields import flat_field, write_field
from made_pixel_map import TILE, made_header, made_pixels, strips
from numpy.typing import NDArray
from pyproj import Transformer
from rio_cogeo import cog_validate

from geolulc.cli import main
from geolulc.errors import GeolulcError, OutputError, ParameterError
from geolulc.grid import TileGrid
from geolulc.mosaics import (
    MosaicOptions,
    MosaicOutput,
    make_mosaic,
    make_mosaics,
    pixel_blocks,
    pixel_combination,
    pixel_writing,
)
from geolulc.nomenclature import BEN19
from geolulc.outputs import OutputOptions, describe_map, summarize_map, write_pixel_map
from geolulc.outputs.pixel_reading import opened_pixels
from geolulc.pixel_map import FULL, NODATA, PixelGrid, PixelMapHeader

CLASSES = ("Arable land", "Pastures", "Inland waters", "Marine waters")
FEW = MosaicOutput(("classes", "confidence", "top3", "observations"))
ALL = ("classes", "confidence", "top3", "probabilities")


def scene(name: str, time: str = "2024-06-25T10:10:31Z") -> dict[str, str]:
    return {"name": name, "sensing_time": time, "platform": "Sentinel-2B", "tile": "32TPS"}


def header(
    left: float = 600_000.0, *, name: str = "a", time: str = "2024-06-25T10:10:31Z", **changes: Any
) -> PixelMapHeader:
    """Of a map of four classes over 3.6 × 2.4 km in pixels of 20 m: 120 rows, 180 columns."""
    tile = changes.pop("tile", TileGrid("EPSG:32632", left, 5_100_000.0, 3_600, 2_400))
    size = changes.pop("size", 20)
    return made_header(tile, size, classes=CLASSES, scene=scene(name, time), **changes)


def flat(made: PixelMapHeader, *steps: int) -> NDArray[np.uint8]:
    """The same probabilities everywhere."""
    return np.full((4, *made.grid.shape), np.array(steps, np.uint8)[:, None, None], np.uint8)


def write(
    folder: Path, made: PixelMapHeader, steps: NDArray[np.uint8], outputs: tuple[str, ...] = ALL
) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{made.scene['name']}.tif"
    write_pixel_map(made, strips(steps), path, options=OutputOptions(outputs))
    return path


def mosaic(folder: Path, paths: list[Path], output: MosaicOutput = FEW, **choices: Any) -> Path:
    out = folder / "mosaic.tif"
    make_mosaic(paths, out, MosaicOptions(**choices), output, overwrite=True)
    return out


def read(path: Path, part: str = "") -> NDArray[Any]:
    with rasterio.open(path.with_name(f"{path.stem}{part}.tif")) as dataset:
        return dataset.read()


def all_probabilities(path: Path) -> NDArray[Any]:
    return read(path, "_probabilities")


EVERYTHING = MosaicOutput((*FEW.outputs, "probabilities"))


@pytest.mark.parametrize("least", ["probabilities", "top3", "confidence"])
def test_of_one_map_it_is_that_map(tmp_path: Path, least: str) -> None:
    made = made_header()
    names = ("classes", "confidence", "top3", "probabilities")
    outputs = {"probabilities": names, "top3": names[:3], "confidence": names[:2]}[least]
    steps = made_pixels(made)
    path = write(tmp_path / "maps", made, steps, outputs)
    out = mosaic(tmp_path, [path])
    for part in ("", "_confidence") + (("_top3",) if least != "confidence" else ()):
        np.testing.assert_array_equal(read(out, part), read(path, part))
    np.testing.assert_array_equal(read(out, "_observations"), read(path) > 0)
    found, expected = describe_map(out), describe_map(path)
    for name in ("mapped_area_ha", "area_ha_by_class", "mapped_pixels", "nodata_pixels", "bounds",
                 "pixel_size_m", "masked_scl", "crs"):  # fmt: skip
        assert found[name] == expected[name], name
    assert json.loads(found["mosaic"]["probabilities"]) == {least: 1}
    known = steps[:, steps[0] != NODATA].astype(int)
    depth = {"probabilities": 19, "top3": 3, "confidence": 1}[least]
    missing = 1 - np.sort(known, axis=0)[-depth:].sum(axis=0).clip(max=FULL).mean() / FULL
    assert float(found["mosaic"]["unknown_share"]) == pytest.approx(missing, rel=1e-5)
    for raster in tmp_path.glob("*.tif"):
        assert cog_validate(raster, strict=True)[0], raster


TIMES = [f"2024-0{month}-01T10:00:00Z" for month in (5, 6, 7)]


@pytest.mark.parametrize(
    ("combine", "expected"),
    [
        # three maps of one pixel, none of them near its tile's edge
        ("mean", [84, 67, 50, 50]),  # 83.33, 66.67, …
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
        maps.append(write(tmp_path / "maps", made, flat(made, *value)))
    out = mosaic(tmp_path, maps[::-1], EVERYTHING, combine=combine)
    inside = all_probabilities(out)[:, 100, 100].astype(int)
    if combine == "mean":
        expected = np.rint(np.mean(values, axis=0)).tolist()
    assert inside.tolist() == expected
    assert read(out, "_observations")[0, 100, 100] == 3
    ranked = sorted(zip(expected, range(4), strict=True), key=lambda pair: (-pair[0], pair[1]))
    codes = [BEN19[CLASSES[i]].code for _, i in ranked]
    assert read(out)[0, 100, 100] == codes[0]
    top3 = read(out, "_top3")[:, 100, 100].tolist()
    assert top3[3:] == [p for p, _ in ranked[:3]]
    assert top3[:3] == [code if p else 0 for code, (p, _) in zip(codes, ranked[:3], strict=False)]
    assert read(out, "_confidence")[0, 100, 100] == ranked[0][0]


def test_weights_fall_towards_the_edge_of_the_tile(tmp_path: Path) -> None:
    """Two maps side by side: within 660 m of a tile's edge its map gives way to the other."""
    first, second = header(name="a"), header(602_000.0, name="b")
    paths = [
        write(tmp_path / "maps", first, flat(first, 250, 0, 0, 0)),
        write(tmp_path / "maps", second, flat(second, 0, 250, 0, 0)),
    ]
    out = mosaic(tmp_path, paths, EVERYTHING)
    row = 10  # in the upper margin of both, which tells nothing about them
    p = all_probabilities(out)[:, row].astype(int)
    assert p.shape == (4, 280)
    # seen by one map only: what it says, whatever it weighs
    assert (p[0, :100] == 250).all()
    assert (p[1, 180:] == 250).all()
    counts = read(out, "_observations")[0, row]
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
        write(tmp_path / "maps", first, flat(first, 240, 10, 0, 0)),
        write(tmp_path / "maps", second, flat(second, 20, 200, 0, 0)),
    ]
    latest = all_probabilities(mosaic(tmp_path, paths, EVERYTHING, combine="latest"))[0, 60]
    # the later one starts at column 100; its first 660 m give way to the other's inside
    assert latest.tolist() == [240] * 133 + [20] * 147
    out = mosaic(tmp_path, paths, EVERYTHING, combine="max")
    largest, counts = all_probabilities(out)[:2, 60], read(out, "_observations")[0, 60]
    # both lie outside their margins from column 133 to 147
    assert largest[0].tolist() == [240] * 147 + [20] * 133
    assert largest[1].tolist() == [10] * 133 + [200] * 147
    assert counts.tolist() == [1] * 133 + [2] * 14 + [1] * 133


@pytest.mark.parametrize("combine", ["mean", "median", "max", "latest"])
@pytest.mark.parametrize("crs", [None, "EPSG:3035"])
def test_nodata_never_wins(tmp_path: Path, combine: str, crs: str | None) -> None:
    first, second = header(name="a", time=TIMES[0]), header(name="b", time=TIMES[1])
    full, holes = flat(first, 200, 30, 20, 0), flat(second, 10, 220, 20, 0)
    full[:, :40], holes[:, 20:] = NODATA, NODATA
    paths = [
        write(tmp_path / "maps", made, steps) for made, steps in ((first, full), (second, holes))
    ]
    out = mosaic(tmp_path, paths, EVERYTHING, combine=combine, crs=crs)
    p, codes, counts = all_probabilities(out), read(out)[0], read(out, "_observations")[0]
    assert set(np.unique(p[0])) == {10, 200, NODATA}
    assert ((p[0] == NODATA) == (codes == 0)).all()
    assert ((p[0] == NODATA) == (counts == 0)).all()
    if crs is None:
        assert (p[0, :20] == 10).all()
        assert (p[0, 20:40] == NODATA).all()
        assert (p[0, 40:] == 200).all()


def test_classes_are_found_by_name(tmp_path: Path) -> None:
    first, second = header(name="a"), header(602_000.0, name="b")
    steps = flat(second, 10, 20, 200, 15)
    order = [2, 0, 3, 1]
    turned = replace(second, classes=tuple(CLASSES[i] for i in order))
    for outputs in (ALL, ALL[:3], ALL[:2]):
        folder = tmp_path / str(len(outputs))
        paths = [
            write(folder, first, flat(first, 200, 20, 10, 15), outputs),
            write(folder, turned, steps[order], outputs),
        ]
        out = mosaic(tmp_path, paths)
        assert (read(out)[0, :, 200] == BEN19["Inland waters"].code).all()
        assert (read(out, "_confidence")[0, :, 200] == 200).all()
        with opened_pixels(out) as made:
            assert made.header.classes == CLASSES


def landmark(tile: TileGrid, size: int, x: float, y: float) -> NDArray[np.bool_]:
    """Pixels within 300 m of a place that is given in EPSG:3035."""
    grid = PixelGrid.of_tile(tile, size)
    rows, columns = grid.shape
    east = tile.left + (np.arange(columns) + 0.5) * size
    north = tile.top - (np.arange(rows) + 0.5) * size
    transformer = Transformer.from_crs(tile.crs, "EPSG:3035", always_xy=True)
    px, py = transformer.transform(*np.meshgrid(east, north))
    return np.asarray(np.hypot(px - x, py - y) < 300)


@pytest.mark.parametrize("size", [20, 10, 60])
def test_zones_meet_where_they_should(tmp_path: Path, size: int) -> None:
    """A round lake on the border of zones 32 and 33 is where it is, and round, from both."""
    x, y = Transformer.from_crs(4326, 3035, always_xy=True).transform(12.0, 47.0)
    paths = []
    for crs, name in (("EPSG:32632", "west"), ("EPSG:32633", "east")):
        cx, cy = Transformer.from_crs(3035, crs, always_xy=True).transform(x, y)
        left, top = round(cx / 60) * 60.0 - 2_400, round(cy / 60) * 60.0 + 2_400
        made = header(tile=TileGrid(crs, left, top, 4_800, 4_800), name=name)
        steps = flat(made, 230, 20, 0, 0)
        steps[:, landmark(made.grid.tile, 20, x, y)] = np.array([0, 10, 240, 0])[:, None]
        paths.append(write(tmp_path / "maps", made, steps))
    out = mosaic(tmp_path, paths, cell_size=size)
    with opened_pixels(out) as made:
        grid = made.header.grid
        codes = made.dataset.read(1)
    assert (grid.tile.crs, grid.resolution) == ("EPSG:3035", size)
    assert grid.tile.left % size == grid.tile.top % size == 0
    t = grid.transform
    expected_x = t.c + (np.arange(grid.shape[1]) + 0.5) * size
    expected_y = t.f - (np.arange(grid.shape[0]) + 0.5) * size
    lake = codes == BEN19["Inland waters"].code
    distance = np.hypot(*np.meshgrid(expected_x - x, expected_y - y))
    # a pixel of 20 m on its rim may fall to either side
    assert lake[distance < 300 - 0.75 * (size + 20)].all()
    assert not lake[distance > 300 + 0.75 * (size + 20)].any()
    assert lake.sum() * size**2 == pytest.approx(np.pi * 300**2, rel=0.02)
    rows, columns = np.nonzero(lake)
    assert expected_x[columns].mean() == pytest.approx(x, abs=0.2 * size)
    assert expected_y[rows].mean() == pytest.approx(y, abs=0.2 * size)
    assert read(out, "_observations").max() == 2


@pytest.mark.parametrize("combine", ["mean", "median", "latest"])
def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, combine: str) -> None:
    first, second = header(name="a", time=TIMES[0]), header(602_000.0, name="b", time=TIMES[1])
    paths = [
        write(tmp_path / "maps", made, made_pixels(made, seed=seed))
        for seed, made in enumerate((first, second))
    ]
    for crs in (None, "EPSG:3035"):
        whole = mosaic(tmp_path, paths, EVERYTHING, combine=combine, crs=crs)
        expected = [read(whole, part) for part in ("", "_probabilities", "_observations")]
        area = describe_map(whole)["area_ha_by_class"]
        with monkeypatch.context() as patch:
            patch.setattr(pixel_blocks, "BLOCK", 64)
            patch.setattr(pixel_blocks, "_BUDGET", 40_000)
            patch.setattr(pixel_combination, "_BUDGET", 40_000)
            again = mosaic(tmp_path, paths, EVERYTHING, combine=combine, crs=crs)
        for part, values in zip(("", "_probabilities", "_observations"), expected, strict=True):
            np.testing.assert_array_equal(read(again, part), values)
        assert describe_map(again)["area_ha_by_class"] == area


def test_a_part_of_the_ground_without_maps(tmp_path: Path) -> None:
    near, far = header(name="a"), header(600_000.0 + 20 * 2048, name="b")
    paths = [write(tmp_path / "maps", made, flat(made, 200, 30, 20, 0)) for made in (near, far)]
    codes = read(mosaic(tmp_path, paths))[0]
    assert codes.shape == (120, 2048 + 180)
    assert (codes[:, :180] > 0).all()
    assert (codes[:, 180:2048] == 0).all()
    assert (codes[:, 2048:] > 0).all()


def test_an_area_of_interest_has_no_edge_of_a_tile(tmp_path: Path) -> None:
    """A map that is cut inside its tile missed nothing there: both maps count alike."""
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 6_000, 6_000)
    first = header(tile=tile, name="a", grid=PixelGrid(tile, 20, 1_800, 1_800, 1_200, 1_200))
    second = header(tile=tile, name="b")
    paths = [
        write(tmp_path / "maps", first, flat(first, 250, 0, 0, 0)),
        write(tmp_path / "maps", second, flat(second, 0, 250, 0, 0)),
    ]
    p = all_probabilities(mosaic(tmp_path, paths, EVERYTHING))
    assert p[0, 90, 90] == p[1, 90, 90] == 125
    assert p[1, 89, 89] == 250


def test_all_products_and_what_others_make_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tile = replace(TILE, left=TILE.left + 3_600)
    maps = tmp_path / "maps"
    maps.mkdir()
    headers = [made_header(), made_header(tile, scene=scene("b", "2024-07-01T10:00:00Z"))]
    for seed, made in enumerate(headers):
        path = maps / f"{made.scene['tile']}{seed}.tif"
        write_pixel_map(made, strips(made_pixels(made, seed=seed)), path)

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["geolulc", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        assert not stopped.value.code, printed.err
        return printed.out

    out = tmp_path / "portugal.tif"
    # as a shell gives them: the rasters beside the maps too
    told = json.loads(run("mosaic", *sorted(maps.glob("*.tif")), "-o", out, "--report", "--json"))
    assert (told["maps"], told["models"], told["pixels"]) == (2, 1, "copied")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted(
        Path(path).name for path in told["files"].values()
    )
    assert {"classes", "confidence", "top3", "observations", "vectors", "stac", "picture",
            "report"} == {part for part in told["files"] if "." not in part}  # fmt: skip
    item = pystac.Item.from_file(out.with_suffix(".json"))
    collection = pystac.Collection.from_file(out.with_name(f"{out.stem}_collection.json"))
    assert [i.id for i in collection.get_items()] == [item.id]
    assert item.collection_id == collection.id
    assert item.properties["start_datetime"] == "2024-06-25T10:10:31Z"
    assert item.properties["end_datetime"] == "2024-07-01T10:00:00Z"
    assert item.properties["gsd"] == 10
    assert item.properties["proj:shape"] == [600, 1080]
    assert len([link for link in item.links if link.rel == "derived_from"]) == 2
    assert item.assets["confidence"].title == "Probability of the class"
    assert item.assets["classes"].extra_fields["classification:classes"][0]["value"] == 0
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert "combined by mean" in page
    assert "the three most probable classes of 2 maps" in page

    described = json.loads(run("info", out, "--json"))
    assert described["mosaic"]["maps"] == "2"
    assert described["mosaic"]["pixels"] == "copied"
    assert described["pixel_size_m"] == 10
    with rasterio.open(out) as dataset:
        codes = dataset.read(1)
        assert dataset.colormap(1)[1][:3] == BEN19.classes[0].rgb
    assert described["mapped_pixels"] == (codes > 0).sum()
    table = pyogrio.read_dataframe(out.with_suffix(".gpkg"), layer="classes")
    summary = pyogrio.read_dataframe(out.with_suffix(".gpkg"), layer="summary")
    assert table.area_ha.sum() == pytest.approx(described["mapped_area_ha"], rel=1e-9)
    assert summary.area_ha.sum() == pytest.approx(described["mapped_area_ha"], rel=1e-9)

    box = shapely.box(602_000, 5_095_000, 609_000, 5_099_000)
    zones = tmp_path / "zones.gpkg"
    geopandas.GeoDataFrame({"name": ["middle"]}, geometry=[box], crs=TILE.crs).to_file(zones)
    found = summarize_map(out, zones)
    row, column = slice(100, 500), slice(200, 900)
    mapped = (codes[row, column] > 0).mean()
    assert found.mapped_ha[0] == pytest.approx(found.zone_ha[0] * mapped, rel=1e-4)
    assert found.mean_probability[0] > 0
    other = tmp_path / "latest.tif"
    run("mosaic", maps, "-o", other, "--combine", "latest", "--outputs", "classes,confidence", "-q")
    compared = json.loads(run("compare", out, other, "--out", tmp_path / "change.tif", "--json"))
    assert compared["compared_ha"] == pytest.approx(described["mapped_area_ha"], rel=1e-9)
    assert 0.5 < compared["agreement"] < 1


def test_larger_than_a_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regions are cut where sheets meet; nothing is lost and nothing counts twice."""
    monkeypatch.setattr(pixel_writing, "SHEET", 240)
    path = write(tmp_path / "maps", made_header(), made_pixels(made_header()))
    out = mosaic(tmp_path, [path], MosaicOutput(("classes", "vectors"), min_area=0.3))
    table = pyogrio.read_dataframe(out.with_suffix(".gpkg"), layer="classes")
    summary = pyogrio.read_dataframe(out.with_suffix(".gpkg"), layer="summary")
    described = describe_map(out)
    assert len(summary) == 19
    assert table.area_ha.sum() == pytest.approx(described["mapped_area_ha"], rel=1e-9)
    assert table.cells.sum() == described["mapped_pixels"]
    extents = table.bounds
    assert (extents.maxx - extents.minx).max() <= 2_400
    assert shapely.union_all(table.geometry).area == pytest.approx(table.area.sum(), rel=1e-6)
    assert table.area.sum() == pytest.approx(described["mapped_pixels"] * 100, rel=1e-4)
    meta = pyogrio.read_info(out.with_suffix(".gpkg"), layer="classes")["layer_metadata"]
    assert meta["MIN_AREA_HA"] == "0.3"


def test_periods(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    for time in ("2023-12-20T10:00:00Z", "2024-01-10T10:00:00Z", "2024-06-20T10:00:00Z"):
        made = header(600_000.0 + 2_000 * (time > "2024-01"), name=time[:10], time=time)
        write(maps, made, flat(made, 200, 30, 20, 0))
    out = tmp_path / "seasons"
    output = MosaicOutput(("classes", "confidence", "stac"))

    def make() -> list[tuple[str, int, bool]]:
        results = make_mosaics([maps], out, MosaicOptions(), output, "season")
        assert [result.error for result in results] == [None] * len(results)
        return [(r.period, r.mosaic.maps, r.skipped) for r in results]

    assert make() == [("2024-DJF", 2, False), ("2024-JJA", 1, False)]
    with opened_pixels(out / "2024-DJF.tif") as a, opened_pixels(out / "2024-JJA.tif") as b:
        assert a.header.grid == b.header.grid
    assert (read(out / "2024-JJA.tif")[0, :, :100] == 0).all()
    items = list(pystac.Collection.from_file(out / "collection.json").get_items())
    assert [item.id for item in items] == ["2024-DJF", "2024-JJA"]
    (out / "2024-JJA.tif").unlink()  # as if killed before its last rename
    assert make() == [("2024-DJF", 2, True), ("2024-JJA", 1, False)]
    # more is known of a map now: the mosaic would be another
    made = header(600_000.0, name="2023-12-20", time="2023-12-20T10:00:00Z")
    (maps / "2023-12-20_probabilities.tif").unlink()
    results = make_mosaics([maps], out, MosaicOptions(), output, "season")
    assert "made of others or otherwise" in str(results[0].error)


@pytest.mark.parametrize("turned", [False, True])
def test_cells_and_pixels_are_not_mixed(tmp_path: Path, turned: bool) -> None:
    made = header()
    pixels = write(tmp_path / "maps", made, flat(made, 200, 30, 20, 0))
    cells = write_field(tmp_path, flat_field(0.5, time=TIMES[0]))
    paths = [cells, pixels] if turned else [pixels, cells]
    kinds = ("pixels", "cells") if turned else ("cells", "pixels")
    with pytest.raises(OutputError, match=f"found a map of {kinds[0]} among maps of {kinds[1]}"):
        mosaic(tmp_path, paths, MosaicOutput())


def test_what_is_refused(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    first = header(name="a")
    a = write(maps, first, flat(first, 200, 30, 20, 0), ALL[:3])
    out = tmp_path / "mosaic.tif"

    def attempt(*paths: Path, output: MosaicOutput = FEW, **choices: Any) -> None:
        make_mosaic(list(paths), out, MosaicOptions(**choices), output)

    named = replace(first, scene=scene("b"), classes=(*CLASSES[:3], "Agro-forestry areas"))
    b = write(maps, named, flat(named, 200, 30, 20, 0))
    with pytest.raises(
        ParameterError, match=r"b\.tif: found other classes \(Agro-forestry areas, "
    ):
        attempt(a, b)
    other = replace(first, scene=scene("c"), model={"name": "new", "sha256": "1" * 64})
    c = write(maps, other, flat(other, 10, 230, 0, 0))
    with pytest.raises(ParameterError, match=r"111111111111.*--allow-different-models"):
        attempt(a, c)
    attempt(a, c, mixed_models=True)
    assert describe_map(out)["mosaic"]["models"] == "2"
    with pytest.raises(OutputError, match="found a mosaic"):
        make_mosaic([a, out], tmp_path / "again.tif", MosaicOptions(mixed_models=True), FEW)
    out.unlink()
    for path in tmp_path.glob("mosaic*"):
        path.unlink()
    with pytest.raises(ParameterError, match=r"a\.tif: found a map without a_probabilities\.tif"):
        attempt(a, output=EVERYTHING)
    with pytest.raises(ParameterError, match="Leave --min-weight out"):
        attempt(a, min_weight=0.5)
    with pytest.raises(ParameterError, match="presence"):
        attempt(a, output=MosaicOutput(("classes", "presence")))
    with pytest.raises(ParameterError, match="dtype uint16"):
        attempt(a, output=MosaicOutput(("classes",), "uint16"))
    d = write(maps, replace(first, scene=scene("d")), flat(first, 200, 30, 20, 0), ("classes",))
    with pytest.raises(OutputError, match=r"d\.tif: found no probabilities beside it"):
        attempt(d)
    (maps / "a_top3.tif").rename(maps / "d_top3.tif")
    with pytest.raises(OutputError, match=r"d_top3\.tif: found probabilities of another map"):
        attempt(d)
    with pytest.raises(GeolulcError, match="none among 1 rasters"):
        attempt(maps / "a_confidence.tif")
    assert list(tmp_path.glob("mosaic*")) == []


def test_top3_is_not_of_cells(tmp_path: Path) -> None:
    cells = write_field(tmp_path, flat_field(0.5, time=TIMES[0]))
    with pytest.raises(ParameterError, match="outputs of a mosaic of cells: found 'top3'"):
        mosaic(tmp_path, [cells], MosaicOutput(("top3",)))


def test_damage_is_named(tmp_path: Path) -> None:
    made = made_header()
    path = write(tmp_path / "maps", made, made_pixels(made), ALL[:3])
    raster = path.with_name(f"{path.stem}_top3.tif")
    data = bytearray(raster.read_bytes())
    data[-60_000:-100] = bytes(byte ^ 0x5A for byte in data[-60_000:-100])
    raster.write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(OutputError, match=r"_top3\.tif: found a damaged file"):
        mosaic(out, [path])
    assert list(out.iterdir()) == []
