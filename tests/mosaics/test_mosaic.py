"""Mosaics as files: values, seams, weights, and what other commands make of them."""

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
from made_fields import CLASSES, flat_field, landscape_on, made_field, write_field
from made_map import made_map
from rio_cogeo import cog_validate
from scipy.ndimage import binary_erosion
from stac_fields import offline_validator

from geolulc.cli import main
from geolulc.grid import CellGrid, TileGrid
from geolulc.landcover_map import LandCoverMap
from geolulc.mosaics import MosaicOptions, MosaicOutput, make_mosaic
from geolulc.mosaics import blocks as blocks_module
from geolulc.mosaics.windows import MapWindows
from geolulc.outputs import compare_maps, describe_map, read_map, summarize_zones, write_map

RASTERS = MosaicOutput(("probabilities", "uncertainty", "observations", "confidence"))


def mosaic(folder: Path, paths: list[Path], **choices: Any) -> Path:
    out = folder / "mosaic.tif"
    make_mosaic(paths, out, MosaicOptions(**choices), RASTERS, overwrite=True)
    return out


def read(path: Path, part: str = "") -> np.ndarray:
    with rasterio.open(path.with_name(f"{path.stem}{part}.tif")) as dataset:
        return dataset.read()


def test_of_one_map_it_is_that_map(tmp_path: Path) -> None:
    made = made_map(stride=240)
    (tmp_path / "maps").mkdir()
    write_map(made, tmp_path / "maps" / "map.tif")
    out = tmp_path / "map.tif"
    make_mosaic([tmp_path / "maps"], out, MosaicOptions(), MosaicOutput())
    again = read_map(out)
    np.testing.assert_array_equal(again.probabilities, made.probabilities)
    assert again.thresholds == made.thresholds
    for part in ("_classes", "_presence"):
        np.testing.assert_array_equal(read(out, part), read(tmp_path / "maps" / "map.tif", part))
    for layer in ("classes", "summary"):
        one, other = (
            pyogrio.read_dataframe(path.with_suffix(".gpkg"), layer=layer)
            for path in (out, tmp_path / "maps" / "map.tif")
        )
        assert one.drop(
            columns=["mean_probability", "dominant_probability"], errors="ignore"
        ).equals(other.drop(columns=["mean_probability", "dominant_probability"], errors="ignore"))
    found, expected = describe_map(out), describe_map(tmp_path / "maps" / "map.tif")
    for name in ("mapped_area_ha", "area_ha_by_class", "mapped_cells", "nodata_cells", "bounds"):
        assert found[name] == expected[name], name
    assert found["mosaic"]["maps"] == "1"
    for path in tmp_path.glob("*.tif"):
        assert cog_validate(path)[0], path


def test_no_seam_where_tiles_overlap(tmp_path: Path) -> None:
    whole = made_field(width=42_600)
    a, b = made_field(), made_field(618_600.0)
    out = mosaic(tmp_path, [write_field(tmp_path, m) for m in (a, b)])
    found = read(out)
    np.testing.assert_allclose(found, whole.probabilities, atol=1e-7)
    counts = read(out, "_observations")[0]
    # the outermost patches of a tile are moved inside: there the neighbour's counts alone
    assert counts[10].tolist() == [1] * 32 + [2] * 7 + [1] * 32
    step = np.abs(np.diff(found, axis=2)).mean(axis=(0, 1))
    smooth = np.abs(np.diff(whole.probabilities, axis=2)).mean(axis=(0, 1))
    np.testing.assert_allclose(step, smooth, atol=1e-6)


def test_cells_inside_patches(tmp_path: Path) -> None:
    """Maps of 160 m, whose cells no patch was moved for, meet without a seam too."""

    def located(left: float, width: int) -> LandCoverMap:
        grid = CellGrid(TileGrid("EPSG:32632", left, 5_100_000.0, width, 9_600), 160)
        ones = np.ones(grid.shape, np.float32)
        values = landscape_on(grid)
        name = f"at{left:.0f}"
        return replace(
            made_field(name=name), grid=grid, probabilities=values, valid=ones, clear=ones
        )

    parts = [write_field(tmp_path, located(left, 9_600)) for left in (600_000.0, 606_720.0)]
    out = mosaic(tmp_path, parts)
    whole = located(600_000.0, 16_320).probabilities
    np.testing.assert_allclose(read(out), whole, atol=1e-7)
    counts = read(out, "_observations")[0]
    assert counts[0].tolist() == [1] * 42 + [2] * 18 + [1] * 42


