"""Mosaics of either kind as files: values, blocks, all products, and what other commands make."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
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
from made_fields import CLASSES, changed, made_field, write_field
from made_mosaics import (
    MAIN,
    NEEDED,
    PIXEL_RASTERS,
    RASTERS,
    mosaic,
    pixel_header,
    read,
    read_all,
    write_flat,
    write_pixels,
)
from made_pixel_map import made_pixels
from rio_cogeo import cog_validate
from stac_fields import offline_validator
from written_map import KINDS, write_made

from geolulc.analysis import compare_files, describe_map, open_map, read_map, summarize_map
from geolulc.cli import main
from geolulc.errors import OutputError, ParameterError
from geolulc.grid import Grid
from geolulc.maps.encoding import FULL, NODATA
from geolulc.mosaics import MosaicOptions, blocks, make_mosaic
from geolulc.mosaics.observations import Observation
from geolulc.mosaics.sources import MapSource
from geolulc.mosaics.windows import MapWindows
from geolulc.nomenclature import BEN19
from geolulc.outputs.options import OutputOptions

WAYS = ("mean", "median", "max", "latest")
TIMES = ("2024-05-01T10:00:00Z", "2024-07-01T10:00:00Z")

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command and gives what it printed; of one that fails, its errors."""

    def command(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["geolulc", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return printed.err if stopped.value.code else printed.out

    return command


def two_maps(kind: str, folder: Path) -> list[Path]:
    """Two overlapping maps of other dates, with holes."""
    if kind == "cells":
        paths = []
        for number, time in enumerate(TIMES):
            made = made_field(600_060.0 + 9_960 * number, time=time, name=f"m{number}")
            rng = np.random.default_rng(number)
            shape = made.header.grid.shape
            p = made.block.shares + rng.normal(0, 0.1, (3, *shape))
            p[:, rng.random(shape) < 0.05] = np.nan
            clear = rng.uniform(0.3, 1, shape).astype(np.float32)
            p = p.clip(0, 1).astype(np.float32)
            paths.append(write_field(folder, changed(made, probabilities=p, clear=clear)))
        return paths
    headers = [
        pixel_header(600_000.0 + 2_000 * number, name=f"m{number}", time=time)
        for number, time in enumerate(TIMES)
    ]
    return [write_pixels(folder, h, made_pixels(h, seed=i)) for i, h in enumerate(headers)]


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ("cells", NEEDED["cells"]),
        ("pixels", PIXEL_RASTERS),
        ("pixels", PIXEL_RASTERS[:3]),
        ("pixels", PIXEL_RASTERS[:2]),
    ],
    ids=["cells", "pixels-probabilities", "pixels-top3", "pixels-confidence"],
)
def test_of_one_map_it_is_that_map(tmp_path: Path, kind: str, outputs: tuple[str, ...]) -> None:
    (tmp_path / "maps").mkdir()
    path = tmp_path / "maps" / "mosaic.tif"
    size = {"stride": 240} if kind == "cells" else {}
    more = ("classes", "presence") if kind == "cells" else ()
    made = write_made(kind, path, outputs=(*outputs[1:], *more, "vectors"), **size)
    out = mosaic(tmp_path, [path])
    for name, values in read_all(kind, path).items():
        if name != "uncertainty" and out.with_name(f"mosaic_{name}.tif").is_file():
            np.testing.assert_array_equal(read(out, name), values, name)
    np.testing.assert_array_equal(read(out), read(path))
    np.testing.assert_array_equal(read(out, "observations")[0], made.mapped)
    for layer in ("classes", "summary"):
        # means are sums over blocks: they differ by rounding
        means = ["mean_probability", "dominant_probability", "expected_area_ha"]
        found, expected = (
            pyogrio.read_dataframe(p.with_suffix(".gpkg"), layer=layer) for p in (out, path)
        )
        assert found.drop(columns=means, errors="ignore").equals(
            expected.drop(columns=means, errors="ignore")
        )
    described, expected = describe_map(out), describe_map(path)
    for name in expected.keys() - {"file", "size", "bands", "files", "scene", "scene_name"}:
        if name.startswith(("mapped_", "nodata_", "area_ha", "bounds", "crs", "pixel", "masked")):
            assert described[name] == expected[name], name
    assert described["mapped_area_ha"] > 0
    assert described["mosaic"]["maps"] == "1"
    if kind == "cells":
        assert read_map(out).header.thresholds == read_map(path).header.thresholds
    else:
        least = outputs[-1]
        assert json.loads(described["mosaic"]["probabilities"]) == {least: 1}
        steps = np.rint(made.probabilities[:, made.mapped] * FULL).astype(int)
        depth = {"probabilities": 19, "top3": 3, "confidence": 1}[least]
        missing = 1 - np.sort(steps, axis=0)[-depth:].sum(axis=0).clip(max=FULL).mean() / FULL
        assert float(described["mosaic"]["unknown_share"]) == pytest.approx(missing, rel=1e-5)
    for raster in tmp_path.glob("*.tif"):
        assert cog_validate(raster, strict=True)[0], raster


