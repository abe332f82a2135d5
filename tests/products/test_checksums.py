"""A flipped bit changes pixels and is seldom an error of the decoder: checksums find it."""

from __future__ import annotations

import hashlib
import random
import zipfile
from pathlib import Path

import pytest
from made_product import make_product, random_bands

from geolulc.bands import BAND_NAMES
from geolulc.errors import ProductError
from geolulc.products import describe_product, open_product, true_colour, verify_product


def _write_manifest(product, algorithm="SHA3-256", images="*.jp2"):
    new = {"SHA3-256": hashlib.sha3_256, "MD5": hashlib.md5}.get(algorithm, hashlib.sha1)
    files = "".join(
        f'<dataObject><byteStream><fileLocation href="./{path.relative_to(product)}"/>'
        f'<checksum checksumName="{algorithm}">{new(path.read_bytes()).hexdigest().upper()}'
        "</checksum></byteStream></dataObject>"
        for path in product.rglob(images)
    )
    (product / "manifest.safe").write_text(f"<x:XFDU xmlns:x='urn:x'>{files}</x:XFDU>")


def _flip(path, at, bit):
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ (1 << bit)]))


def test_every_flipped_bit_of_a_zip_is_found(tmp_path):
    path = make_product(tmp_path, random_bands(), zipped="stored")
    members = open_product(path).images
    chance = random.Random(0)
    for _ in range(30):
        member = members[chance.choice(sorted(members))]
        # behind the headers, where nothing but pixels is
        at, bit = (
            member.start + chance.randrange(member.size // 2, member.size - 2),
            chance.randrange(8),
        )
        _flip(path, at, bit)
        with (
            pytest.raises(ProductError, match=r"a changed file \(crc32 .*as the zip says"),
            open_product(path).opened(BAND_NAMES),
        ):
            pass
        _flip(path, at, bit)
    assert verify_product(open_product(path)) == 12


@pytest.mark.parametrize("algorithm", ["SHA3-256", "MD5"])
def test_the_sums_of_the_manifest(tmp_path, algorithm):
    product = make_product(tmp_path, random_bands())
    _write_manifest(product, algorithm)
    assert verify_product(open_product(product)) == 12
    band = next(product.rglob("*_B8A_20m.jp2"))
    _flip(band, band.stat().st_size - 100, 0)
    opened = open_product(product)
    with pytest.raises(ProductError, match=r"_B8A_20m\.jp2: found a changed.*manifest\.safe says"):
        verify_product(opened)
    with pytest.raises(ProductError, match="changed file"), opened.opened(["B8A"]):
        pass
    true_colour(opened)  # only a picture
    with opened.opened(["B8A"], verify=False) as images:
        assert images["B8A"].path == str(band)
    with opened.opened(["B02"]):  # the others are not asked for
        pass


def test_without_sums_nothing_is_compared(tmp_path):
    product = make_product(tmp_path, random_bands())
    assert verify_product(open_product(product)) == 0
    _write_manifest(product, "CRC-8")
    assert verify_product(open_product(product)) == 0
    _write_manifest(product, "MD5", "*_B0[24]_10m.jp2")
    assert verify_product(open_product(product)) == 2


def test_a_damaged_manifest(tmp_path):
    product = make_product(tmp_path, random_bands())
    (product / "manifest.safe").write_text("<XFDU><cut")
    with pytest.raises(ProductError, match=r"manifest\.safe: found damaged XML"):
        verify_product(open_product(product))


def test_flipped_metadata_in_a_zip(tmp_path):
    """A digit of the offset, say: the XML is read right only if it is as it was zipped."""
    path = make_product(tmp_path, random_bands(), baseline="05.10", zipped="stored")
    at = path.read_bytes().index(b">-1000</BOA_ADD_OFFSET>") + 2
    _flip(path, at, 1)
    with pytest.raises(ProductError, match=r"MTD_MSIL2A\.xml: found a damaged file \(its CRC"):
        describe_product(path)


@pytest.mark.parametrize("name", ["S2B_MSIL2A_20241115*", "S2B_MSIL2A_20250120*"])
def test_real_manifests(shared, tmp_path, name):
    """Every image is listed with its sum, under the name that the XML gives it."""
    from geolulc.products import read_metadata
    from geolulc.products.archive import Member
    from geolulc.products.checksums import _read_sums

    (found,) = (shared / "data" / "safe-metadata").glob(name)
    manifest = found / "manifest.safe" if found.is_dir() else found
    path = Path(shutil_copy(manifest, tmp_path / "manifest.safe"))
    sums = _read_sums(Member(path.name, path, path.stat().st_size))
    assert len(sums) == 86
    assert {algorithm for algorithm, _ in sums.values()} == {"sha3_256"}
    assert all(len(value) == 64 for _, value in sums.values())
    if found.is_dir():
        images = read_metadata(found).listed
        assert {f"{image}.jp2" for image in images} <= set(sums)


def shutil_copy(source, target):
    target.write_bytes(source.read_bytes())
    return target


def test_deflated_images_are_compared_when_they_are_inflated(tmp_path):
    path = make_product(tmp_path, random_bands(), zipped="deflated")
    with zipfile.ZipFile(path) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith("_B03_10m.jp2"))
    data = bytearray(path.read_bytes())
    entry = data.index(info.filename.encode(), data.index(b"PK\x01\x02")) - 46
    data[entry + 16] ^= 1  # the CRC itself
    path.write_bytes(data)
    with pytest.raises(ProductError, match=r"_B03_10m\.jp2"), open_product(path).opened(["B03"]):
        pass
