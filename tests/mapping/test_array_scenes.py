"""Arrays are a scene: the pixels of a SAFE, given as arrays, make the same map."""

from __future__ import annotations

import numpy as np
import pytest
import rioxarray
import xarray
from affine import Affine
from made_nets import make_net
from made_pixel_nets import Itself, make_pixel_model
from made_product import Means, flat_bands, make_model, make_product, random_bands

import geolulc
from geolulc.bands import BANDS
from geolulc.errors import ParameterError, ProductError
from geolulc.mapping import predict_scene
from geolulc.nets import Model
from geolulc.products import array_scene, open_product, true_colour

LEFT, TOP = 600_000, 5_200_020
TRANSFORM = Affine(10, 0, LEFT, 0, -10, TOP)
PLACE = {"crs": "EPSG:32632", "transform": TRANSFORM}
CPU = {"device": "cpu"}


def data_array(pixels: np.ndarray, resolution: int, crs: int | None = 32632) -> xarray.DataArray:
    rows, columns = pixels.shape
    dims = f"y{resolution}", f"x{resolution}"
    array = xarray.DataArray(
        pixels,
        dims=dims,
        coords={
            dims[0]: TOP - resolution * (np.arange(rows) + 0.5),
            dims[1]: LEFT + resolution * (np.arange(columns) + 0.5),
        },
    )
    return array if crs is None else array.rio.write_crs(crs)


def dataset(bands, scl=None) -> xarray.Dataset:
    arrays = {b.name: data_array(bands[b.name], b.resolution) for b in BANDS}
    if scl is not None:
        arrays["SCL"] = data_array(scl, 20)
    return xarray.Dataset(arrays)