@pytest.mark.parametrize("combine", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_do_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, combine: str
) -> None:
    looked: list[Path] = []
    observe = MapWindows.observe

    def watched(self: MapWindows, source: MapSource, block: Grid) -> Observation | None:
        looked.append(source.path)
        return observe(self, source, block)

    monkeypatch.setattr(MapWindows, "observe", watched)
    paths = two_maps(kind, tmp_path)
    for crs in (None, "EPSG:3035"):
        choices = {"combine": combine, "crs": crs, "min_weight": 0.2 if kind == "cells" else None}
        out = mosaic(tmp_path, paths, RASTERS[kind], **choices)
        whole, area = read_all(kind, out), describe_map(out)["area_ha_by_class"]
        looked.clear()
        with monkeypatch.context() as patch:
            patch.setattr(blocks, "_BUDGET", 40_000)  # strips of a few rows
            out = mosaic(tmp_path, paths, RASTERS[kind], **choices)
        for name, values in read_all(kind, out).items():
            np.testing.assert_array_equal(values, whole[name], name)
        assert sorted(looked) == sorted(paths), "each map once, though there are many strips"
        assert list(tmp_path.glob(".*")) == []
        with monkeypatch.context() as patch:
            patch.setattr(blocks, "BLOCKS", {False: 16, True: 64})
            patch.setattr(blocks, "_BUDGET", 40_000)
            out = mosaic(tmp_path, paths, RASTERS[kind], **choices)
        for name, values in read_all(kind, out).items():
            if kind == "pixels":
                np.testing.assert_array_equal(values, whole[name], name)
            elif name not in ("classes", "presence"):
                np.testing.assert_allclose(values, whole[name], atol=1e-6, err_msg=name)
        if kind == "pixels":
            assert describe_map(out)["area_ha_by_class"] == area


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_the_ground_without_maps(tmp_path: Path, kind: str) -> None:
    """Blocks that no map reaches are no data, and are not computed."""
    size, wide = (600, 40) if kind == "cells" else (20, 180)
    apart = 1024 if kind == "cells" else 2048
    lefts = {"near": 600_000.0, "far": 600_000.0 + size * apart}
    paths = [write_flat(kind, tmp_path, n, 200, 30, 20, left=left) for n, left in lefts.items()]
    codes = read(mosaic(tmp_path, paths, (MAIN[kind], "classes")), "classes" * (kind == "cells"))[0]
    assert codes.shape[1] == apart + wide
    assert (codes[:, :wide] == BEN19[CLASSES[0]].code).all()
    assert (codes[:, wide:apart] == 0).all()
    assert (codes[:, apart:] == BEN19[CLASSES[0]].code).all()


