"""Band files: whole, of the right size, in the right place, and JPEG 2000."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_product import flat_bands, make_product, random_bands
from make_scene import write_jp2
from rasterio.errors import NotGeoreferencedWarning

from geolulc.errors import ProductError
from geolulc.products import (
    Jp2Image,
    Tiling,
    image_settings,
    open_image,
    open_product,
    true_colour,
    unplaced_images,
)

ULX, ULY = 600_000, 5_200_020


@pytest.fixture
def product(tmp_path):
    return make_product(tmp_path, random_bands())


def _band(product, ending):
    return next(product.rglob(f"*_{ending}.jp2"))


def test_a_missing_band(product):
    _band(product, "B8A_20m").unlink()
    opened = open_product(product)
    assert "B8A" not in opened.images
    with opened.opened(["B02"]):
        pass
    with (
        pytest.raises(ProductError, match=r"found no image of B8A; expected B02, B8A, which"),
        opened.opened(["B02", "B8A"]),
    ):
        pass


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.5, 0.9, 0.9999])
def test_a_truncated_image(product, share):
    path = _band(product, "B04_10m")
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ProductError, match=r"_B04_10m\.jp2: found a damaged file"):
        open_product(product)


def test_an_image_that_ends_between_two_tiles(tmp_path):
    """Nothing in the last tile tells that others should follow: only the count does."""
    product = make_product(tmp_path, random_bands(3600, 3600))
    path = _band(product, "B04_10m")
    data = path.read_bytes()
    cut = data[: data.rindex(b"\xff\x90\x00\x0a")] + b"\xff\xd9"
    box = data.index(b"jp2c") - 4
    path.write_bytes(cut[:box] + (len(cut) - box).to_bytes(4, "big") + cut[box + 4 :])
    with pytest.raises(ProductError, match=r"_B04_10m\.jp2: found a damaged .*3 of 4 JP2 tiles"):
        open_product(product)


@pytest.mark.parametrize(
    ("band", "resolution", "change", "message"),
    [
        ("B03", 10, {"shape": (240, 234)}, r"240 × 234 pixels; expected 240 × 240 pixels"),
        ("B05", 20, {"epsg": 32633}, r"CRS EPSG:32633; expected EPSG:32632"),
        ("B09", 60, {"ulx": ULX + 60}, r"corner \(600060, 5200020\).*corner \(600000, 5200020\)"),
        ("B12", 20, {"uly": ULY - 20}, r"corner \(600000, 5200000\)"),
        ("B02", 10, {"dtype": np.uint8}, r"uint8 pixels; expected uint16"),
    ],
)
def test_an_image_of_another_place_or_kind(product, band, resolution, change, message):
    shape = change.get("shape", (2400 // resolution, 2400 // resolution))
    write_jp2(
        _band(product, f"{band}_{resolution}m"),
        np.full(shape, 100, change.get("dtype", np.uint16)),
        resolution,
        change.get("epsg", 32632),
        change.get("ulx", ULX),
        change.get("uly", ULY),
        1024,
    )
    with pytest.raises(ProductError, match=message) as error:
        open_product(product)
    assert f"_{band}_{resolution}m.jp2" in str(error.value)


def _replaced(path, old, new):
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


def _coding(path):
    """Bytes of the COD segment: style, progression, layers, transform, levels, code blocks."""
    data = path.read_bytes()
    at = data.index(b"\xff\x52") + 4
    return data[at : at + 8]


@pytest.mark.parametrize(
    ("coding", "message"),
    [
        # code blocks of 4 × 4 pixels in 65,535 layers
        (b"\x00\x00\xff\xff\x00\x05\x00\x00", r"code blocks × 65,535 layers in a JP2 tile"),
        (b"\x00\x00\x00\x01\x00\x63\x04\x04", "99 resolution levels"),
    ],
)
def test_an_image_that_takes_all_memory(product, coding, message):
    path = _band(product, "B04_10m")
    _replaced(path, _coding(path), coding)
    with pytest.raises(ProductError, match=message):
        open_product(product)


def test_precincts_of_two_pixels(tmp_path):
    """The file stays small; a decoder would make room for millions of them."""
    product = make_product(tmp_path, flat_bands(7200, 7200), jp2_tiles={10: 720, 20: 360, 60: 120})
    path = _band(product, "B04_10m")
    data = path.read_bytes()
    at = data.index(b"\xff\x52")
    (levels,) = data[at + 9 : at + 10]
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    segment = bytes([1]) + data[at + 5 : at + 14] + b"\x11" * (levels + 1)
    box = data.index(b"jp2c") - 4
    data = data[: at + 2] + (len(segment) + 2).to_bytes(2, "big") + segment + data[end:]
    path.write_bytes(data[:box] + (len(data) - box).to_bytes(4, "big") + data[box + 4 :])
    with pytest.raises(ProductError, match=r"\d{3},\d{3} code blocks × 1 layers"):
        open_product(product)


def test_messages_that_are_not_utf_8(product, caplog, capfd):
    """GDAL quotes what it cannot read; rasterio made a traceback of that."""
    path = _band(product, "B04_10m")
    _replaced(path, b"xmlns:gml=", b"\xfemlns:gml ")
    assert open_product(product).band_files["B04"] == str(path)
    assert any("B04_10m.jp2: " in message for message in caplog.messages)
    assert "UnicodeDecodeError" not in capfd.readouterr().err


def test_a_true_colour_image_of_another_size(tmp_path):
    product = make_product(tmp_path, random_bands())
    path = _band(product, "B04_10m").with_name("T32TPS_20240625T101031_TCI_10m.jp2")
    write_jp2(path, np.full((240, 240), 9, np.uint8), 10, 32632, ULX, ULY, 1024)
    with pytest.raises(ProductError, match=r"240 × 240 pixels; expected 240 × 240 pixels × 3"):
        true_colour(open_product(product))


def test_another_format_under_the_name_of_an_image(product, tmp_path):
    """A VRT may name any file or address: it must not be opened, whatever it is called."""
    path = _band(product, "B04_10m")
    path.write_text("<VRTDataset rasterXSize='240' rasterYSize='240'></VRTDataset>")
    with pytest.raises(ProductError, match="no JPEG 2000 file"):
        open_product(product)


def test_images_before_baseline_02_07_may_lack_a_georeference(product):
    path = _band(product, "B02_10m")
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(
        path, "w", driver="JP2OpenJPEG", width=240, height=240, count=1, dtype="uint16",
        tiled=True, GMLJP2="NO", GEOJP2="NO", QUALITY=100, REVERSIBLE="YES",
    ) as image:  # fmt: skip
        image.write(np.full((240, 240), 7, np.uint16), 1)
    assert open_product(product).band_files["B02"] == str(path)


def test_threads_leave_the_filters_of_warnings_alone(product):
    """They are one for all: what a thread puts back would undo what another has set."""
    path = _band(product, "B02_10m")

    def filters_while_it_opens():
        seen = []

        def opener(_, mode="rb", **__):
            seen.append(warnings.filters)
            return path.open("rb")

        with image_settings(), open_image("image.jp2", opener=opener) as image:
            assert image.crs is None  # which rasterio warns of
        return seen[0]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = warnings.filters
        assert filters_while_it_opens() is not before
        assert warnings.filters is before
        with unplaced_images(), ThreadPoolExecutor(1) as thread:
            assert thread.submit(filters_while_it_opens).result() is warnings.filters


@pytest.mark.parametrize("where", [{"message": "of a library"}, {"module": "a_library"}])
def test_a_filter_of_one_message_or_module_says_nothing_of_others(product, where):
    with warnings.catch_warnings(record=True) as shown:
        warnings.resetwarnings()
        warnings.filterwarnings("ignore", category=UserWarning, **where)
        open_product(product)
        with unplaced_images(), open_image(str(_band(product, "B02_10m"))) as image:
            assert image.crs is None
    assert [str(warning.message) for warning in shown] == []


def test_side_files_are_not_believed(product):
    path = _band(product, "B02_10m")
    path.with_suffix(".jp2.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform>0,10,0,0,0,-10</GeoTransform></PAMDataset>"
    )
    path.with_suffix(".j2w").write_text("10\n0\n0\n-10\n5\n5\n")
    assert open_product(product).grid.crs == "EPSG:32632"


def test_tiles_make_up_the_image(product):
    path = open_product(product).band_files["B03"]
    image = Jp2Image.at(path, 10)
    assert image.tiling == Tiling((240, 240), (240, 240))
    with rasterio.open(path) as file:
        whole = file.read(1)
    out = np.zeros((240, 240), np.uint16)
    image.read(0, 0, out)
    np.testing.assert_array_equal(out, whole)


def test_tiles_of_a_larger_image(tmp_path):
    bands = random_bands(6000, 6060)
    product = open_product(make_product(tmp_path, bands))
    image = Jp2Image.at(product.band_files["B03"], 10)
    tiling = image.tiling
    assert tiling.tile_shape == (250, 250)
    assert tiling.counts == (3, 3)
    out = np.zeros(bands["B03"].shape, np.uint16)
    for row in range(3):
        for column in range(3):
            part = out[tiling.rows(row), tiling.columns(column)]
            image.read(row, column, part)
    np.testing.assert_array_equal(out, bands["B03"])


def test_a_tile_that_cannot_be_decoded(tmp_path):
    product = open_product(make_product(tmp_path, random_bands(6000, 6000)))
    image = Jp2Image.at(product.band_files["B03"], 10)
    os.truncate(image.path, Path(image.path).stat().st_size // 2)  # after it was checked
    with pytest.raises(ProductError, match=r"JP2 tile \(2, 2\)"):
        image.read(2, 2, np.zeros((100, 100), np.uint16))
