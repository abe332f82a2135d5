"""Maps and reference points of strangers: used, or refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from made_reference import write_classes, write_points

from geolulc.accuracy import assess_map
from geolulc.errors import OutputError, ParameterError


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two classes in halves of 20 × 20 pixels, without names."""
    return write_classes(
        tmp_path / "small.tif", np.repeat([[1], [2]], 200).reshape(20, 20).astype(np.uint8)
    )


def ten_each() -> list[tuple[int, int]]:
    return [(200 * k + 7 * i, k + 1) for k in range(2) for i in range(10)]


@pytest.mark.parametrize(
    ("encoding", "change"),
    [("utf-16", lambda text: text.replace(",", ";")), ("utf-8-sig", lambda text: text)],
)
def test_tables_of_spreadsheets_are_read(
    tmp_path: Path, small: Path, encoding: str, change: Callable[[str], str]
) -> None:
    reference = write_points(tmp_path / "points.csv", small, ten_each())
    expected = assess_map(small, reference, tmp_path / "out")[1]
    reference.write_text(change(reference.read_text()), encoding=encoding, newline="\r\n")
    found = assess_map(small, reference, tmp_path / "again")[1]
    assert found["overall"] == expected["overall"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lon,lat,reference\nx,45,1\n", "x"),
        ("lon,lat,reference\n1e308,45,1\n", r"1e\+308"),
        ("lon,lat,reference\n1,91,1\n", "1, 91"),
        ("x,y,reference\n9e8,1,1\n", r"9e\+08"),
        ("a,b\n1,2\n", "the columns a, b"),
        ('lon,lat\n"1,2\n', "csv"),
        ("", "csv"),
        ("\0" * 100, "no text"),
    ],
)
def test_tables_that_hold_no_places_are_one_line(
    tmp_path: Path, small: Path, text: str, message: str
) -> None:
    path = tmp_path / "points.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError, match=message):
        assess_map(small, path, tmp_path / "out")


def test_points_of_a_file_that_names_a_server_are_refused(tmp_path: Path, small: Path) -> None:
    path = tmp_path / "points.vrt"
    path.write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="points"><SrcDataSource>'
        "WFS:http://127.0.0.1:9/</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    with pytest.raises(ParameterError, match="names other sources"):
        assess_map(small, path, tmp_path / "out")


def test_a_raster_that_names_another_is_no_map(tmp_path: Path, small: Path) -> None:
    reference = write_points(tmp_path / "points.csv", small, ten_each())
    for name in ("map.vrt", "map.tif"):
        rasterio.shutil.copy(small, tmp_path / name, driver="VRT")
        with pytest.raises(OutputError, match=f"{name}: found .*expected a map"):
            assess_map(tmp_path / name, reference, tmp_path / "out")


def test_a_raster_whose_blocks_fill_the_memory_is_refused(tmp_path: Path, small: Path) -> None:
    path = tmp_path / "vast.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=49_984, height=49_984, count=1, dtype="uint8",
        sparse_ok=True, tiled=True, blockxsize=49_984, blockysize=49_984, crs="EPSG:3035",
        transform=rasterio.Affine(30, 0, 4_000_000, 0, -30, 3_000_000),
    ):  # fmt: skip
        pass
    reference = write_points(tmp_path / "points.csv", small, ten_each())
    with pytest.raises(OutputError, match=r"blocks of 1 × 49984 × 49984 values"):
        assess_map(path, reference, tmp_path / "out")


def test_an_attribute_table_that_is_none_is_one_line(tmp_path: Path, small: Path) -> None:
    reference = write_points(tmp_path / "points.csv", small, ten_each())
    fields = "".join(
        f'<FieldDefn index="{i}"><Name>{n}</Name><Type>2</Type><Usage>{u}</Usage></FieldDefn>'
        for i, (n, u) in enumerate((("Value", 5), ("Name", 2)))
    )
    (tmp_path / f"{small.name}.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable>'
        f'{fields}<Row index="0"><F>many</F><F>Water</F></Row>'
        "</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>"
    )
    with pytest.raises(OutputError, match=r"an attribute table that is none .*'many'"):
        assess_map(small, reference, tmp_path / "out")