def test_patches_moved_inside_the_edge_make_no_seam(tmp_path: Path) -> None:
    """At 120 m the five outermost cells of a tile all saw its outermost patch."""
    whole = made_field(width=15_600, height=6_000, stride=120)
    parts = []
    for left in (600_000.0, 606_000.0):
        part = made_field(left, width=9_600, height=6_000, stride=120)
        p = part.probabilities.copy()
        p[:, :, :5], p[:, :, -5:] = p[:, :, 5:6], p[:, :, -6:-5]
        parts.append(write_field(tmp_path, replace(part, probabilities=p)))
    found = read(mosaic(tmp_path, parts))
    inner = np.s_[:, :, 5:-5]
    np.testing.assert_allclose(found[inner], whole.probabilities[inner], atol=1e-7)


def test_patches_beside_their_cells_make_no_seam(tmp_path: Path) -> None:
    """At 300 m no patch is centred to the metre: those count that were not moved inside."""
    whole = made_field(width=15_600, height=6_000, stride=300)
    parts = []
    for left in (600_000.0, 606_000.0):
        part = made_field(left, width=9_600, height=6_000, stride=300)
        starts = np.array([part.grid.patch_left(i) for i in range(part.grid.shape[1])])
        seen = np.unique(starts, return_inverse=True)[1]
        # cells of one patch have its answer: that of the cell whose patch was not moved
        own = [np.flatnonzero(starts == s)[-1 if s == 0 else 0] for s in np.unique(starts)]
        p = part.probabilities[:, :, np.array(own)[seen]]
        parts.append(write_field(tmp_path, replace(part, probabilities=p)))
    out = mosaic(tmp_path, parts)
    found = read(out)
    inner = np.s_[:, :, 2:-2]
    np.testing.assert_allclose(found[inner], whole.probabilities[inner], atol=1e-7)
    assert set(np.unique(read(out, "_observations"))) == {1, 2}


@pytest.mark.parametrize("size", [600, 250, 1200])
def test_zones_meet_without_a_seam(tmp_path: Path, size: int) -> None:
    """Zones 32 and 33 on the European grid: what is interpolated is the landscape."""
    west = made_field(700_020.0, 5_100_000.0, 48_000, 36_000, stride=600)
    east = made_field(260_040.0, 5_099_940.0, 48_000, 36_000, crs="EPSG:32633")
    out = mosaic(tmp_path, [write_field(tmp_path, m) for m in (west, east)], cell_size=size)
    found, true = read(out), landscape_on(read_map(out).grid)
    count = read(out, "_observations")[0]
    # at the outer edge patches are moved inside, and nothing lies beyond to interpolate to
    inner = binary_erosion(count > 0, iterations=-(-1800 // size))
    assert (count[inner] == 2).sum() > 100
    assert (count[inner] == 1).sum() > 100
    # the landscape bends by at most 0.45 × (40 per 78 km)² = 0.12 per km²: between centres 600 m
    # apart a line misses it by an eighth of that × 0.36 km² in x and in y
    limit = 0.011 if size <= 600 else 0.02
    assert np.abs(found - true).max(axis=0)[inner].max() < limit
    excess = np.abs(np.diff(found, axis=2)) - np.abs(np.diff(true, axis=2))
    border = inner[:, 1:] & inner[:, :-1] & (count[:, 1:] != count[:, :-1])
    elsewhere = inner[:, 1:] & inner[:, :-1] & ~border
    assert border.sum() > 20
    assert excess[:, border].max() < max(0.005, 1.5 * excess[:, elsewhere].max())


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [
        write_field(tmp_path, made_field(600_060.0)),
        write_field(tmp_path, made_field(610_020.0, 5_104_020.0)),
    ]
    whole = read(mosaic(tmp_path, paths, crs="EPSG:3035"))
    monkeypatch.setattr(blocks_module, "_BUDGET", 40_000)  # strips of a few rows
    looked: list[Path] = []
    observe = MapWindows.observe
    monkeypatch.setattr(
        MapWindows,
        "observe",
        lambda self, s, grid: (looked.append(s.path), observe(self, s, grid))[1],
    )
    out = mosaic(tmp_path, paths, crs="EPSG:3035")
    np.testing.assert_array_equal(read(out), whole)
    assert sorted(looked) == sorted(paths), "each map once, though there are many strips"
    assert list(tmp_path.glob(".*")) == []
    monkeypatch.setattr(blocks_module, "BLOCK", 16)
    again = read(mosaic(tmp_path, paths, crs="EPSG:3035"))
    np.testing.assert_allclose(again, whole, atol=1e-6)


def test_weights_are_valid_times_clear(tmp_path: Path) -> None:
    first = flat_field(0.2, time="2024-05-01T10:00:00Z")
    second = flat_field(0.8, time="2024-06-01T10:00:00Z", clear=0.25)
    out = mosaic(tmp_path, [write_field(tmp_path, m) for m in (first, second)])
    mean = (0.2 + 0.25 * 0.8) / 1.25
    np.testing.assert_allclose(read(out), mean, rtol=1e-6)
    spread = np.sqrt((0.2 - mean) ** 2 / 1.25 + 0.25 * (0.8 - mean) ** 2 / 1.25)
    np.testing.assert_allclose(read(out, "_confidence"), 1 - 2 * spread, rtol=1e-6)
    np.testing.assert_allclose(read(out, "_uncertainty")[3], (1 + 0.25 * 0.25) / 1.25, rtol=1e-6)
    assert (read(out, "_observations") == 2).all()


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"combine": "latest"}, 0.5),  # the last one that is clear enough
        ({"combine": "latest", "min_weight": 0.1}, 0.8),
        ({"combine": "max"}, 0.5),
        ({"combine": "median", "min_weight": 0.0}, 0.5),
        ({"combine": "mean", "min_weight": 0.9}, 0.2),
    ],
)
def test_ways_to_combine(tmp_path: Path, choices: dict, expected: float) -> None:
    maps = [
        flat_field(0.2, time="2024-05-01T10:00:00Z"),
        flat_field(0.5, time="2024-05-11T10:00:00Z", clear=0.75),
        flat_field(0.8, time="2024-06-01T10:00:00Z", clear=0.25),
    ]
    paths = [write_field(tmp_path, m) for m in reversed(maps)]
    if choices["combine"] == "median":
        # half of the weight, 1, lies at or below 0.2
        expected = 0.35
    np.testing.assert_allclose(read(mosaic(tmp_path, paths, **choices)), expected, rtol=1e-6)