@pytest.mark.parametrize("kind", KINDS)
def test_classes_are_found_by_name(tmp_path: Path, kind: str) -> None:
    steps, order = (10, 20, 200), (2, 0, 1)
    turned = tuple(CLASSES[i] for i in order)
    left = 602_000.0 if kind == "pixels" else 618_600.0
    for needed in (PIXEL_RASTERS, PIXEL_RASTERS[:3], PIXEL_RASTERS[:2]):
        folder = tmp_path / str(len(needed))
        paths = [
            write_flat(kind, folder, "a", 200, 20, 10),
            write_flat(kind, folder, "b", *(steps[i] for i in order), left=left, classes=turned),
        ]
        for path in paths if kind == "pixels" else ():
            for name in set(PIXEL_RASTERS) - set(needed):
                path.with_name(f"{path.stem}_{name}.tif").unlink()
        out = mosaic(tmp_path, paths, (MAIN[kind], "classes"))
        codes = read(out, "classes" if kind == "cells" else "")[0]
        assert (codes[5:-5, -20:] == BEN19[CLASSES[2]].code).all()
        assert (codes[5:-5, :20] == BEN19[CLASSES[0]].code).all()
        with open_map(out) as made:
            assert made.header.classes == CLASSES


@pytest.mark.parametrize("combine", WAYS)
@pytest.mark.parametrize("crs", [None, "EPSG:3035"])
@pytest.mark.parametrize("kind", KINDS)
def test_nodata_never_wins(tmp_path: Path, kind: str, combine: str, crs: str | None) -> None:
    """One map without its upper rows, the other without all but the uppermost."""
    rows = {"a": np.s_[:, :10], "b": np.s_[:, 5:]}
    paths = []
    for (name, missing), time, steps in zip(
        rows.items(), TIMES, ((200, 30, 20), (10, 220, 20)), strict=True
    ):
        if kind == "cells":
            made = made_field(time=time, name=name)
            p = np.broadcast_to(
                np.array(steps, np.float32)[:, None, None] / 250, (3, 30, 40)
            ).copy()
            p[missing] = np.nan
            paths.append(write_field(tmp_path, changed(made, probabilities=p)))
        else:
            header = pixel_header(name=name, time=time)
            values = np.full((3, *header.grid.shape), np.array(steps, np.uint8)[:, None, None])
            values[missing] = NODATA
            paths.append(write_pixels(tmp_path, header, values))
    out = mosaic(tmp_path, paths, RASTERS[kind], combine=combine, crs=crs)
    found = read_all(kind, out)
    p, codes, counts = found["probabilities"][0], found["classes"][0], found["observations"][0]
    mapped = np.isfinite(p) if kind == "cells" else p != NODATA
    steps = np.rint(p[mapped].astype(float) * (250 if kind == "cells" else 1))
    assert set(steps.tolist()) == {10, 200}
    assert (mapped == (codes > 0)).all()
    assert (mapped == (counts > 0)).all()
    if crs is None:
        assert mapped[:5].all()
        assert not mapped[5:10].any()
        assert mapped[10:].all()


