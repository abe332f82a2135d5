"""The same ground through both doors: BigEarthNet patch and Sentinel-2 product."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import torch
from made_product import Recorder, make_model, make_product
from make_scene import add_offset

from geolulc.bands import BANDS, GROUPS
from geolulc.datasets import open_store, prepare_store
from geolulc.datasets.loader import PatchLoader
from geolulc.mapping import predict_scene
from geolulc.nets import Calibration, Model, NetConfig, Normalisation, build_net
from geolulc.nomenclature import BEN19

TILE = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"


def _patch(folder):
    bands = {}
    for band in BANDS:
        with rasterio.open(next(folder.glob(f"*_{band.name}.tif"))) as image:
            bands[band.name] = image.read(1)
    return bands


def _groups(bands):
    """The three groups of one patch, as a store's batch has them."""
    return tuple(
        torch.from_numpy(np.stack([bands[b] for b in GROUPS[r]]).astype(np.int32))[None]
        for r in GROUPS
    )


@pytest.fixture(params=["v1", "v2", "with nodata"])
def patch(request, shared):
    if request.param == "v1":
        folder = sorted((shared / "data/bigearthnet-v1/BigEarthNet-v1.0").iterdir())[3]
        assert json.loads(next(folder.glob("*.json")).read_text())["labels"]
    else:
        folder = shared / "data/bigearthnet-v2/BigEarthNet-S2" / TILE / f"{TILE}_37_88"
    bands = _patch(folder)
    if request.param == "with nodata":
        # a swath edge, on a slightly different line in each band, and reflectance near 0
        for index, band in enumerate(BANDS):
            bands[band.name][: (3 + index) * 60 // band.resolution, :] = 0
        bands["B12"][-5:, -5:] = 1
    return bands


@pytest.mark.parametrize("offset", [0, -1000])
def test_network_inputs_are_bit_equal_for_every_band(tmp_path, patch, offset):
    """The product's DN are the patch's + 1000 where its metadata state an offset of -1000."""
    recorder = Recorder()
    model = make_model(recorder, mean=873.5, std=711.25)
    baseline = "05.10" if offset else "02.08"
    product = make_product(
        tmp_path, {n: add_offset(dn, offset) for n, dn in patch.items()}, baseline=baseline
    )
    landcover_map = predict_scene(product, model, min_valid=0, device="cpu")
    expected = model.net.preprocess(*_groups(patch))
    (seen,) = recorder.seen
    for ours, theirs in zip(seen, expected, strict=True):
        assert ours.dtype == theirs.dtype == torch.float32
        assert torch.equal(ours, theirs)
    share = model.net.valid_share(*_groups(patch)).item()
    assert landcover_map.block.valid[0, 0] == np.float32(share)


def test_inputs_below_the_offset_are_clipped_not_wrapped(tmp_path):
    recorder = Recorder()
    bands = {
        b.name: np.full((1200 // b.resolution, 1200 // b.resolution), 900, np.uint16) for b in BANDS
    }
    product = make_product(tmp_path, bands, baseline="05.10")
    landcover_map = predict_scene(product, make_model(recorder), device="cpu")
    assert all(not x.any() for x in recorder.seen[0])
    # reflectance 0 is a measurement, not nodata
    assert landcover_map.block.valid[0, 0] == 1


@pytest.mark.parametrize("offset", [0, -1000])
def test_four_real_neighbours_as_one_product(shared, tmp_path, offset):
    folder = shared / "data/bigearthnet-v2/BigEarthNet-S2" / TILE
    # names end with column and row of the tile
    patches = {
        (row, column): _patch(folder / f"{TILE}_{37 + column}_{88 + row}")
        for row in (0, 1)
        for column in (0, 1)
    }
    bands = {
        b.name: add_offset(
            np.block([[patches[row, column][b.name] for column in (0, 1)] for row in (0, 1)]),
            offset,
        )
        for b in BANDS
    }
    baseline = "05.10" if offset else "02.08"
    product = make_product(tmp_path, bands, baseline=baseline, epsg=32633, tile="33UUP")
    normalisation = Normalisation(
        mean={b.name: 1000.0 for b in BANDS}, std={b.name: 900.0 for b in BANDS}
    )
    net = build_net(
        NetConfig(), classes=BEN19.names, nomenclature="ben19", normalisation=normalisation, seed=1
    ).eval()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                # as after training: folding has something to fold
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 1.5)
    model = Model(net, calibration=Calibration(0.7))
    landcover_map = predict_scene(product, model, device="cpu")
    assert landcover_map.header.grid.shape == (2, 2)
    for (row, column), patch in patches.items():
        with torch.inference_mode():
            expected = model.probabilities(net(*_groups(patch)))[0].numpy()
        np.testing.assert_allclose(
            landcover_map.block.probabilities[:, row, column], expected, rtol=0, atol=2e-6
        )
    flat = landcover_map.block.probabilities.reshape(19, 4)
    assert np.ptp(flat, axis=1).max() > 1e-3  # the four are not the same anyway


def test_a_store_and_a_product_give_equal_network_inputs(shared, tmp_path):
    """The training door as training uses it: archive → store → loader → network."""
    archive = tmp_path / "archive"
    source = shared / "data/bigearthnet-v2"
    (archive / "BigEarthNet-S2" / TILE).mkdir(parents=True)
    (archive / "metadata.parquet").symlink_to(source / "metadata.parquet")
    name = f"{TILE}_38_89"
    folder = source / "BigEarthNet-S2" / TILE / name
    (archive / "BigEarthNet-S2" / TILE / name).symlink_to(folder)
    prepare_store(archive, tmp_path / "ben.store")
    store = open_store(tmp_path / "ben.store")
    (batch,) = PatchLoader(store, np.array([store.keys.index(name)]), 1, shuffle=False)
    recorder = Recorder()
    model = make_model(recorder, mean=812.25, std=633.5)
    bands = {n: add_offset(dn, -1000) for n, dn in _patch(folder).items()}
    predict_scene(make_product(tmp_path, bands, baseline="05.10"), model, device="cpu")
    expected = model.net.preprocess(*batch.groups)
    for ours, theirs in zip(recorder.seen[0], expected, strict=True):
        assert torch.equal(ours, theirs)
