"""What the XML says, of real products and of made ones."""

from __future__ import annotations

import re

import pytest
from made_pixel_nets import Itself, make_pixel_model
from made_product import Means, flat_bands, make_model, make_product, random_bands

from geolulc.bands import BAND_NAMES, BANDS
from geolulc.errors import ProductError
from geolulc.grid import TileGrid
from geolulc.mapping import predict_scene
from geolulc.products import Direction, describe_product, open_product, read_metadata

REAL = {
    "S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857": (
        "07HFE", "02.12", "EPSG:32707", 600000, 6500020, 0,
    ),
    "S2B_MSIL2A_20210122T133229_N0214_R081_T22HBD_20210122T155500": (
        "22HBD", "02.14", "EPSG:32722", 199980, 5900020, 0,
    ),
    "S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126": (
        "33XWJ", "04.00", "EPSG:32633", 499980, 8900040, -1000,
    ),
    "S2A_MSIL2A_20230821T221941_N0509_R029_T01KAB_20230822T021825": (
        "01KAB", "05.09", "EPSG:32701", 99960, 8200000, -1000,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_metadata(shared, name):
    tile, baseline, crs, left, top, offset = REAL[name]
    (folder,) = (shared / "data" / "safe-metadata").glob(f"*{name}.SAFE")
    metadata = read_metadata(folder)
    assert metadata.name == name
    assert (metadata.tile_id, metadata.baseline) == (tile, baseline)
    assert metadata.grid == TileGrid(crs, left, top, 109_800, 109_800)
    assert dict(metadata.offsets) == {b.name: offset for b in BANDS}
    assert metadata.quantification == 10_000
    assert metadata.platform == f"Sentinel-{name[1:3]}"
    assert f"{metadata.sensing_time:%Y%m%dT%H%M%S}" == name.split("_")[2]
    assert f"{metadata.granule}/IMG_DATA/R60m/T{tile}_{name.split('_')[2]}_B01_60m" in (
        metadata.listed
    )


def test_metadata_without_images_is_described_but_not_opened(shared):
    folder = next((shared / "data" / "safe-metadata").glob("*T33XWJ*.SAFE"))
    description = describe_product(folder)
    assert description["missing_bands"] == [b.name for b in BANDS]
    assert description["offsets"]["B8A"] == -1000
    with pytest.raises(ProductError, match=r"no image of a band; .*/IMG_DATA\. Download the whole"):
        open_product(folder)


def test_angles_of_a_real_product(shared):
    (folder,) = (shared / "data" / "safe-metadata").glob("*T32TQM*.SAFE")
    metadata = read_metadata(folder)
    assert list(metadata.views) == list(BAND_NAMES)
    assert metadata.views["B01"] == Direction(6.20649833285279, 105.183381300456)
    assert metadata.views["B02"] == Direction(5.89373592240474, 105.855577789047)
    assert 60 < metadata.sun.zenith < 65
    assert 160 < metadata.sun.azimuth < 175


def test_angles_that_are_none(tmp_path):
    path = make_product(tmp_path)
    tile = next(path.glob("GRANULE/*/MTD_TL.xml"))
    text = tile.read_text()
    tile.write_text(text.replace(">6.1<", ">NaN<").replace(">6.2<", ">999<"))
    product = open_product(path)
    assert set(BAND_NAMES) - set(product.views) == {"B02", "B03"}
    assert describe_product(path)["views"]["B04"] == {"zenith": 6.3, "azimuth": 105.2}
    assert describe_product(path)["sun"] == {"zenith": 35.2, "azimuth": 155.1}
    tile.write_text(text.replace(">35.2<", ">much<"))
    with pytest.raises(ProductError, match="ZENITH_ANGLE 'much'; expected degrees from 0 to 180"):
        open_product(path)


def test_offsets_are_found_by_band_id(tmp_path):
    offsets = {b.name: -100 * (b.band_id + 1) for b in BANDS}
    product = open_product(make_product(tmp_path, baseline="05.10", offset=offsets))
    assert dict(product.offsets) == offsets


def test_no_list_means_no_offset_whatever_the_baseline_says(tmp_path):
    product = open_product(make_product(tmp_path, baseline="05.10", offset=0))
    assert set(product.offsets.values()) == {0}
    product = open_product(make_product(tmp_path / "old", baseline="02.14", offset=-1000))
    assert set(product.offsets.values()) == {-1000}


def test_psd_version_does_not_matter(tmp_path):
    product = make_product(tmp_path, baseline="05.12")
    assert "psd-15" in (product / "MTD_MSIL2A.xml").read_text()
    assert open_product(product).offsets["B02"] == -1000


@pytest.mark.parametrize("letter", "ABCD")
def test_satellites(tmp_path, letter):
    product = open_product(make_product(tmp_path, platform=f"S2{letter}"))
    assert product.platform == f"Sentinel-2{letter}"


@pytest.mark.parametrize("layout", ["compact", "l2a_prefix"])
def test_level_2ap(tmp_path, layout):
    """The pilot products of 2017 and early 2018 call some elements by other names."""
    folder = make_product(tmp_path, random_bands(), baseline="02.05", layout=layout)
    expected = open_product(folder)
    to_level_2ap(folder)
    assert "<PRODUCT_URI>" not in (folder / "MTD_MSIL2A.xml").read_text()
    assert "IMAGE_FILE_2A" in (folder / "MTD_MSIL2A.xml").read_text()
    product = open_product(folder)
    assert product == expected
    assert product.tile_id == "32TPS"
    assert set(product.offsets.values()) == {0}


def to_level_2ap(folder):
    for name, pairs in {
        "MTD_MSIL2A.xml": [
            (
                "<PRODUCT_URI>([^<]*)MSIL2A([^<]*)</PRODUCT_URI>",
                r"<PRODUCT_URI_1C>\1MSIL1C\2</PRODUCT_URI_1C>"
                r"<PRODUCT_URI_2A>\1MSIL2A\2</PRODUCT_URI_2A>",
            ),
            ("(</?)(Product_(Info|Organisation|Image_Characteristics))", r"\1L2A_\2"),
            ("Level-2A</PROCESSING_LEVEL", "Level-2Ap</PROCESSING_LEVEL"),
            ("(</?IMAGE_FILE)>", r"\1_2A>"),
            ("(</?)QUANTIFICATION_VALUES_LIST", r"\1L1C_L2A_Quantification_Values_List"),
            ("(</?)(BOA_QUANTIFICATION_VALUE)", r"\1L2A_\2"),
        ],
        "MTD_TL.xml": [
            ("<TILE_ID ", "<TILE_ID_1C>L1C_T32TQS</TILE_ID_1C><TILE_ID_2A "),
            ("</TILE_ID>", "</TILE_ID_2A>"),
        ],
    }.items():
        for pattern, replacement in pairs:
            _edit(folder, pattern, replacement, name)


def _edit(product, pattern, replacement, name="MTD_MSIL2A.xml"):
    path = next(product.rglob(name))
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.DOTALL)
    assert count
    path.write_text(text)


BAD = {
    "cut": (r"</n1:General_Info>.*", "", "MTD_MSIL2A.xml", "damaged XML"),
    "empty": (r".*", "", "MTD_TL.xml", "damaged XML"),
    "entities": (
        r"<n1:Level-2A_User_Product",
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><n1:Level-2A_User_Product',
        "MTD_MSIL2A.xml",
        "damaged XML",
    ),
    "level": ("Level-2A</PROC", "Level-1C</PROC", "MTD_MSIL2A.xml", "expected Level-2A"),
    "name": ("<PRODUCT_URI>[^<]*", "<PRODUCT_URI>../../etc", "MTD_MSIL2A.xml", "a product name"),
    "time": ("SENSING_START>2024", "SENSING_START>tomorrow", "MTD_MSIL2A.xml", "a time"),
    "scale": (">10000<", ">1000<", "MTD_MSIL2A.xml", "expected 10000"),
    "no scale": (">10000<", "><", "MTD_MSIL2A.xml", "no BOA_QUANTIFICATION_VALUE"),
    "offset of one band gone": (
        '<BOA_ADD_OFFSET band_id="8">-1000</BOA_ADD_OFFSET>',
        "",
        "MTD_MSIL2A.xml",
        "no BOA_ADD_OFFSET for B8A",
    ),
    "offset twice": (
        'band_id="8">-1000',
        'band_id="7">-999',
        "MTD_MSIL2A.xml",
        "one offset a band",
    ),
    "offset is a word": ('band_id="8">-1000', 'band_id="8">many', "MTD_MSIL2A.xml", "whole"),
    "CRS": ("EPSG:32632", "EPSG:4326", "MTD_TL.xml", "a UTM zone"),
    "CRS of no zone": ("EPSG:32632", "EPSG:32600", "MTD_TL.xml", "a UTM zone"),
    "CRS of zone 61": ("EPSG:32632", "EPSG:32761", "MTD_TL.xml", "a UTM zone"),
    "beyond the Earth": ("<ULX>600000", "<ULX>60000000", "MTD_TL.xml", "a place on the Earth"),
    "time before time": (
        r"SENSING_START>[^<]*",
        "SENSING_START>0001-01-01T00:00:00+23:59",
        "MTD_MSIL2A.xml",
        "a time",
    ),
    "long text": (
        "<SPACECRAFT_NAME>",
        f"<SPACECRAFT_NAME>{'S' * 999}",
        "MTD_MSIL2A.xml",
        "a short text",
    ),
    "size": (
        r'<Size resolution="20"><NROWS>\d+',
        '<Size resolution="20"><NROWS>119',
        "MTD_TL.xml",
        "the same ground",
    ),
    "no 60 m": ('resolution="60"', 'resolution="90"', "MTD_TL.xml", "no Size of 60 m"),
    "corner": (
        r'"20"><ULX>600000',
        '"20"><ULX>600020',
        "MTD_TL.xml",
        "the same ground",
    ),
    "pixels": ("<XDIM>60", "<XDIM>30", "MTD_TL.xml", r"expected \(60, -60\)"),
    "huge": (r"(NROWS|NCOLS)>240<", r"\1>99999999999<", "MTD_TL.xml", "the same ground"),
}


@pytest.mark.parametrize("case", BAD)
def test_metadata_that_cannot_be_used(tmp_path, case):
    pattern, replacement, name, message = BAD[case]
    product = make_product(tmp_path, baseline="05.10")
    _edit(product, pattern, replacement, name)
    with pytest.raises(ProductError, match=message) as error:
        open_product(product)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_an_extent_larger_than_a_tile(tmp_path):
    product = make_product(tmp_path)
    for resolution in (10, 20, 60):
        size = 1_098_000 // resolution
        _edit(
            product,
            rf'<Size resolution="{resolution}"><NROWS>\d+</NROWS><NCOLS>\d+',
            f'<Size resolution="{resolution}"><NROWS>{size}</NROWS><NCOLS>{size}',
            "MTD_TL.xml",
        )
    with pytest.raises(ProductError, match=r"1,098,000 m.*at most a tile of 109,800 m"):
        open_product(product)


def test_a_scene_smaller_than_a_patch(tmp_path):
    product = make_product(tmp_path, flat_bands(1200, 1140))
    assert open_product(product).grid.height == 1140
    found = r"SAFE: found tile: an extent of 1200 m × 1140 m; expected at least one patch of 1200 m"
    with pytest.raises(ProductError, match=found):
        predict_scene(product, make_model(Means()), device="cpu")
    mapped = predict_scene(product, make_pixel_model(Itself()), device="cpu")
    assert mapped.block.shape == (114, 120)


def test_two_granules(tmp_path):
    product = make_product(tmp_path)
    granule = next((product / "GRANULE").iterdir())
    other = granule.with_name(granule.name.replace("T32TPS", "T32TQS"))
    other.mkdir()
    (other / "MTD_TL.xml").write_text((granule / "MTD_TL.xml").read_text())
    with pytest.raises(ProductError, match=r"found 2 granules; expected one granule"):
        open_product(product)


def test_xml_of_a_size_that_no_product_has(tmp_path):
    product = make_product(tmp_path)
    with (product / "MTD_MSIL2A.xml").open("a") as file:
        file.write(" " * 33_000_000)
    with pytest.raises(ProductError, match=r"at most 32,000,000 bytes"):
        open_product(product)
