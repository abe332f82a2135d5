"""A map.tif can come from anybody: what its tags claim is checked, and said in one line."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from shapely.geometry import box
from written_map import KINDS, change_tags, write_made

from geolulc.accuracy.classified import open_classified
from geolulc.analysis import (
    compare_files,
    describe_map,
    open_map,
    read_map,
    summarize_zones,
)
from geolulc.errors import OutputError

ONE_CLASS = '{"name": "x", "code": 1, "color": "#ffffff"}'
LIES = [
    {"TILE_EXTENT": "[0, 0, 1, 1]"},
    {"TILE_EXTENT": "[600000, 5094600, 606600]"},
    {"TILE_EXTENT": "[600000, 5094600, 9e99, 5100000]"},
    {"TILE_EXTENT": "[600000, 5094600, NaN, 5100000]"},
    {"TILE_EXTENT": "[600000, 5094600, Infinity, 5100000]"},
    {"TILE_EXTENT": "{}"},
    {"TILE_EXTENT": "[" * 100_000},
    {"CLASSES": "[]"},
    {"CLASSES": '[{"name": "x"}]'},
    {"CLASSES": f"[{', '.join(2 * [ONE_CLASS])}]"},
    {"NOMENCLATURE": "../../etc/passwd"},
]
CELL_LIES = [
    {"STRIDE_M": "0"},
    {"STRIDE_M": "-1200"},
    {"STRIDE_M": "600"},
    {"STRIDE_M": "1" * 5000},
    {"PATCH_SIZE_M": "seven"},
    {"THRESHOLDS": "[0.5]"},
    {"THRESHOLDS": '{"a": 1}'},
    {"GEOLULC_FILE": "classes"},
]
PIXEL_LIES = [
    {"PIXEL_SIZE_M": "0"},
    {"PIXEL_SIZE_M": "-10"},
    {"PIXEL_SIZE_M": "10"},
    {"PIXEL_SIZE_M": "1" * 5000},
    {"EXTENT": "[600000, 5094000, 607200]"},
    {"EXTENT": "[600000, 5094000, Infinity, 5100000]"},
    {"EXTENT": "[0, 0, 7200, 6000]"},
    {"MASKED_SCL": "7"},
    {"GEOLULC_FILE": "probabilities"},
]


@pytest.mark.parametrize(
    ("kind", "tags"),
    [(kind, tags) for kind in KINDS for tags in LIES]
    + [("cells", tags) for tags in CELL_LIES]
    + [("pixels", tags) for tags in PIXEL_LIES],
    ids=lambda case: (
        case if isinstance(case, str) else next(f"{k}={v[:20]}" for k, v in case.items())
    ),
)
def test_tags_that_lie_are_refused(tmp_path: Path, kind: str, tags: dict[str, str]) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    change_tags(made.path, tags)
    with pytest.raises(OutputError, match=r"map\.tif: found .*expected a map written by geolulc"):
        open_map(made.path)
    with pytest.raises(OutputError, match=r"map\.tif: found .*expected a map written by geolulc"):
        read_map(made.path)


def relabel(path: Path, crs: str) -> None:
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.crs = crs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:32732", "EPSG:3035"])
def test_a_map_that_is_given_the_crs_of_other_ground_is_refused(
    tmp_path: Path, kind: str, crs: str
) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    relabel(made.path, crs)
    with pytest.raises(OutputError, match=rf"map\.tif: found the CRS {crs}, .* EPSG:32632"):
        open_map(made.path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_ground_under_another_name_is_a_map(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    relabel(made.path, "EPSG:25832")  # ETRS89 / UTM zone 32N
    with open_map(made.path) as found:
        assert found.header.grid.extent.crs == "EPSG:25832"


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_map_without_its_crs_as_a_tag_is_read(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    data = made.path.read_bytes()
    assert data.count(b'<Item name="CRS">EPSG:32632<') == 1
    made.path.write_bytes(data.replace(b'<Item name="CRS">', b'<Item name="XXX">'))
    with open_map(made.path) as found:
        assert "CRS" not in found.tags
        assert found.header.grid == made.header.grid


@pytest.mark.parametrize("kind", KINDS)
def test_a_comparison_that_is_given_another_crs_is_refused(tmp_path: Path, kind: str) -> None:
    before, after = (write_made(kind, tmp_path / f"{n}.tif", seed=n) for n in (0, 1))
    compare_files(before.path, after.path, tmp_path / "change.tif")
    with open_classified(tmp_path / "change.tif") as found:
        assert found.shape == before.header.grid.shape
    relabel(tmp_path / "change.tif", "EPSG:32633")
    with pytest.raises(OutputError, match=r"change\.tif: found the CRS EPSG:32633"):
        open_classified(tmp_path / "change.tif")


def test_bands_of_unknown_names_are_refused(tmp_path: Path) -> None:
    made = write_made("cells", tmp_path / "map.tif")
    with rasterio.open(made.path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.set_band_description(3, "<script>")
    with pytest.raises(OutputError, match=r"map\.tif.*<script>"):
        read_map(made.path)


@pytest.mark.parametrize(
    ("kind", "missing"),
    [(kind, tag) for kind in KINDS for tag in ("MAPPED_AREA_HA", "TILE_EXTENT")]
    + [("cells", "STRIDE_M"), ("cells", "CLASSES")]
    + [("pixels", "PIXEL_SIZE_M"), ("pixels", "MASKED_SCL"), ("pixels", "AREA_HA_BY_CLASS")],
)
def test_a_description_needs_its_tags(tmp_path: Path, kind: str, missing: str) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    change_tags(made.path, {missing: "?"})
    with pytest.raises(OutputError, match=r"map\.tif"):
        describe_map(made.path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vast_file_is_refused_before_it_is_read(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "true.tif")
    with rasterio.open(made.path) as dataset:
        tags, count, transform = dataset.tags(), dataset.count, dataset.transform
    path = tmp_path / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=200_000, height=200_000, count=count, dtype="uint8",
        sparse_ok=True, tiled=True, compress="deflate", bigtiff="YES",
        crs="EPSG:32632", transform=transform,
    ) as dataset:  # fmt: skip
        dataset.update_tags(**tags)
    with pytest.raises(OutputError, match=f"{count} × 200000 × 200000 values"):
        read_map(path)
    assert np.prod(made.probabilities.shape) < 10_000_000


def test_a_vast_map_that_is_one_is_read_by_windows_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write_made("cells", tmp_path / "map.tif")
    monkeypatch.setattr("geolulc.analysis.map_file._MOST_VALUES", 500)
    with pytest.raises(OutputError, match=r"19 × 5 × 6 values.*by windows"):
        read_map(made.path)
    with open_map(made.path) as found:
        assert found.shares(Window(0, 0, 2, 2)).shape == (19, 2, 2)


def test_probabilities_outside_0_to_1_are_damage(tmp_path: Path) -> None:
    made = write_made("cells", tmp_path / "map.tif")
    with rasterio.open(made.path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.write(dataset.read() * 40)
    with pytest.raises(OutputError, match=r"map\.tif: found a damaged file \(probabilities"):
        read_map(made.path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_is_one_line(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    with made.path.open("r+b") as file:  # the cells come last in a COG
        file.truncate(made.path.stat().st_size * 3 // 4)
    with (
        pytest.raises(OutputError, match=r"map\.tif: found a damaged file"),
        open_map(made.path) as found,
    ):
        for window in found.windows():
            found.codes(window)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4978", "EPSG:2263"])
def test_a_grid_that_is_not_in_metres_is_refused(tmp_path: Path, kind: str, crs: str) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    with rasterio.open(made.path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.crs = crs
    for read in (open_map, describe_map):
        with pytest.raises(OutputError, match=r"map\.tif: found .*expected a map written"):
            read(made.path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "corner", [(0, 0, 0), (np.inf, 0, 0), (1200, 612_000, 5_094_600), (np.nan, np.nan, np.nan)]
)
def test_a_file_lies_where_its_tags_say(
    tmp_path: Path, kind: str, corner: tuple[float, float, float]
) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    size, left, top = corner
    with rasterio.open(made.path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.transform = rasterio.Affine(size, 0, left, 0, -size, top)
    for read in (open_map, describe_map):
        with pytest.raises(OutputError, match=r"on a grid that its tags contradict"):
            read(made.path)


@pytest.mark.parametrize("value", [3, -1, 1e38, np.inf, -np.inf])
def test_a_single_value_that_is_no_probability_is_damage(tmp_path: Path, value: float) -> None:
    made = write_made("cells", tmp_path / "map.tif", nodata=False)
    with rasterio.open(made.path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        values = dataset.read()
        values[3, 2, 2] = value
        dataset.write(values)
    ground = geopandas.GeoDataFrame(geometry=[box(*made.header.grid.extent.bounds)], crs=32632)
    with pytest.raises(OutputError, match=r"map\.tif: found a damaged file \(probabilities"):
        summarize_zones(made.path, ground)
    with pytest.raises(OutputError, match=r"map\.tif: found a damaged file \(probabilities"):
        compare_files(made.path, made.path, tmp_path / "change.tif")
    assert not (tmp_path / "change.tif").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_a_gis_beside_a_map_change_nothing(tmp_path: Path, kind: str) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    before = describe_map(made.path)
    (tmp_path / "map.tif.aux.xml").write_text(
        "<PAMDataset><GeoTransform>0,9,0,0,0,-9</GeoTransform><Metadata>"
        '<MDI key="SCENE_NAME">another</MDI><MDI key="NOMENCLATURE">clc43</MDI></Metadata>'
        "</PAMDataset>"
    )
    (tmp_path / "map.tfw").write_text("9\n0\n0\n-9\n0\n0\n")
    (tmp_path / "map.tif.ovr").write_bytes(b"no raster")
    (tmp_path / "map.tif.msk").write_bytes(b"no raster")
    assert describe_map(made.path) == before
    with open_map(made.path) as found:
        assert found.header == made.header


def test_only_geotiffs_are_opened(tmp_path: Path) -> None:
    made = write_made("cells", tmp_path / "map.tif")
    text = f"<VRTDataset rasterXSize='6' rasterYSize='5'><VRTRasterBand><SourceFilename>{made.path}"
    (tmp_path / "vrt.tif").write_text(f"{text}</SourceFilename></VRTRasterBand></VRTDataset>")
    for name in ("vrt.tif", "nowhere.tif", "."):
        with pytest.raises(OutputError, match="expected a map written by geolulc"):
            open_map(tmp_path / name)


def test_a_block_larger_than_memory_is_refused(tmp_path: Path) -> None:
    made = write_made("cells", tmp_path / "true.tif")
    with rasterio.open(made.path) as dataset:
        tags = dataset.tags()
    path = tmp_path / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=200_000, height=200_000, count=1, dtype="uint8",
        sparse_ok=True, tiled=True, blockxsize=65_536, blockysize=65_536, compress="deflate",
        bigtiff="YES",
        crs="EPSG:32632",
        transform=rasterio.Affine(60, 0, 600_000, 0, -60, 5_100_000),
    ) as dataset:  # fmt: skip
        dataset.update_tags(**tags)
    with pytest.raises(OutputError, match="blocks of 1 × 65536 × 65536 values"):
        open_map(path)