def test_cloud_alone_is_no_data(tmp_path: Path) -> None:
    path = write_field(tmp_path, flat_field(0.5, time="2024-05-01T10:00:00Z", clear=0.0))
    out = mosaic(tmp_path, [path])
    assert np.isnan(read(out)).all()
    assert (read(out, "_observations") == 0).all()


def test_without_shares_a_map_weighs_1_and_that_is_said(tmp_path: Path) -> None:
    first = write_field(tmp_path, flat_field(0.2, time="2024-05-01T10:00:00Z", clear=0.5))
    second = write_field(
        tmp_path, flat_field(0.8, time="2024-06-01T10:00:00Z"), outputs=["probabilities"]
    )
    out = tmp_path / "mosaic.tif"
    result = make_mosaic([first, second], out, MosaicOptions(), RASTERS)
    assert result.unweighted == 1
    np.testing.assert_allclose(read(out), (0.1 + 0.8) / 1.5, rtol=1e-6)
    assert describe_map(out)["mosaic"]["unweighted_maps"] == "1"


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_classes_are_found_by_name_in_any_encoding(tmp_path: Path, dtype: str) -> None:
    first, second = made_field(), made_field(618_600.0)
    order = [2, 0, 1]
    turned = replace(
        second,
        classes=tuple(CLASSES[i] for i in order),
        probabilities=second.probabilities[order],
        thresholds=tuple(second.thresholds[i] for i in order),
    )
    paths = [write_field(tmp_path, m, options=options(dtype)) for m in (first, turned)]
    found = read_map(mosaic(tmp_path, paths))
    assert found.classes == CLASSES
    assert found.thresholds == first.thresholds
    step = {"uint8": 0.004, "uint16": 0.0001}[dtype]
    np.testing.assert_allclose(
        found.probabilities, made_field(width=42_600).probabilities, atol=0.51 * step
    )


def options(dtype: str) -> Any:
    from geolulc.outputs import OutputOptions

    return OutputOptions(("probabilities", "uncertainty"), dtype)