@pytest.fixture(scope="module")
def land():
    """Bands with nodata and a scene classification with clouds."""
    bands = random_bands(4800, 3660)
    for b in BANDS:
        bands[b.name][: 1500 // b.resolution, : 900 // b.resolution] = 0
    scl = np.full((183, 240), 4, np.uint8)
    scl[100:, 150:] = 9
    return bands, scl


@pytest.fixture(scope="module", params=["patches", "inside patches", "pixels"])
def case(request):
    if request.param == "pixels":
        return make_pixel_model(Itself()), {}
    options = {"stride": 600} if request.param == "patches" else {"resolution": 320}
    return Model(make_net().eval(), name="made"), options


def test_the_arrays_of_a_safe_make_the_same_map(tmp_path, land, case):
    bands, scl = land
    model, options = case
    path = make_product(tmp_path, bands, scl=scl, baseline="05.10")
    expected = geolulc.predict_scene(path, model, **CPU, **options)
    arrays = {**bands, "SCL": scl}
    resolutions = {b.name: b.resolution for b in BANDS} | {"SCL": 20}
    files = {}
    for name, pixels in arrays.items():
        data_array(pixels, resolutions[name]).rename(
            {f"y{resolutions[name]}": "y", f"x{resolutions[name]}": "x"}
        ).rio.to_raster(tmp_path / f"{name}.tif")
        files[name] = rioxarray.open_rasterio(tmp_path / f"{name}.tif")
    again = {
        "xarray": geolulc.predict_scene(dataset(bands, scl), model, offset=-1000, **CPU, **options),
        "files": geolulc.predict_scene(files, model, offset=-1000, **CPU, **options),
        "numpy": geolulc.predict_scene(arrays, model, offset=-1000, **PLACE, **CPU, **options),
    }
    for found in again.values():
        np.testing.assert_array_equal(found.values, expected.values)
        assert found.rio.crs == expected.rio.crs
        for name in ("x", "y", "valid", "clear"):
            if name in expected.coords:
                np.testing.assert_array_equal(found[name], expected[name])
    assert 0 < np.isnan(expected.values).mean() < 1


def test_dask_arrays_are_computed_tile_by_tile(land):
    dask = pytest.importorskip("dask.array")
    bands, _ = land
    seen = []

    def counted(block):
        seen.append(block.shape)
        return block

    lazy = {
        name: dask.from_array(pixels, chunks=100).map_blocks(counted, dtype=np.uint16)
        for name, pixels in bands.items()
    }
    del seen[:]
    found = geolulc.predict_scene(lazy, make_model(Means()), offset=0, **PLACE, **CPU)
    expected = geolulc.predict_scene(bands, make_model(Means()), offset=0, **PLACE, **CPU)
    np.testing.assert_array_equal(found.values, expected.values)
    assert len(seen) == sum(-(-p.shape[0] // 100) * -(-p.shape[1] // 100) for p in bands.values())


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("nodata", [0, 65535, -9999, np.nan])
def test_no_data_of_any_kind(kind, nodata):
    if (kind == np.uint16 and not 0 <= nodata <= 65535) or (kind == np.int32 and nodata != nodata):
        pytest.skip("not of this type")
    bands = flat_bands(dn=8192)
    bands["B04"][:120, :120] = 16384
    marked = {name: pixels.astype(kind) for name, pixels in bands.items()}
    marked["B04"][120:, 120:] = nodata
    found = geolulc.predict_scene(
        marked, make_model(Means()), offset=0, nodata=nodata, **PLACE, **CPU
    )
    np.testing.assert_allclose(found[0, 0], [0.5, 0.25], atol=1e-6)
    assert np.isnan(found[0, 1, 1])
    assert found.valid.values.tolist() == [[1, 1], [1, 0]]


def test_a_measurement_of_0_is_data_where_nodata_is_another_value():
    bands = {name: np.zeros_like(pixels) for name, pixels in flat_bands().items()}
    options = {"offset": 0, **PLACE, **CPU}
    found = geolulc.predict_scene(bands, make_model(Means()), nodata=9999, **options)
    assert (found.valid == 1).all()
    with pytest.raises(ProductError, match="no cell with enough ground that has data"):
        geolulc.predict_scene(bands, make_model(Means()), **options)


def test_the_level_is_what_is_said(tmp_path):
    scene = array_scene(flat_bands(), offset=0, level="L1C", **PLACE)
    assert scene.facts["level"] == "L1C"
    with pytest.raises(ProductError, match="arrays: found a Level-1C product; expected Level-2A"):
        predict_scene(scene, make_model(Means()), **CPU)


def test_true_colour_of_arrays(tmp_path):
    bands = random_bands()
    product = open_product(make_product(tmp_path, bands))
    scene = array_scene(bands, offset=0, **PLACE)
    for pixels in (1000, 240):
        ours, theirs = true_colour(scene, pixels), true_colour(product, pixels)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1]
    picture, _ = true_colour(scene, 60)
    assert picture.shape == (60, 60, 3)


def change(**changes):
    return {**flat_bands(), **changes}


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (flat_bands(), {"offset": None}, r"offset: found none; .*Give offset=-1000 for Sentinel"),
        (flat_bands(), {"offset": {"B02": 0}}, r"offset: found none for B01, B03"),
        (flat_bands(), {"crs": None}, r"array B01: found CRS None"),
        (flat_bands(), {"crs": 4326}, r"found CRS EPSG:4326; expected a projected CRS in metres"),
        (flat_bands(), {"crs": 2225}, r"expected a projected CRS in metres"),
        (flat_bands(), {"transform": None}, r"transform: found none"),
        (flat_bands(), {"transform": (10, 1, 0, 0, -10, 0)}, r"expected squares, north up"),
        (flat_bands(), {"transform": (10, 0, 0, 0, 10, 0)}, r"expected squares, north up"),
        (flat_bands(), {"transform": (0.5, 0, 0, 0, -0.5, 0)}, r"pixels of 0\.5 m; expected whole"),
        (flat_bands(), {"level": "L3"}, r"level 'L3': found no such level"),
        ({}, {}, r"arrays: found none"),
        (change(B02=np.ones((3, 240, 240), np.uint16)), {}, r"array B02: found the shape \(3,"),
        (change(B02=np.ones((240, 239), np.uint16)), {}, r"B02: found pixels of 10\.0418 m"),
        (change(B05=np.ones((240, 240), np.uint16)), {}, r"B05: found pixels of 10 m; expected 20"),
        (change(B02=np.full((240, 240), 0.3)), {}, r"B02: found values up to 0\.3, as of ref"),
        (change(B02=np.full((240, 240), -5)), {}, r"B02: found values from -5 to -5; expect"),
        (change(B02=np.full((240, 240), np.inf)), {}, r"array B02: found values from inf to inf"),
        (change(B02=np.full((240, 240), "a")), {}, r"array B02: found values of <U1"),
        (
            {n: a for n, a in flat_bands().items() if n not in ("B02", "B11")}, {},
            r"arrays: found no image of B02, B11; expected .* which probe needs",
        ),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_used(arrays, options, message):
    options = {"offset": 0, **PLACE, **options}
    options = {name: value for name, value in options.items() if value is not None}
    with pytest.raises((ProductError, ParameterError), match=message):
        geolulc.predict_scene(arrays, make_model(Means()), **options, **CPU)


@pytest.mark.parametrize(
    ("b02", "message"),
    [
        (data_array(np.ones((240, 240), np.uint16), 10, crs=None), r"array B02: found CRS None"),
        (data_array(np.ones((240, 240), np.uint16), 10, crs=32633), r"B02: found EPSG:32633, left"),
        (
            data_array(np.ones((240, 240), np.uint16), 10).drop_vars("x10"),
            r"array B02: found no coordinates x10",
        ),
        (
            data_array(np.ones((240, 240), np.uint16), 10).assign_coords(x10=np.arange(240) ** 2),
            r"coordinates x10 of uneven steps",
        ),
        (
            data_array(np.ones((240, 240), np.uint16), 10).shift(y10=0).assign_coords(
                y10=lambda a: a.y10 + 3
            ),
            r"B02: found EPSG:32632, left 600000\.00, top 5200023\.00",
        ),
    ],
)  # fmt: skip
def test_xarrays_that_cannot_be_used(b02, message):
    arrays = {n: a for n, a in dataset(flat_bands()).items() if n != "B02"} | {"B02": b02}
    with pytest.raises((ProductError, ParameterError), match=message):
        geolulc.predict_scene(arrays, make_model(Means()), offset=0, **CPU)


def test_the_ground_of_a_part():
    """A window cut from a Dataset is a scene as well."""
    bands = random_bands(4800, 4800)
    whole = dataset(bands)
    cut = xarray.Dataset(
        {
            b.name: whole[b.name].isel(
                {
                    f"y{b.resolution}": slice(1200 // b.resolution, 3600 // b.resolution),
                    f"x{b.resolution}": slice(0, 2400 // b.resolution),
                }
            )
            for b in BANDS
        }
    )
    model = make_model(Means())
    full = geolulc.predict_scene(whole, model, offset=0, **CPU)
    part = geolulc.predict_scene(cut, model, offset=0, **CPU)
    np.testing.assert_array_equal(part.values, full.values[:, 1:3, :2])
    np.testing.assert_array_equal(part.y, full.y[1:3])
