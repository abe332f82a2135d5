"""The real patches: what the store says is what rasterio, json and pandas read directly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio

from geolulc.bands import GROUPS
from geolulc.datasets import Lists, Selection, Store, open_store, prepare_store
from geolulc.nomenclature import BEN19, CLC43


@pytest.fixture(scope="module")
def both(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """v1 and v2 in one store, snow and cloud kept."""
    data = shared / "data"
    out = tmp_path_factory.mktemp("real") / "ben.store"
    prepare_store(
        [data / "bigearthnet-v1/BigEarthNet-v1.0", data / "bigearthnet-v2"],
        out,
        lists=Lists(splits=data / "bigearthnet-v1/splits"),
        selection=Selection(keep_snow=True, keep_cloud=True),
        reference_maps=True,
        workers=2,
    )
    return open_store(out)


def folder_of(shared: Path, key: str) -> Path:
    data = shared / "data"
    if "_N9999_" in key:
        return data / "bigearthnet-v2/BigEarthNet-S2" / key.rsplit("_", 2)[0] / key
    return data / "bigearthnet-v1/BigEarthNet-v1.0" / key


def test_every_patch_is_there_once(shared: Path, both: Store) -> None:
    data = shared / "data"
    v1 = {p.name for p in (data / "bigearthnet-v1/BigEarthNet-v1.0").iterdir()}
    v2 = {p.name for p in (data / "bigearthnet-v2/BigEarthNet-S2").glob("*/*")}
    assert len(both) == len(v1) + len(v2) == 82
    assert set(both.keys) == v1 | v2


def test_pixels_and_georeference_are_those_of_the_tiffs(shared: Path, both: Store) -> None:
    for index, key in enumerate(both.keys):
        patch = both.read(index)
        assert patch.key == key
        for resolution, bands in GROUPS.items():
            for channel, band in enumerate(bands):
                with rasterio.open(folder_of(shared, key) / f"{key}_{band}.tif") as raster:
                    np.testing.assert_array_equal(patch.dn[resolution][channel], raster.read(1))
                    if resolution == 10:
                        assert raster.crs.to_string() == patch.crs
                        assert (raster.bounds.left, raster.bounds.top) == (patch.left, patch.top)


def test_v1_labels_dates_and_splits(shared: Path, both: Store) -> None:
    splits = {
        name: split
        for split in ("train", "val", "test")
        for name in (shared / f"data/bigearthnet-v1/splits/{split}.csv").read_text().split()
    }
    for index, key in enumerate(both.keys):
        if "_N9999_" in key:
            continue
        patch = both.read(index)
        document = json.loads((folder_of(shared, key) / f"{key}_labels_metadata.json").read_text())
        assert patch.labels == patch.clc43 == tuple(document["labels"])
        # the conversion by CORINE codes, not by the function under test
        codes = {code for label in document["labels"] for code in CLC43[label].clc}
        expected = {c.name for c in BEN19.classes if codes & set(c.clc)}
        assert set(patch.ben19) == expected
        assert {BEN19.names[i] for i in np.flatnonzero(both.targets[index])} == expected
        assert patch.date[:10] == document["acquisition_date"][:10]
        assert patch.split == splits.get(key) == both.splits[index]
        coordinates = document["coordinates"]
        assert (patch.left, patch.top) == (coordinates["ulx"], coordinates["uly"])
    of_v1 = [s for k, s in zip(both.keys, both.splits, strict=True) if "_N9999_" not in k]
    assert [of_v1.count(s) for s in ("train", "val", "test", None)] == [42, 21, 1, 1]


def test_times_of_day_that_are_none_come_from_the_name(both: Store) -> None:
    # its JSON says 95:03:2, its name T95032
    patch = both.read(both.keys.index("S2A_MSIL2A_20180413T95032_25_43"))
    assert patch.date == "2018-04-13T09:50:32"


def test_v2_is_as_the_metadata_say(shared: Path, both: Store) -> None:
    metadata = pd.read_parquet(shared / "data/bigearthnet-v2/metadata.parquet").set_index(
        "patch_id"
    )
    of_v2 = [i for i, k in enumerate(both.keys) if "_N9999_" in k]
    assert len(of_v2) == len(metadata) == 17
    for index in of_v2:
        patch, row = both.read(index), metadata.loc[both.keys[index]]
        assert set(patch.labels) == set(patch.ben19) == set(row.labels)
        assert {BEN19.names[i] for i in np.flatnonzero(both.targets[index])} == set(row.labels)
        assert patch.split == {"validation": "val"}.get(row.split, row.split)
        assert (patch.country, patch.v1_name) == (row.country, row.s2v1_name)
        assert (patch.snow, patch.cloud) == (
            row.contains_seasonal_snow,
            row.contains_cloud_or_shadow,
        )
        assert patch.tile == patch.key.split("_")[5][1:]
        assert patch.clc43 is None


def test_the_reference_map_is_stored(shared: Path, both: Store) -> None:
    (file,) = (shared / "data/bigearthnet-v2/Reference_Maps").rglob("*.tif")
    key = file.name.removesuffix("_reference_map.tif")
    with rasterio.open(file) as raster:
        expected = raster.read(1)
    reference = both.read(both.keys.index(key)).reference
    assert reference is not None
    assert reference.dtype == np.uint16
    np.testing.assert_array_equal(reference, expected)
    assert both.manifest["patches"]["with_reference_map"] == 1


def test_statistics_are_numpys_of_the_train_split(both: Store) -> None:
    patches = [both.read(i) for i in both.split("train")]
    assert len(patches) == 42 + 8
    for resolution, bands in GROUPS.items():
        for channel, band in enumerate(bands):
            pixels = np.stack([p.dn[resolution][channel] for p in patches]).astype(np.float64)
            found = both.statistics[band]
            assert found.pixels == pixels.size
            assert found.mean == pytest.approx(pixels.mean(), rel=1e-9)
            assert found.std == pytest.approx(pixels.std(), rel=1e-9)
            for q, value in found.percentiles.items():
                assert value == pytest.approx(np.percentile(pixels, q), rel=1e-12)


def test_snow_and_cloud_of_v2_are_left_out_by_default(shared: Path, tmp_path: Path) -> None:
    v2 = shared / "data/bigearthnet-v2"
    manifest = prepare_store(v2, tmp_path / "default.store")
    assert manifest["patches"]["by_split"] == {"test": 1, "train": 6, "val": 6}
    assert manifest["left_out"] == {"cloud": 2, "snow": 2}
    kept = prepare_store(v2, tmp_path / "snow.store", selection=Selection(keep_snow=True))
    assert kept["patches"]["by_split"] == {"test": 1, "train": 7, "val": 7}
    assert kept["left_out"] == {"cloud": 2}


def test_snow_of_v1_by_a_list(shared: Path, tmp_path: Path) -> None:
    v1 = shared / "data/bigearthnet-v1"
    snow = tmp_path / "snow.csv"
    snow.write_text("S2B_MSIL2A_20180204T94161_57_38\n")
    lists = Lists(splits=v1 / "splits", snow_list=snow)
    manifest = prepare_store(v1, tmp_path / "v1.store", lists=lists, nomenclature_id="clc43")
    assert manifest["patches"]["by_split"] == {"test": 1, "train": 42, "val": 21}
    assert manifest["left_out"] == {"snow": 1}
    assert manifest["archives"][0]["origin"]["snow"] == "snow.csv"
    store = open_store(tmp_path / "v1.store")
    assert store.nomenclature == CLC43
    for index in range(len(store)):
        names = [CLC43.names[i] for i in np.flatnonzero(store.targets[index])]
        assert set(names) == set(store.read(index).labels)
