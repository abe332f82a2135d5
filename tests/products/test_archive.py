"""Folders and zips: where files lie, and what is refused."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_product import make_product, random_bands

from geolulc.bands import BAND_NAMES
from geolulc.errors import ProductError
from geolulc.grid import Extent
from geolulc.products import open_product, true_colour


def _read(product):
    with product.opened(BAND_NAMES) as images:
        arrays = {name: np.empty(image.tiling.shape, np.uint16) for name, image in images.items()}
        for name, image in images.items():
            image.read(0, 0, arrays[name])
        return arrays


@pytest.mark.parametrize("zipped", [None, "stored", "deflated"])
def test_bands_of_folder_and_zip(tmp_path, zipped):
    bands = random_bands()
    product = open_product(make_product(tmp_path / "Größe und Maß", bands, zipped=zipped))
    for name, array in _read(product).items():
        np.testing.assert_array_equal(array, bands[name])


def test_stored_images_are_read_in_place(tmp_path, monkeypatch):
    product = open_product(make_product(tmp_path, zipped="stored"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    with product.opened(BAND_NAMES) as images:
        assert all(image.path.startswith("/vsisubfile/") for image in images.values())


@pytest.fixture
def room(tmp_path, monkeypatch):
    """The folder for temporary files."""
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    return room


def test_inflated_images_are_those_asked_for_and_removed(tmp_path, room):
    product = open_product(make_product(tmp_path / "in", zipped="deflated"))
    with product.opened(["B8A", "B02"]) as images:
        assert list(images) == ["B8A", "B02"]
        (folder,) = room.iterdir()
        assert {str(path) for path in folder.iterdir()} == {i.path for i in images.values()}
    with pytest.raises(ZeroDivisionError), product.opened(BAND_NAMES):
        _ = 1 / 0
    assert list(room.iterdir()) == []


def test_images_that_are_not_there(tmp_path):
    product = open_product(make_product(tmp_path))
    with (
        pytest.raises(ProductError, match=r"no image of SCL; expected B02, SCL, which"),
        product.opened(["B02", "SCL"]),
    ):
        pass


def test_b01_comes_from_60_m(tmp_path):
    bands = random_bands()
    product = open_product(make_product(tmp_path, bands, baseline="05.10"))
    assert list(product.path.rglob("*_B01_20m.jp2"))
    np.testing.assert_array_equal(_read(product)["B01"], bands["B01"])


def test_image_names_of_2017(tmp_path):
    product = make_product(tmp_path, baseline="02.05", layout="l2a_prefix")
    assert list(product.rglob("L2A_T32TPS_*_B02_10m.jp2"))
    assert set(open_product(product).band_files) == set(BAND_NAMES)


def test_images_are_found_without_the_list(tmp_path):
    product = make_product(tmp_path)
    xml = product / "MTD_MSIL2A.xml"
    xml.write_text(xml.read_text().replace("IMG_DATA/R10m/T32", "IMG_DATA/R10m/T33"))
    assert open_product(product).band_files["B02"].endswith("_B02_10m.jp2")
    twin = next(product.rglob("*_B02_10m.jp2"))
    shutil.copy(twin, twin.with_name("other_B02_10m.jp2"))
    with pytest.raises(ProductError, match=r"2 images of B02"):
        open_product(product)


def test_names_in_the_list_cannot_leave_the_product(tmp_path):
    product = make_product(tmp_path)
    outside = tmp_path / "secret_B02_10m.jp2"
    shutil.move(next(product.rglob("*_B02_10m.jp2")), outside)
    xml = product / "MTD_MSIL2A.xml"
    xml.write_text(
        xml.read_text().replace(
            "</Granule>", f"<IMAGE_FILE>../{outside.stem}</IMAGE_FILE></Granule>"
        )
    )
    assert "B02" not in open_product(product).images


def test_the_xml_itself_may_be_given(tmp_path):
    product = make_product(tmp_path)
    assert open_product(product / "MTD_MSIL2A.xml") == open_product(product)


def test_scene_classification_and_true_colour(tmp_path):
    scl = np.full((120, 120), 4, np.uint8)
    product = open_product(make_product(tmp_path, random_bands(), scl=scl))
    with product.opened(["SCL"]) as images:
        assert images["SCL"].path.endswith("_SCL_20m.jp2")
        assert (images["SCL"].resolution, images["SCL"].dtype) == (20, np.uint8)
    assert "TCI" not in product.images
    picture, transform = true_colour(product, max_pixels=60)
    assert picture.shape == (60, 60, 3)
    assert picture.dtype == np.uint8
    assert 50 < picture.mean() < 255
    assert transform * (60, 60) == (602_400, 5_197_620)
    assert "SCL" not in open_product(make_product(tmp_path / "bare")).images


def test_true_colour_of_a_part(tmp_path):
    product = open_product(make_product(tmp_path, random_bands()))
    whole, _ = true_colour(product)
    grid = product.grid
    part = Extent(grid.crs, grid.left + 600, grid.top - 1200, 960, 480)
    picture, transform = true_colour(product, within=part)
    np.testing.assert_array_equal(picture, whole[120:168, 60:156])
    assert transform * (0, 0) == (600_600, 5_198_820)
    assert transform * (96, 48) == (601_560, 5_198_340)


def test_true_colour_is_black_without_data(tmp_path):
    bands = random_bands()
    for name in ("B02", "B03", "B04"):
        bands[name][:, :120] = 0
    picture, _ = true_colour(open_product(make_product(tmp_path, bands)), max_pixels=240)
    assert not picture[:, :120].any()
    assert picture[:, 120:].all()


class TestNotAProduct:
    def test_nothing_there(self, tmp_path):
        with pytest.raises(ProductError, match=r"gone: found nothing there.*Check the path"):
            open_product(tmp_path / "gone")

    def test_a_folder_of_something(self, tmp_path):
        with pytest.raises(ProductError, match=r"no MTD_MSIL2A\.xml.*Give the \.SAFE folder"):
            open_product(tmp_path)

    def test_the_format_of_2015(self, tmp_path):
        (tmp_path / "S2A_USER_MTD_SAFL2A_PDMC_2016.xml").write_text("<x/>")
        with pytest.raises(ProductError, match=r"before December 2016"):
            open_product(tmp_path)

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (b"no zip at all", r"a file of another kind"),
            (b"", "an empty file"),
            (b"PK\x03\x04 and no more", r"not a whole zip.*stopped early"),
            (b"X.SAFE/" + bytes(250) + b"ustar  ", r"a tar archive.*Unpack it"),
            (b"\x1f\x8b\x08", r"an archive of another format than zip.*Unpack it"),
            (b"\0\0\0\x0cjP  \r\n", r"a single image.*Give the \.SAFE folder"),
            (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", r"a web page.*Log in"),
            (b'{"detail": "Unauthorized"}', r"JSON, as a server answers.*Log in"),
            (b"<?xml version='1.0'?><xfdu:XFDU/>", r"an XML file.*Give the \.SAFE folder"),
        ],
    )
    def test_another_file(self, tmp_path, content, found):
        (tmp_path / "x.zip").write_bytes(content)
        with pytest.raises(ProductError, match=found) as error:
            open_product(tmp_path / "x.zip")
        assert content[:1] == b"P" or "stopped early" not in str(error.value)

    def test_neither_a_file_nor_a_folder(self):
        with pytest.raises(ProductError, match="found neither a file nor a folder"):
            open_product(Path("/dev/null"))

    def test_a_name_that_no_file_system_takes(self, tmp_path):
        with pytest.raises(ProductError, match="File name too long"):
            open_product(tmp_path / ("x" * 300))

    def test_a_folder_of_two(self, tmp_path):
        for name in ("a.SAFE", "b.SAFE"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "MTD_MSIL2A.xml").write_text("<x/>")
        with pytest.raises(ProductError, match=r"2 products; expected one.*by itself"):
            open_product(tmp_path)

    def test_a_zip_in_a_zip(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr("a/X.SAFE.zip", "x")
        with pytest.raises(ProductError, match=r"Unpack it and give X\.SAFE\.zip"):
            open_product(tmp_path / "x.zip")

    def test_a_zip_of_something(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr("a.txt", "a")
        with pytest.raises(ProductError, match=r"no MTD_MSIL2A\.xml"):
            open_product(tmp_path / "x.zip")

    def test_a_zip_of_two(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr("a.SAFE/MTD_MSIL2A.xml", "<x/>")
            archive.writestr("b.SAFE/MTD_MSIL2A.xml", "<x/>")
        with pytest.raises(ProductError, match=r"2 products.*one product"):
            open_product(tmp_path / "x.zip")


HOSTILE = ["../evil.xml", "a/../../evil.xml", "/etc/evil.xml", "a\\..\\evil.xml", "C:/evil.xml"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_zip_that_leaves_its_folder(tmp_path, name):
    path = make_product(tmp_path, zipped="stored")
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, "evil")
    with pytest.raises(ProductError, match="a member that leaves its folder"):
        open_product(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_a_zip_with_a_link(tmp_path):
    path = make_product(tmp_path, zipped="stored")
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ProductError, match="a link: link"):
        open_product(path)


def test_a_zip_with_a_name_twice(tmp_path):
    path = make_product(tmp_path, zipped="stored")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(archive.namelist()[-1], "another")
    with pytest.raises(ProductError, match="two members called"):
        open_product(path)


def test_an_unusual_compression(tmp_path):
    path = make_product(tmp_path, zipped="stored")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x", "x" * 100, zipfile.ZIP_BZIP2)
    with pytest.raises(ProductError, match=r"compressed by method 12: x; .* Unpack it"):
        open_product(path)


@pytest.mark.parametrize("flag", [0x1, 0x20, 0x40, 0x2000])
def test_encrypted_and_patched_members(tmp_path, flag):
    path = make_product(tmp_path, zipped="stored")
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 8 : entry + 10] = flag.to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(ProductError, match=r"encrypted or patched: .* Unpack it"):
        open_product(path)


def test_a_stream_that_is_not_deflate(tmp_path):
    path = make_product(tmp_path, zipped="deflated")
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith("MTD_MSIL2A.xml"))
    data = bytearray(path.read_bytes())
    at = info.header_offset + 30 + len(info.filename)
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(ProductError, match=r"MTD_MSIL2A\.xml: found a damaged file"):
        open_product(path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.999])
def test_a_zip_cut_short(tmp_path, share):
    path = make_product(tmp_path, random_bands(), zipped="stored")
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ProductError, match=r"not a whole zip.*stopped early"):
        open_product(path)


def test_a_zip_that_lies_about_a_size(tmp_path, room):
    """A deflated image that inflates to more than its pixels can need is not written out."""
    path = make_product(tmp_path / "in", zipped="deflated")
    bomb = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, bytes(50_000_000) if name.endswith("_B02_10m.jp2") else data)
    with (
        pytest.raises(ProductError, match="more than its pixels can need"),
        open_product(bomb).opened(BAND_NAMES),
    ):
        pass
    assert list(room.iterdir()) == []


def test_a_deflated_image_that_is_damaged(tmp_path):
    path = make_product(tmp_path, random_bands(), zipped="deflated")
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith("_B03_10m.jp2"))
    with path.open("r+b") as file:
        file.seek(info.header_offset + 30 + len(info.filename) + info.compress_size // 2)
        file.write(b"\xff" * 64)
    with (
        pytest.raises(ProductError, match=r"_B03_10m\.jp2: found a damaged file"),
        open_product(path).opened(BAND_NAMES),
    ):
        pass