def test_all_products_and_what_others_make_of_them(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    for made in (made_field(), made_field(618_600.0, time="2024-07-01T10:00:00Z")):
        write_map(made, maps / f"{made.scene['name']}.tif")
    out = tmp_path / "portugal.tif"
    output = MosaicOutput((*MosaicOutput().outputs, "report"), "uint16", True)
    # as a shell gives them: the rasters beside the maps too
    result = make_mosaic(sorted(maps.glob("*.tif")), out, MosaicOptions(), output)
    assert result.maps == 2
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted(
        path.name for path in result.files.values()
    )
    for path in tmp_path.glob("*.tif"):
        assert cog_validate(path, strict=True)[0], path
    item = pystac.Item.from_file(tmp_path / "portugal.json")
    assert item.datetime is None
    assert item.properties["start_datetime"] == "2024-06-25T10:10:31Z"
    assert item.properties["end_datetime"] == "2024-07-01T10:00:00Z"
    sources = [link.target for link in item.links if link.rel == "derived_from"]
    assert len(sources) == 2
    for href in sources:
        assert (tmp_path / str(href)).resolve().is_file() or Path(str(href)).is_file()
    assert {"probabilities", "classes", "confidence", "observations"} <= set(item.assets)
    document = json.loads((tmp_path / "portugal_collection.json").read_text())
    offline_validator().validate_core(document, pystac.STACObjectType.COLLECTION, "1.1.0")
    collection = pystac.Collection.from_file(tmp_path / "portugal_collection.json")
    assert [i.id for i in collection.get_items()] == ["portugal"]
    assert item.collection_id == collection.id == "portugal_collection"
    assert item.get_collection().id == collection.id
    assert collection.extent.spatial.bboxes == [item.bbox]
    ((first, last),) = collection.extent.temporal.intervals
    assert [first, last] == [
        item.common_metadata.start_datetime,
        item.common_metadata.end_datetime,
    ]
    assert collection.license == "other"
    assert [link.rel for link in collection.links].count("license") == 1
    assert "Copernicus" in collection.providers[0].name
    table = pyogrio.read_dataframe(tmp_path / "portugal.gpkg", layer="classes")
    cells = pyogrio.read_dataframe(tmp_path / "portugal.gpkg", layer="cells")
    described = describe_map(out)
    assert table.area_ha.sum() == cells.area_ha[cells.code > 0].sum() == described["mapped_area_ha"]
    assert described["mosaic"]["maps"] == "2"
    assert "2 maps" in described["scene"]["name"]
    page = (tmp_path / "portugal.html").read_text(encoding="utf-8")
    assert "combined by mean" in page
    there = read_map(out)
    assert compare_maps(there, there).agreement == 1
    zones = table[["geometry"]].dissolve()
    assert summarize_zones(there, zones).status.tolist() == ["mapped"]
    assert json.loads(rasterio.open(out).tags()["GEOLULC_FILES"]) == sorted(
        path.name for path in result.files.values()
    )


def test_a_part_of_the_ground_without_maps(tmp_path: Path) -> None:
    """Blocks that no map reaches are no data, and are not computed."""
    far = made_field(600_000.0 + 600 * 1024)
    paths = [write_field(tmp_path, m) for m in (made_field(), far)]
    found = read(mosaic(tmp_path, paths))
    assert found.shape[2] == 1024 + 40
    np.testing.assert_array_equal(found[:, :, :40], made_field().probabilities)
    np.testing.assert_array_equal(found[:, :, 1024:], far.probabilities)
    assert np.isnan(found[:, :, 40:1024]).all()


def test_other_commands_take_a_mosaic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_field(tmp_path, m) for m in (made_field(), made_field(618_600.0))]
    before = mosaic(tmp_path, paths)
    after = tmp_path / "after.tif"
    make_mosaic(paths, after, MosaicOptions(combine="max"), RASTERS)
    zones = tmp_path / "zones.gpkg"
    tile = read_map(before).grid.tile
    box = shapely.box(tile.left + 5_000, tile.top - 9_000, tile.left + 30_000, tile.top - 1_000)
    geopandas.GeoDataFrame({"name": ["middle"]}, geometry=[box], crs=tile.crs).to_file(zones)

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["geolulc", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return printed.out if not stopped.value.code else printed.err

    described = json.loads(run("info", before, "--json"))
    assert described["mosaic"]["combine"] == "mean"
    assert described["mosaic"]["cells"] == "copied"
    assert "1 zones: 1 mapped" in run(
        "summarize", before, "--zones", zones, "--out", tmp_path / "zones.csv", "-q"
    )
    assert "same dominant class" in run("compare", before, after, "--out", tmp_path / "change.tif")
    # stac describes models
    refused = run("stac", before, "--out", tmp_path / "model.json")
    assert refused.startswith("geolulc: ")
    assert refused.count("\n") == 1
