"""Level-1C products: found, described, and mapped only by models of their level."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_pixel_nets import Itself, make_pixel_model
from made_product import Means, make_model, make_product, random_bands
from made_zarr import write_zarr

from geolulc.errors import ProductError
from geolulc.mapping import MapOptions, Mapper, map_scenes
from geolulc.nets import load_checkpoint
from geolulc.outputs import OutputOptions
from geolulc.products import (
    describe_product,
    describe_scene,
    list_products,
    open_product,
    open_scene,
)
from geolulc.products.atmosphere import aerosol_over, air_of, atmosphere_over
from geolulc.products.directions import Direction

REPORTED = OutputOptions(("classes", "report"))
DYNAMIC_WORLD = (
    Path(os.environ.get("GEOLULC_SHARED", "../shared")) / "data/dynamicworld/model/forward"
)


@pytest.mark.parametrize("zipped", [None, "stored", "deflated"])
def test_it_is_described_and_opened(tmp_path, zipped) -> None:
    offsets = {"B02": -1000, "B12": -500}
    names = dict.fromkeys(random_bands(), -1000) | offsets
    path = make_product(tmp_path, level="L1C", baseline="05.10", offset=names, zipped=zipped)
    found = describe_product(path)
    assert found["level"] == "L1C"
    assert not found["scene_classification"]
    assert {name: found["offsets"][name] for name in offsets} == offsets
    assert found["missing_bands"] == []
    assert open_product(path).facts["level"] == "L1C"


def test_its_xml_names_it(tmp_path) -> None:
    path = make_product(tmp_path, level="L1C")
    assert open_product(path / "MTD_MSIL1C.xml").level == "L1C"
    (tmp_path / "list.txt").write_text(path.name)
    assert list_products([tmp_path / "list.txt"]) == [path]


def test_a_model_of_the_other_level_is_refused(tmp_path) -> None:
    path = make_product(tmp_path, level="L1C")
    with (
        Mapper([make_model(Means())], MapOptions(device="cpu")) as mapper,
        pytest.raises(ProductError, match="found a Level-1C product; expected Level-2A"),
    ):
        mapper.open(open_product(path))


def test_more_air_is_brighter_in_blue_and_hardly_in_the_infrared() -> None:
    low, high = (air_of(("B02", "B08", "B12"), Direction(angle)) for angle in (30.0, 75.0))
    assert 500 < low["B02"].seen(0.0) < 900
    assert high["B02"].seen(0.0) > 1.5 * low["B02"].seen(0.0)
    assert low["B12"].seen(0.0) < 30
    for air in low.values():
        # brighter ground is brighter above, and air darkens it
        assert air.seen(np.array([8000.0])) > air.seen(np.array([4000.0]))
        assert air.seen(np.array([8000.0])) < 8000
    assert air_of(("B02",), Direction(120.0)) == air_of(("B02",), Direction(85.0))


def test_each_band_has_its_view() -> None:
    sun = Direction(60.0, 150.0)
    plain = air_of(("B02", "B08"), sun)
    assert plain == air_of(("B02", "B08"), sun, {"B11": Direction(12.0)})
    wide = air_of(("B02", "B08"), sun, {"B02": Direction(12.0)})
    assert wide["B08"] == plain["B08"]
    assert wide["B02"].transmission < plain["B02"].transmission
    assert wide["B02"].path > plain["B02"].path
    # air scatters more light back to where it comes from than aside
    towards, aside, away = (
        air_of(("B02",), sun, {"B02": Direction(12.0, azimuth)})["B02"].path
        for azimuth in (150.0, 240.0, 330.0)
    )
    assert towards > aside > away
    assert aside == pytest.approx(wide["B02"].path)


def test_gases_absorb_as_6s_says() -> None:
    """Water vapour takes most of B09, ozone some hundredths of B03, nothing takes any of B01."""
    airs = air_of(("B01", "B03", "B8A", "B09"), Direction(0.0), aerosol=0.0)
    high = {name: air.transmission for name, air in airs.items()}
    assert high["B09"] == pytest.approx(0.32, abs=0.03)
    # beside what molecules take: half their depth, on both ways
    assert high["B03"] == pytest.approx(np.exp(-0.5 * 2.0 * 0.0906 - 0.0705), abs=0.01)
    assert high["B8A"] == pytest.approx(np.exp(-0.5 * 2.0 * 0.0155), abs=0.005)


def clouds(size: int = 40) -> np.ndarray:
    """Opaque clouds above, cirrus on the left, snow on the right; where they meet, clouds."""
    layers = np.zeros((3, size, size), np.uint8)
    layers[0, : size // 4] = layers[1, :, : size // 4] = layers[2, :, -size // 4 :] = 1
    return layers


@pytest.mark.parametrize("kind", ["folder", "stored", "deflated", "zarr"])
def test_its_own_mask_of_clouds_is_a_classification(tmp_path, kind) -> None:
    packed = {"zipped": kind} if kind in ("stored", "deflated") else {}
    path = make_product(tmp_path / "s", level="L1C", baseline="05.10", clouds=clouds(), **packed)
    if kind == "zarr":
        path = write_zarr(path, tmp_path / f"{path.stem}.zarr")
    scene = open_scene(path)
    assert scene.facts["clouds"] == "opaque clouds and cirrus of MSK_CLASSI, no shadows"
    found = np.zeros((40, 40), np.uint8)
    with scene.opened(["SCL"]) as images:
        image = images["SCL"]
        assert (image.resolution, image.dtype) == (60, np.uint8)
        for row in range(image.tiling.counts[0]):
            for column in range(image.tiling.counts[1]):
                rows, columns = image.tiling.rows(row), image.tiling.columns(column)
                image.read(row, column, found[rows, columns])
        small = image.shrunk(slice(0, 40), slice(0, 40), (4, 4))
    expected = np.full((40, 40), 7)
    expected[:, -10:], expected[:, :10], expected[:10] = 11, 10, 9
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(small, expected[None, 5::10, 5::10])
    described = describe_scene(path)
    assert described["scene_classification"]
    assert described["clouds"] == scene.facts["clouds"]


def test_clouds_of_level_1c_are_not_mapped(tmp_path) -> None:
    """Pixels under clouds have no data, and the map says which clouds, and that shadows remain."""
    model = make_pixel_model(Itself(), level="L1C")
    path = make_product(tmp_path / "s", random_bands(), level="L1C", clouds=clouds())
    out = tmp_path / "map.tif"
    map_scenes([path], out, [model], MapOptions(device="cpu"), output=REPORTED)
    with rasterio.open(out) as dataset:
        shown, tags = dataset.read(1) != dataset.nodata, dataset.tags()
    hidden = clouds()[:2].any(axis=0).repeat(6, axis=0).repeat(6, axis=1)
    np.testing.assert_array_equal(~shown, hidden)
    assert tags["SCENE_CLOUDS"].endswith("no shadows")
    assert "of MSK_CLASSI, no shadows." in pages(tmp_path)


@pytest.mark.parametrize("without", ["mask", "use"])
def test_clouds_of_level_1c_may_be_unknown(tmp_path, without) -> None:
    mask = None if without == "mask" else clouds()
    path = make_product(tmp_path / "s", random_bands(), level="L1C", clouds=mask)
    options = MapOptions(device="cpu", **({} if without == "mask" else {"mask_scl": ()}))
    out = tmp_path / "map.tif"
    map_scenes([path], out, [make_pixel_model(Itself(), level="L1C")], options, output=REPORTED)
    with rasterio.open(out) as dataset:
        assert (dataset.read(1) != dataset.nodata).all()
    assert "Clouds are unknown" in pages(tmp_path)


def pages(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*.html"))


def test_a_damaged_mask_is_refused(tmp_path) -> None:
    path = make_product(tmp_path, level="L1C", clouds=clouds()[:1])
    with pytest.raises(ProductError, match=r"40 × 40 pixels; expected 40 × 40 pixels × 3, as MTD"):
        open_product(path)


def test_a_scene_says_which_angles_were_used(tmp_path) -> None:
    path = make_product(tmp_path)
    words = atmosphere_over(open_product(path), ("B02", "B12")).words
    assert words == (
        "sun 35° from the zenith, the product's view at 6° to 7°, an assumed aerosol optical "
        "depth of 0.1"
    )
    tile = next(path.glob("GRANULE/*/MTD_TL.xml"))
    tile.write_text(tile.read_text().replace("Mean_Viewing", "Other"))
    assert "an assumed view at 5°" in atmosphere_over(open_product(path), ("B02",)).words


def test_the_aerosol_is_the_products_own(tmp_path) -> None:
    assert aerosol_over(open_product(make_product(tmp_path / "none"))) is None
    depth = np.zeros((40, 40), np.uint16)
    path = make_product(tmp_path / "zero", aerosol=depth)
    assert aerosol_over(open_product(path)) is None
    depth[:20] = 250
    depth[20:30] = 100
    path = make_product(tmp_path / "some", aerosol=depth)
    assert aerosol_over(open_product(path)) == pytest.approx(0.2)
    twin = open_scene(write_zarr(path, tmp_path / "some.zarr"))
    assert aerosol_over(twin) == aerosol_over(open_product(path))
    assert "AOT" not in describe_product(path)["bands"]
    hazy, clear = (
        air_of(("B02",), Direction(40.0), aerosol=aerosol)["B02"] for aerosol in (0.2, 0.05)
    )
    assert hazy.path > clear.path
    image = next(path.rglob("*_AOT_60m.jp2"))
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(ProductError, match="AOT_60m"):
        aerosol_over(open_product(path))


@pytest.mark.skipif(not DYNAMIC_WORLD.is_dir(), reason=f"no {DYNAMIC_WORLD}")
def test_dynamic_world_maps_both_levels(tmp_path, caplog) -> None:
    model = load_checkpoint(DYNAMIC_WORLD)
    bands = random_bands()
    for level in ("L1C", "L2A"):
        path = make_product(tmp_path / level, bands, level=level)
        out = tmp_path / f"{level}.tif"
        options = MapOptions(device="cpu", mask_scl=())
        map_scenes([path], out, [model], options, output=OutputOptions(("classes",)))
        with rasterio.open(out) as dataset:
            assert dataset.nodata == 255
            assert dataset.read(1).max() <= 8
            assert dataset.tags()["NOMENCLATURE"] == "dynamicworld"
            computed = dataset.tags().get("MODEL_INPUT")
            assert ("the product's view at 6°" in dataset.tags().get("SCENE_AIR", "")) == (
                level == "L2A"
            )
        assert computed == (
            None if level == "L1C" else "top of the atmosphere, computed from Level-2A"
        )
    assert "computed from Level-2A (sun" in caplog.text