@pytest.mark.parametrize("kind", KINDS)
def test_all_products_and_what_others_make_of_them(tmp_path: Path, kind: str, run: Run) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    for number, time in enumerate(("2024-06-25T10:10:31Z", "2024-07-01T10:00:00Z")):
        if kind == "cells":
            made = made_field(600_000.0 + 18_600 * number, time=time, name=f"m{number}")
            write_field(maps, made, (*RASTERS["cells"][:4], "vectors", "stac"))
        else:
            header = pixel_header(600_000.0 + 2_000 * number, time=time, name=f"m{number}")
            write_pixels(maps, header, made_pixels(header, seed=number), (*PIXEL_RASTERS[:3],))
    out = tmp_path / "portugal.tif"
    # as a shell gives them: the rasters beside the maps too
    rasters = sorted(maps.glob("*.tif"))
    printed = json.loads(run("mosaic", *rasters, "-o", out, "--report", "--json"))
    assert (printed["maps"], printed["models"], printed[kind]) == (2, 1, "copied")
    assert ({"cells", "pixels"} & printed.keys()) == {kind}
    files = {part: Path(path) for part, path in printed["files"].items()}
    assert list(files)[-1] == MAIN[kind]
    assert list(files.values())[-1] == out
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted(
        path.name for path in files.values()
    )
    outputs = {*RASTERS[kind], "vectors", "stac", "picture", "report"}
    assert {part for part in files if "." not in part} == outputs - (
        {"probabilities"} if kind == "pixels" else set()
    )
    for path in tmp_path.glob("*.tif"):
        assert cog_validate(path, strict=True)[0], path
        tags = rasterio.open(path).tags()
        assert json.loads(tags["GEOLULC_FILES"]) == sorted(p.name for p in files.values())

    described = json.loads(run("info", out, "--json"))
    assert described["mosaic"]["maps"] == "2"
    assert described["mosaic"]["combine"] == "mean"
    assert described["mosaic"][kind] == "copied"
    assert "2 maps, 2024-06-25 to 2024-07-01" in described["scene"]["name"]

    item = pystac.Item.from_file(tmp_path / "portugal.json")
    assert item.datetime is None
    assert item.properties["start_datetime"] == "2024-06-25T10:10:31Z"
    assert item.properties["end_datetime"] == "2024-07-01T10:00:00Z"
    assert item.properties["gsd"] == (600 if kind == "cells" else 20)
    sources = [link.target for link in item.links if link.rel == "derived_from"]
    assert len(sources) == 2
    for href in sources:
        assert (tmp_path / str(href)).resolve().is_file() or Path(str(href)).is_file()
        assert str(href).endswith(".json" if kind == "cells" else ".tif")
    assert set(files) & set(RASTERS[kind]) <= set(item.assets)
    assert item.assets["confidence"].title == (
        "Agreement of the observations on each class"
        if kind == "cells"
        else "Probability of the class"
    )
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

    with rasterio.open(files["classes"]) as dataset:
        codes = dataset.read(1)
        land_cover = BEN19[CLASSES[0]]
        assert dataset.colormap(1)[land_cover.code][:3] == land_cover.rgb
    assert described[f"mapped_{kind}"] == (codes > 0).sum()
    mapped = pytest.approx(described["mapped_area_ha"], rel=1e-9)
    for layer in ("classes", "summary"):
        table = pyogrio.read_dataframe(tmp_path / "portugal.gpkg", layer=layer)
        assert table.area_ha.sum() == mapped
    if kind == "cells":
        cells = pyogrio.read_dataframe(tmp_path / "portugal.gpkg", layer="cells")
        assert cells.area_ha[cells.code > 0].sum() == described["mapped_area_ha"]

    left, bottom, right, top = described["bounds"]
    box = shapely.box(left + 1_000, bottom + 600, right - 1_000, top - 600)
    zones = tmp_path / "zones.gpkg"
    geopandas.GeoDataFrame({"name": ["middle"]}, geometry=[box], crs=described["crs"]).to_file(
        zones
    )
    found = summarize_map(out, zones)
    size = item.properties["gsd"]
    if kind == "pixels":
        inside = codes[600 // size : -600 // size, 1_000 // size : -1_000 // size]
        assert found.mapped_ha[0] == pytest.approx(found.zone_ha[0] * (inside > 0).mean(), rel=1e-4)
    assert found.mean_probability[0] > 0
    assert "1 zones: 1 " in run(
        "summarize", out, "--zones", zones, "--out", tmp_path / "z.csv", "-q"
    )
    other = tmp_path / "latest.tif"
    run("mosaic", maps, "-o", other, "--combine", "latest", "--outputs", MAIN[kind], "-q")
    compared = json.loads(run("compare", out, other, "--out", tmp_path / "change.tif", "--json"))
    assert compared["compared_ha"] == mapped
    assert 0.5 < compared["agreement"] <= 1
    assert compare_files(out, out, tmp_path / "same.tif")[1]["agreement"] == 1
    # stac describes models
    refused = run("stac", out, "--out", tmp_path / "model.json")
    assert refused.startswith("geolulc: ")
    assert refused.count("\n") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_mosaic_speaks_of_its_own_unit(tmp_path: Path, kind: str) -> None:
    """Page, Item and Collection of pixels never speak of cells, nor those of cells of pixels."""
    path = write_flat(kind, tmp_path, "a", 200, 30, 20)
    out = mosaic(tmp_path, [path], (MAIN[kind], "classes", "report", "stac"))
    unit, other = (kind, KINDS[1 - KINDS.index(kind)])
    size = 600 if kind == "cells" else 20
    item = json.loads(out.with_suffix(".json").read_text())
    collection = json.loads(out.with_name("mosaic_collection.json").read_text())
    for description in (item["properties"]["description"], collection["description"]):
        assert f"in {unit} of {size} m" in description
        assert other[:-1] not in description
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert f'"unit": "{unit[:-1]}"' in page
    assert f"<dt>{unit.capitalize()}</dt>" in page
    method = {"cells": "cells cut to the tile", "pixels": "taken once every 1,200 m"}
    assert method[unit] in page
    assert method[other] not in page
    share = {"cells": "Cells where present", "pixels": "several classes can share"}
    assert (share["cells"] in page) == (kind == "cells")
    assert (share["pixels"] in page) == (kind == "cells")
    assert ("1 bit: each class as likely there as not" in page) == (kind == "cells")
    assert "combined by mean" in page


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_in_all_formats_and_of_few_regions(tmp_path: Path, kind: str, run: Run) -> None:
    """The options of a map's vectors are those of a mosaic's, of either kind."""
    paths = two_maps(kind, tmp_path)
    common = ("mosaic", *paths, "--outputs", f"{MAIN[kind]},vectors", "--overwrite", "-q")
    whole, few, large = (tmp_path / f"{name}.tif" for name in ("whole", "few", "large"))
    run(*common, "-o", whole, "--vector-format", "flatgeobuf", "--no-cells", "--min-area", 0)
    run(*common, "-o", few, "--max-polygons", 9, "--no-cells")
    run(*common, "-o", large, "--min-area", 200, "--no-cells")
    regions = pyogrio.read_dataframe(tmp_path / "whole_polygons.fgb")
    assert (tmp_path / "whole_summary.csv").is_file()
    merged = pyogrio.read_dataframe(tmp_path / "few.gpkg", layer="classes")
    simple = pyogrio.read_dataframe(tmp_path / "large.gpkg", layer="classes")
    assert len(regions) > len(merged)
    assert len(merged) <= 9
    assert len(regions) > len(simple)
    described = describe_map(whole)
    for table in (regions, merged, simple):
        assert table.area_ha.sum() == pytest.approx(described["mapped_area_ha"], rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_not_mixed(tmp_path: Path, kind: str) -> None:
    other = KINDS[1 - KINDS.index(kind)]
    paths = [write_flat(k, tmp_path / k, "a", 200, 30, 20) for k in (kind, other)]
    with pytest.raises(OutputError, match=f"found a map of {other} among maps of {kind}"):
        mosaic(tmp_path, paths)


@pytest.mark.parametrize(("kind", "name"), [("cells", "top3"), ("pixels", "presence")])
def test_outputs_of_the_other_kind_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    path = write_flat(kind, tmp_path, "a", 200, 30, 20)
    with pytest.raises(ParameterError, match=f"outputs of a mosaic of {kind}: found '{name}'"):
        mosaic(tmp_path, [path], (MAIN[kind], name))


@pytest.mark.parametrize("kind", KINDS)
def test_progress_goes_by_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(blocks, "BLOCKS", {False: 16, True: 64})
    seen: list[tuple[int, int]] = []
    make_mosaic(
        two_maps(kind, tmp_path),
        tmp_path / "mosaic.tif",
        MosaicOptions(),
        OutputOptions((MAIN[kind],)),
        progress=lambda done, total: seen.append((done, total)),
    )
    total = seen[-1][1]
    assert total > 4
    assert seen == [(i + 1, total) for i in range(total)]


def test_a_header_is_that_of_all_maps(tmp_path: Path) -> None:
    """Scene classes count as masked where all maps masked them."""
    masked = {"a": (3, 8, 9), "b": (8, 9, 10)}
    paths = []
    for name, codes in masked.items():
        header = replace(pixel_header(name=name), masked_scl=codes)
        paths.append(write_pixels(tmp_path, header, made_pixels(header, seed=len(paths))))
    described: dict[str, Any] = describe_map(mosaic(tmp_path, paths, ("classes",)))
    assert described["masked_scl"] == [8, 9]
    assert json.loads(described["mosaic"]["masked_scl"]) == [[3, 8, 9], [8, 9, 10]]
