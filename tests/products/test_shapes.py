"""Products as people have them: linked, zipped by any program, one folder deeper."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_product import make_product, random_bands

from geolulc.bands import BAND_NAMES
from geolulc.errors import ProductError
from geolulc.products import open_product


@pytest.fixture
def product(tmp_path):
    return make_product(tmp_path / "made", random_bands())


def _digital_numbers(product):
    return {name: Path(path).read_bytes() for name, path in product.band_files.items()}


def test_a_linked_folder(product, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(product)
    assert open_product(link).band_files == {
        name: path.replace(str(product), str(link))
        for name, path in open_product(product).band_files.items()
    }


@pytest.mark.parametrize("what", ["MTD_TL.xml", "IMG_DATA", "R20m", "*_B05_20m.jp2", "GRANULE"])
def test_links_inside(product, tmp_path, what):
    expected = _digital_numbers(open_product(product))
    path = next(product.rglob(what))
    elsewhere = tmp_path / "elsewhere"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)
    assert _digital_numbers(open_product(product)) == expected


def test_links_in_circles(product):
    for folder in (product, product / "GRANULE"):
        (folder / "again").symlink_to(product)
    assert open_product(product)


def test_a_link_to_nothing(product):
    band = next(product.rglob("*_B05_20m.jp2"))
    band.unlink()
    band.symlink_to(product / "nothing")
    assert "B05" not in open_product(product).images


def test_one_folder_deeper(product):
    assert open_product(product.parent) == open_product(product)


def test_the_manifest_may_be_given(product):
    (product / "manifest.safe").write_text("<x/>")
    assert open_product(product / "manifest.safe") == open_product(product)


def test_files_of_macos(product):
    """Copied to a disk of Windows, each file gets a twin that begins with ._."""
    for path in [p for p in product.rglob("*") if p.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    xml = product / "MTD_MSIL2A.xml"
    xml.write_text(re.sub("<IMAGE_FILE>.*</IMAGE_FILE>", "", xml.read_text()))
    assert not Path(open_product(product).band_files["B02"]).name.startswith(".")


SHAPES = {
    "dot, in a folder": "./{name}/{path}",
    "dot": "./{path}",
    "two slashes": "{name}//{path}",
    "backslashes": "{name}\\{windows}",
    "no folder": "{path}",
    "one folder deeper": "downloads/{name}/{path}",
    "another folder": "scene/{path}",
}


def _zip(product, path, shape, method=zipfile.ZIP_STORED, extra=()):
    with zipfile.ZipFile(path, "w") as archive:
        for name in extra:
            archive.writestr(name, "x")
        for file in sorted(product.rglob("*")):
            inside = file.relative_to(product).as_posix()
            named = shape.format(name=product.name, path=inside, windows=inside.replace("/", "\\"))
            info = zipfile.ZipInfo(named + ("\\" if "\\" in named else "/") * file.is_dir())
            info.compress_type = method
            archive.writestr(info, b"" if file.is_dir() else file.read_bytes())
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_zips(product, tmp_path, shape, method):
    path = _zip(product, tmp_path / "x.zip", shape, method)
    expected = open_product(product)
    product = open_product(path)
    assert product.name == expected.name
    with product.opened(BAND_NAMES) as images, expected.opened(BAND_NAMES) as originals:
        for name, image in images.items():
            there, original = np.empty((2, *image.tiling.shape), np.uint16)
            image.read(0, 0, there)
            originals[name].read(0, 0, original)
            assert (there == original).all()


def test_a_zip_with_other_things(product, tmp_path):
    extra = ["__MACOSX/._x", f"__MACOSX/{product.name}/._MTD_MSIL2A.xml", "readme.txt", "./"]
    path = _zip(product, tmp_path / "x.zip", "{name}/{path}", extra=extra)
    assert open_product(path).name == product.stem


def test_names_that_become_one(product, tmp_path):
    path = _zip(
        product, tmp_path / "x.zip", "{name}/{path}", extra=[f"{product.name}//MTD_MSIL2A.xml"]
    )
    with pytest.raises(ProductError, match="two members called"):
        open_product(path)


@pytest.mark.parametrize("hostile", ["..\\evil", "./../evil", "a//../../evil", "\\evil", "."])
def test_names_that_leave_the_folder(product, tmp_path, hostile):
    path = _zip(product, tmp_path / "x.zip", "{name}/{path}", extra=[hostile])
    with pytest.raises(ProductError, match="a member that leaves its folder"):
        open_product(path)


def test_two_listed_images_of_a_band(product):
    """Which one is meant cannot be known: a set's order changed with every run."""
    band = next(product.rglob("*_B02_10m.jp2"))
    shutil.copy(band, band.with_name("other_B02_10m.jp2"))
    listed = band.relative_to(product).with_name("other_B02_10m")
    xml = product / "MTD_MSIL2A.xml"
    xml.write_text(
        xml.read_text().replace("</Granule>", f"<IMAGE_FILE>{listed}</IMAGE_FILE></Granule>")
    )
    with pytest.raises(ProductError, match=r"2 images of B02: .*/T32TPS.*, .*/other_B02_10m\.jp2"):
        open_product(product)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read(product):
    (product / "GRANULE").chmod(0)
    with pytest.raises(ProductError, match=r"GRANULE: found Permission denied"):
        open_product(product)
