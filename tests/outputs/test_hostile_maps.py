"""A map.tif can come from anybody: what its tags claim is checked, and said in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_map import made_map

from geolulc.errors import OutputError
from geolulc.outputs import describe_map, read_map, write_map


@pytest.mark.parametrize(
    "tags",
    [
        {"TILE_EXTENT": "[0, 0, 1, 1]"},
        {"TILE_EXTENT": "[600000, 5094600, 606600]"},
        {"TILE_EXTENT": "[600000, 5094600, 9e99, 5100000]"},
        {"TILE_EXTENT": "[600000, 5094600, NaN, 5100000]"},
        {"TILE_EXTENT": "{}"},
        {"TILE_EXTENT": "[" * 100_000},
        {"STRIDE_M": "0"},
        {"STRIDE_M": "-1200"},
        {"STRIDE_M": "600"},
        {"STRIDE_M": "1" * 5000},
        {"PATCH_SIZE_M": "seven"},
        {"NOMENCLATURE": "clc43"},
        {"NOMENCLATURE": "../../etc/passwd"},
        {"THRESHOLDS": "[0.5]"},
        {"THRESHOLDS": '{"a": 1}'},
        {"GEOLULC_FILE": "classes"},
    ],
    ids=lambda tags: next(f"{k}={v[:20]}" for k, v in tags.items()),
)
def test_tags_that_lie_are_refused(tmp_path: Path, tags: dict[str, str]) -> None:
    path = tmp_path / "map.tif"
    write_map(made_map(), path, outputs=["probabilities"])
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(**tags)
    with pytest.raises(OutputError, match=r"map\.tif: found .*expected a map written by geolulc"):
        read_map(path)


def test_bands_of_unknown_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    write_map(made_map(), path, outputs=["probabilities"])
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.set_band_description(3, "<script>")
    with pytest.raises(OutputError, match=r"map\.tif.*<script>"):
        read_map(path)


@pytest.mark.parametrize("missing", ["STRIDE_M", "CLASSES", "MAPPED_AREA_HA"])
def test_a_description_needs_its_tags(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "map.tif"
    write_map(made_map(), path, outputs=["probabilities"])
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.update_tags(**{missing: "?"})
    with pytest.raises(OutputError, match=r"map\.tif"):
        describe_map(path)


def test_a_vast_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    made = made_map()
    write_map(made, tmp_path / "true.tif", outputs=["probabilities"])
    with rasterio.open(tmp_path / "true.tif") as dataset:
        tags = dataset.tags()
    with rasterio.open(
        path, "w", driver="GTiff", width=200_000, height=200_000, count=19, dtype="uint8",
        sparse_ok=True, tiled=True, compress="deflate", bigtiff="YES",
        crs="EPSG:32632", transform=made.grid.transform,
    ) as dataset:  # fmt: skip
        dataset.update_tags(**tags)
    with pytest.raises(OutputError, match="19 × 200000 × 200000 values"):
        read_map(path)
    assert np.prod(made.probabilities.shape) < 1000
