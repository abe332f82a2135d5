"""The Python API: a scene in, an xarray.DataArray out."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import rasterio
from made_product import Means, flat_bands, make_model, make_product
from make_scene import make_landscape
from scene_in_python import main as run_the_example

import geolulc
from geolulc.nets import Model


def test_a_data_array_with_coordinates_and_crs(tmp_path):
    bands = flat_bands(2460, 2400, dn=8192)
    bands["B04"][:120, :120] = 16384
    scl = np.full((120, 123), 4, np.uint8)
    scl[:60, :60] = 9
    path = make_product(tmp_path, bands, scl=scl)
    scene = geolulc.open_scene(path)
    array = geolulc.predict_scene(scene, make_model(Means()), device="cpu", min_clear=0)
    assert array.dims == ("class", "y", "x")
    assert array.dtype == np.float32
    assert array.rio.crs.to_epsg() == 32632
    assert array.rio.transform() * (0, 0) == (600_000, 5_200_020)
    assert array.x.values.tolist() == [600_600, 601_800, 603_000]
    assert array.y.values.tolist() == [5_199_420, 5_198_220]
    corner = array.sel({"class": "Arable land"}).sel(x=600_650, y=5_199_400, method="nearest")
    assert float(corner) == pytest.approx(0.5, abs=1e-6)
    assert float(array[0, 1, 1]) == pytest.approx(0.25, abs=1e-6)
    assert float(corner.clear) == 0
    assert float(array.clear[1, 1]) == 1
    assert float(array.valid.min()) == 1
    assert array.attrs["scene_tile"] == "32TPS"
    array.rio.to_raster(tmp_path / "again.tif")


def test_a_path_and_several_models(tmp_path):
    path = make_product(tmp_path, flat_bands(1200, 1200, dn=8192))

    class Double(Means):
        def forward(self, x10, x20, x60):
            return super().forward(2 * x10, x20, x60)

    models = [make_model(Means()), make_model(Double())]
    array = geolulc.predict_scene(path, models, device="cpu", mask_scl=())
    assert float(array[0, 0, 0]) == pytest.approx((0.25 + 0.5) / 2, abs=1e-6)


def test_the_example_in_python_runs(tmp_path, capsys):
    land = make_landscape(2400, seed=2)
    run_the_example(
        str(make_product(tmp_path, land.bands, scl=land.scl)), str(tmp_path / "first.tif")
    )
    lines = capsys.readouterr().out.splitlines()
    means = [float(line.split()[0]) for line in lines]
    assert len(lines) == 19
    assert means == sorted(means, reverse=True)
    with rasterio.open(tmp_path / "first.tif") as dataset:
        assert dataset.crs.to_epsg() == 32632
        assert dataset.res == (600, 600)
        assert dataset.read(1).mean() == pytest.approx(means[0], abs=1e-3)


def test_models_of_other_classes_cannot_be_averaged(tmp_path):
    path = make_product(tmp_path)
    models: list[Model] = [make_model(Means()), make_model(Means(), ("Pastures",))]
    with pytest.raises(geolulc.GeolulcError, match="Average models of the same classes"):
        geolulc.predict_scene(path, models)


def test_importing_geolulc_loads_nothing_heavy():
    code = "import sys, geolulc; print(sorted({'torch', 'rasterio', 'xarray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
