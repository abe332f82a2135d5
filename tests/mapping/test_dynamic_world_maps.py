"""Maps of Dynamic World's network: no layout of the work shows, and what reads maps reads them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import shapely
import torch
from click.testing import CliRunner
from made_product import make_product
from test_pixels import smooth_bands

from geolulc.bands import BANDS
from geolulc.cli import cli
from geolulc.mapping import MapOptions, predict_scene
from geolulc.nets import load_checkpoint
from geolulc.products import open_product

MODEL = Path(os.environ.get("GEOLULC_SHARED", "../shared")) / "data/dynamicworld/model/forward"
OPTIONS = MapOptions(device="cpu", mask_scl=())
OUTPUTS = "classes,probabilities,confidence,top3,vectors,stac,picture,report"

pytestmark = pytest.mark.skipif(not MODEL.is_dir(), reason=f"no {MODEL}")


@pytest.fixture(scope="module")
def model():
    return load_checkpoint(MODEL)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A Level-1C product that takes several windows each way, its bands, and its map."""
    bands = smooth_bands()
    path = make_product(tmp_path_factory.mktemp("hills"), bands, level="L1C")
    return path, bands, predict_scene(path, load_checkpoint(MODEL), options=OPTIONS)


def _run(*arguments: object) -> str:
    found = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_strips_batches_and_threads_do_not_show(scene, model, tmp_path) -> None:
    _, bands, whole = scene
    other = make_product(tmp_path, bands, level="L1C", jp2_tiles={10: 640, 20: 90, 60: 120})
    options = MapOptions(device="cpu", mask_scl=(), batch_size=3, threads=3)
    found = predict_scene(other, model, options=options)
    np.testing.assert_allclose(found.block.probabilities, whole.block.probabilities, atol=1e-4)
    # several classes, or the comparison would say little
    assert len(np.unique(whole.block.probabilities.argmax(axis=0))) > 1


def test_an_area_changes_no_pixel(scene, model, tmp_path) -> None:
    path, _, whole = scene
    left, _, _, top = open_product(path).grid.bounds
    box = shapely.box(left + 5000, top - 4300, left + 7500, top - 2500)
    area = tmp_path / "area.gpkg"
    geopandas.GeoDataFrame(geometry=[box], crs="EPSG:32632").to_file(area)
    part = predict_scene(path, model, options=MapOptions(device="cpu", mask_scl=(), aoi=area))
    (down, right), (high, wide) = part.header.grid.inset, part.header.grid.shape
    rows, columns = (slice(a // 10, a // 10 + n) for a, n in ((down, high), (right, wide)))
    known = np.isfinite(part.block.probabilities[0])
    assert known.sum() == 250 * 180
    difference = part.block.probabilities - whole.block.probabilities[:, rows, columns]
    assert np.abs(difference[:, known]).max() < 1e-4


def test_all_outputs_dates_zones_and_changes(scene, tmp_path) -> None:
    """The mean of two dates' probabilities, zones and changes, with its own classes and codes."""
    _, bands, _ = scene
    maps = []
    for month in (6, 7):
        dimmed = {
            b.name: (bands[b.name] * (0.7 + 0.05 * month)).astype(np.uint16)[
                : 3600 // b.resolution, : 4800 // b.resolution
            ]
            for b in BANDS
        }
        path = make_product(
            tmp_path / str(month),
            dimmed,
            level="L1C",
            sensing=f"2023-0{month}-01T10:00:00",
        )
        maps.append(tmp_path / f"{month}.tif")
        _run("map", path, "--model", MODEL, "--out", maps[-1], "--outputs", OUTPUTS)
    out = tmp_path / "both.tif"
    _run("mosaic", *maps, "--out", out, "--outputs", "classes,probabilities")
    shares = []
    for path in (*maps, out):
        with rasterio.open(path.with_name(f"{path.stem}_probabilities.tif")) as dataset:
            shares.append(dataset.read().astype(float))
    known = (shares[0][0] != 255) & (shares[1][0] != 255)
    assert known.mean() > 0.9
    mean = (shares[0] + shares[1]) / 2
    assert np.abs(shares[2] - mean)[:, known].max() <= 1  # steps of 1/250
    with rasterio.open(out) as dataset:
        assert dataset.nodata == 255
        agrees = dataset.read(1) == mean.argmax(axis=0)
    assert agrees[known].mean() > 0.97  # ties of rounded steps
    zones = tmp_path / "zones.gpkg"
    left, bottom, right, top = rasterio.open(out).bounds
    frame = geopandas.GeoDataFrame(geometry=[shapely.box(left, bottom, right, top)], crs=32632)
    frame.to_file(zones)
    table = tmp_path / "zones.csv"
    _run("summarize", out, "--zones", zones, "--out", table)
    found = pandas.read_csv(table).iloc[0]
    hectares = found[[name for name in found.index if name.startswith("ha_")]].astype(float)
    assert "ha_flooded_vegetation" in hectares
    assert hectares.sum() == pytest.approx(found["mapped_ha"], rel=1e-6)
    told = json.loads(_run("compare", *maps, "--out", tmp_path / "change.tif", "--json"))
    assert told
    described = json.loads(_run("info", out, "--json"))
    assert described["nomenclature"] == "dynamicworld"


def test_an_exported_graph_gives_its_probabilities(model, tmp_path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    graph = tmp_path / "dw.onnx"
    _run("export", MODEL, "--onnx", graph)
    rng = np.random.default_rng(3)
    inputs = {}
    for resolution, names in model.net.bands.items():
        side = 1200 // resolution
        inputs[f"b{resolution}"] = rng.integers(1, 6000, (2, len(names), side, side), np.uint16)
        inputs[f"offset{resolution}"] = np.zeros(len(names), np.int32)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, inputs)
    tensors = [torch.from_numpy(inputs[f"b{r}"]) for r in model.net.bands]
    with torch.inference_mode():
        expected = model.probabilities(model.net(*tensors)).numpy()
    assert found.shape == (2, 9, 120, 120)
    np.testing.assert_allclose(found, expected, atol=1e-4)
