"""A nomenclature that nobody knows, from a store through training to every file of a map."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from defusedxml import ElementTree
from made_pixels import made_pixel_patch
from make_scene import make_demo_scene
from shapely.geometry import box

from geolulc.cli import cli
from geolulc.datasets import UNLABELLED, Patch, open_store, write_store
from geolulc.nets import load_checkpoint
from geolulc.nomenclature import BEN19, IGNORED, nomenclature_of
from geolulc.nomenclature_files import find_nomenclature

CODES = (3, 10, 11, 40, 77, 200, 254)
NAMES = ("Wheat", "Пшеница", "小麦", "🌾 Fallow", 'a < b & "c"', "Wald", "Übrige; Flächen")
OWN = nomenclature_of(
    {
        "id": "seven",
        "title": "Seven – 七",
        "classes": [
            {"name": n, "code": c, "color": f"#{c:02x}80{255 - c:02x}"}
            for n, c in zip(NAMES, CODES, strict=True)
        ],
    }
)


def own_patch(index: int) -> Patch:
    """A patch of a landscape; its covers are dealt to the seven classes, a third has no label."""
    patch = made_pixel_patch(index, split=("train", "train", "val", "test")[index % 4])
    assert patch.reference is not None
    positions = BEN19.positions_of_clc(patch.reference)
    codes = np.array(CODES, np.uint16)[positions % 7]
    codes[positions == IGNORED] = UNLABELLED
    codes[::3] = UNLABELLED
    present = np.setdiff1d(codes, [UNLABELLED])
    labels = tuple(c.name for c in OWN.classes if c.code in present)
    return replace(patch, dataset="labels", labels=labels, ben19=(), reference=codes)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, and a scene of 2.4 km."""
    folder = tmp_path_factory.mktemp("own")
    write_store(folder / "own.store", map(own_patch, range(12)), OWN)
    make_demo_scene(folder, size=2400)
    return folder


def test_the_store_says_what_it_is(folder: Path) -> None:
    described = json.loads(run("info", folder / "own.store", "--json"))
    assert described["nomenclature"] == "seven"
    assert set(described["classes"]) == set(NAMES)
    assert described["patches"]["with_reference_map"] == 12
    store = open_store(folder / "own.store")
    expected = np.stack([OWN.multi_hot(own_patch(i).labels) for i in range(12)])
    np.testing.assert_array_equal(store.targets, expected)


@pytest.mark.parametrize("task", ["patch", "pixel"])
def test_from_the_store_to_every_file(task: str, folder: Path) -> None:
    model, out = folder / task, folder / f"{task}-maps"
    out.mkdir()
    settings = ("--backbone", "test_resnet", "--epochs", 1, "--batch-size", 4, "-q")
    run("train", folder / "own.store", model, "--task", task, *settings)
    net = load_checkpoint(model).net
    assert net.nomenclature == OWN
    assert net.classes == NAMES

    report = folder / f"{task}-report"
    figures = json.loads(
        run("evaluate", model, folder / "own.store", "--split", "test", "--report", report,
            "--json")
    )  # fmt: skip
    assert [row["name"] for row in figures["classes"]] == list(NAMES)
    text = (report / "report.md").read_text()
    assert "小麦" in text
    assert "CORINE" not in text
    if task == "pixel":
        assert "Agreement with the labels" in text
        assert figures["ignored"] > 0.3

    (scene,) = folder.glob("*.SAFE")
    for name in ("a", "b"):
        run("map", scene, "--model", model, "--out", out / f"{name}.tif", "-q")
    raster = out / ("a.tif" if task == "pixel" else "a_classes.tif")
    with rasterio.open(raster) as dataset:
        found = set(np.unique(dataset.read(1)).tolist()) - {dataset.nodata}
        colors = dataset.colormap(1)
    assert found <= set(CODES)
    assert [colors[c.code][:3] for c in OWN.classes] == [c.rgb for c in OWN.classes]
    style = find_nomenclature(raster.with_suffix(".qml"))
    assert {c.name: c.code for c in style.classes} == dict(zip(NAMES, CODES, strict=True))
    attributes = ElementTree.parse(f"{raster}.aux.xml").getroot()
    assert set(NAMES) <= {cell.text for cell in attributes.iter("F")}
    regions = geopandas.read_file(out / "a.gpkg", layer="classes")
    assert set(regions["name"]) <= set(NAMES)
    item = json.loads((out / "a.json").read_text())
    assert "小麦" in json.dumps(item, ensure_ascii=False)

    described = json.loads(run("info", out / "a.tif", "--json"))
    assert described["nomenclature"] == "seven"
    run("compare", out / "a.tif", out / "b.tif", "--out", out / "change.tif", "-q")
    run("mosaic", out / "a.tif", out / "b.tif", "--out", out / "mosaic.tif", "-q")
    areas = json.loads(run("info", out / "mosaic.tif", "--json"))["area_ha_by_class"]
    assert areas == pytest.approx(described["area_ha_by_class"], abs=20)
    with rasterio.open(out / "a.tif") as dataset:
        bounds, crs = dataset.bounds, dataset.crs
    zones = geopandas.GeoDataFrame({"zone": ["all"]}, geometry=[box(*bounds)], crs=crs)
    zones.to_file(out / "zones.gpkg")
    run("summarize", out / "a.tif", "--zones", out / "zones.gpkg", "--out", out / "z.csv", "-q")
    assert "ha_wheat,ha_10,ha_11" in (out / "z.csv").read_text()
    run("stac", model, "--out", out / "model.json")


def test_a_model_of_other_classes_is_refused(folder: Path) -> None:
    other = replace(OWN, classes=(*OWN.classes[:-1], replace(OWN.classes[-1], code=253)))
    store = folder / "other.store"
    write_store(store, [replace(own_patch(i), reference=None) for i in range(4)], other)
    model = folder / "patch"
    result = CliRunner().invoke(cli, ["evaluate", str(model), str(store), "--split", "test"])
    assert result.exit_code == 1
    assert "a store of the nomenclature seven" in str(result.exception or result.output)
