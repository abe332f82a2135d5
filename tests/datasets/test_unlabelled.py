"""Patches without labels, cut from scenes and stacks of GeoTIFFs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_archives import make_v1
from made_product import make_product, position_bands, position_dn, random_bands
from rasterio.transform import from_origin

from geolulc.bands import BAND_NAMES, GROUPS, band
from geolulc.datasets import open_store, prepare_store
from geolulc.datasets.ground import split_of_block
from geolulc.datasets.stacks import open_stack
from geolulc.datasets.unlabelled import UNLABELLED_DATASET
from geolulc.errors import DatasetError, GeolulcError

WIDTH, HEIGHT = 3000, 2400


def write_tif(
    path: Path,
    layers,
    *,
    names,
    resolution=10,
    crs="EPSG:32632",
    corner=(600_000, 5_200_020),
    **tags,
):
    scale = tags.pop("scale", None)
    layers = np.asarray(layers)
    with rasterio.open(
        path, "w", driver="GTiff", dtype=layers.dtype, count=len(layers), crs=crs,
        height=layers.shape[1], width=layers.shape[2],
        transform=from_origin(*corner, resolution, resolution),
    ) as out:  # fmt: skip
        out.write(layers)
        out.descriptions = names
        out.update_tags(**tags)
        if scale:
            out.scales, out.offsets = [scale[0]] * len(layers), [scale[1]] * len(layers)
    return path


def at_10m(bands):
    """Bands of native resolution with their pixels repeated to 10 m."""
    return [
        np.kron(bands[n], np.ones((band(n).resolution // 10,) * 2, np.uint16)) for n in BAND_NAMES
    ]


def prepared(out: Path, *sources: Path, **options):
    prepare_store(sources, out, unlabelled=True, **options)
    return open_store(out)


def test_a_scene_is_cut_from_its_corner_and_the_last_column_moves_inside(tmp_path: Path) -> None:
    scene = make_product(tmp_path, position_bands(WIDTH, HEIGHT))
    store = prepared(tmp_path / "s", scene)
    assert len(store) == 2 * 3
    lefts, tops = (sorted(set(store.column(n))) for n in ("left", "top"))
    assert lefts == [600_000, 601_200, 601_800]
    assert tops == [5_200_020 - 1200, 5_200_020]
    for number in range(len(store)):
        patch = store.read(number)
        assert (patch.dataset, patch.labels, patch.date) == (
            UNLABELLED_DATASET,
            (),
            "2024-06-25T10:10:31",
        )
        for resolution, names in GROUPS.items():
            down = round(5_200_020 - patch.top) // resolution
            right = round(patch.left - 600_000) // resolution
            for channel, name in enumerate(names):
                first = patch.dn[resolution][channel, 0, 0]
                last = patch.dn[resolution][channel, -1, -1]
                side = 1200 // resolution - 1
                assert first == position_dn(name, down, right)
                assert last == position_dn(name, down + side, right + side)
        assert patch.split == split_of_block(patch.crs, patch.left, patch.top)


def test_offsets_go_and_what_has_data_keeps_it(tmp_path: Path) -> None:
    bands = random_bands()
    bands["B02"][:3], bands["B02"][3:5] = 0, 900
    store = prepared(tmp_path / "s", make_product(tmp_path, bands, baseline="05.10"))
    blue = store.read(0).dn[10][GROUPS[10].index("B02")]
    assert (blue[:3] == 0).all()
    assert (blue[3:5] == 1).all()  # reflectance below 0, but no missing pixel
    np.testing.assert_array_equal(blue[5:], bands["B02"][5:120, :120] - 1000)


def test_a_stack_is_one_file_or_one_a_band(tmp_path: Path) -> None:
    bands = random_bands()
    date = {"TIFFTAG_DATETIME": "2020:07:01 10:30:00"}
    one = write_tif(tmp_path / "one.tif", at_10m(bands), names=BAND_NAMES, **date)
    folder = tmp_path / "many"
    folder.mkdir()
    for name in BAND_NAMES:
        write_tif(
            folder / f"T32TPS_{name}_{band(name).resolution}m.tif", bands[name][None],
            names=[""], resolution=band(name).resolution, **date,
        )  # fmt: skip
    scene = make_product(tmp_path, bands)
    stores = [prepared(tmp_path / f"{p.stem[:4]}.store", p) for p in (one, folder, scene)]
    for number in range(4):
        patches = [store.read(number) for store in stores]
        for resolution in GROUPS:
            for patch in patches[:2]:
                np.testing.assert_array_equal(patch.dn[resolution], patches[2].dn[resolution])
        assert patches[0].date == patches[1].date == "2020-07-01T10:30:00"
        assert (patches[0].left, patches[0].top) == (patches[2].left, patches[2].top)


def test_scale_and_offset_of_a_file_count_and_its_missing_pixels_stay_missing(tmp_path) -> None:
    bands = random_bands()
    layers = np.stack(at_10m(bands))
    layers[:, 10:20, 30:40] = 0
    file = write_tif(tmp_path / "a.tif", layers, names=BAND_NAMES, scale=(1e-4, -0.1))
    dn = open_stack(file).dn["B02"]
    assert (dn[10:20, 30:40] == 0).all()
    np.testing.assert_array_equal(dn[:10], bands["B02"][:10] - 1000)


def test_degrees_are_brought_to_the_utm_zone(tmp_path: Path) -> None:
    step = 9e-5  # about 10 m at the equator
    ramp = np.tile(np.arange(1000, 1300, dtype=np.uint16), (300, 1))
    file = tmp_path / "degrees.tif"
    write_tif(
        file, [ramp] * 12, names=BAND_NAMES, resolution=step, crs="EPSG:4326", corner=(9.0, 1.0)
    )
    stack = open_stack(file)
    assert stack.crs == "EPSG:32632"
    assert stack.size == (2940, 2940) or stack.size == (3000, 2940)
    row = stack.dn["B02"][100].astype(int)
    assert row.min() >= 1000
    assert set(np.diff(row)) <= {0, 1, 2}


def test_beside_an_archive_with_lists_scenes_are_for_training(tmp_path: Path) -> None:
    make_v1(tmp_path / "one", 4)
    scene = make_product(tmp_path, random_bands())
    store = prepared(tmp_path / "s", tmp_path / "one/BigEarthNet-v1.0", scene)
    own = [
        store.splits[i] for i, d in enumerate(store.column("dataset")) if d == UNLABELLED_DATASET
    ]
    assert own == ["train"] * 4
    assert len(store) == 8


def _folder_without(tmp_path: Path, *missing: str) -> Path:
    names = [n for n in BAND_NAMES if n not in missing]
    return write_tif(tmp_path / "a.tif", np.ones((len(names), 240, 240), np.uint16), names=names)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda p: _folder_without(p, "B05", "B11"), "no band B05, B11"),
        (
            lambda p: write_tif(p / "a.tif", np.ones((12, 60, 240), np.uint16), names=BAND_NAMES),
            "found 2400 m × 600 m",
        ),
        (
            lambda p: write_tif(
                p / "a.tif", np.ones((12, 240, 240), np.uint16), names=BAND_NAMES, crs=None
            ),
            "no georeference",
        ),
        (lambda p: Path(p / "text.tif").write_text("no") and p / "text.tif", "cannot be read"),
    ],
)
def test_what_cannot_be_cut_is_refused_in_one_line(make, found, tmp_path: Path) -> None:
    source = make(tmp_path)
    with pytest.raises(GeolulcError, match=found) as raised:
        prepare_store(source, tmp_path / "s", unlabelled=True)
    assert source.name in str(raised.value)
    assert not (tmp_path / "s").exists()


def test_a_store_has_one_level_and_says_it(tmp_path: Path) -> None:
    bands = random_bands()
    product = make_product(tmp_path / "c", bands, level="L1C", baseline="02.06")
    assert prepared(tmp_path / "one", product).level == "L1C"
    layers, names = [*at_10m(bands), at_10m(bands)[0]], (*BAND_NAMES, "B10")
    stack = write_tif(tmp_path / "a.tif", layers, names=names)
    assert prepared(tmp_path / "both", product, stack).level == "L1C"
    other = write_tif(tmp_path / "b.tif", layers[:-1], names=BAND_NAMES)
    with pytest.raises(DatasetError, match="found Level-1C; expected Level-2A, as b"):
        prepared(tmp_path / "s", other, stack)


def test_without_the_flag_a_scene_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="an archive of BigEarthNet"):
        prepare_store(make_product(tmp_path, random_bands()), tmp_path / "s")
