"""Classes of pixels, from reference maps of CORINE codes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_archives import make_patch, make_store, make_v2
from made_pixels import made_pixel_patch, make_pixel_store
from make_archive import landscape_scene, write_archive

from geolulc.datasets import Lists, Selection, open_store, prepare_store
from geolulc.datasets.loader import PatchLoader
from geolulc.errors import DatasetError
from geolulc.nomenclature import BEN19, CLC43, IGNORED

SHARED = Path(os.environ.get("GEOLULC_SHARED", "../shared"))
REAL = SHARED / "data" / "bigearthnet-v2"


def masks_of(store, indices, **options) -> np.ndarray:
    loader = PatchLoader(store, indices, 3, shuffle=False, masks=True, **options)
    return np.concatenate([batch.targets.numpy() for batch in loader])


class TestCodes:
    def test_codes_have_the_positions_of_their_classes(self) -> None:
        # the table of the reBEN authors, group by group
        table = {
            0: (111, 112), 1: (121,), 2: (211, 212, 213), 3: (221, 222, 223, 241), 4: (231,),
            5: (242,), 6: (243,), 7: (244,), 8: (311,), 9: (312,), 10: (313,), 11: (321, 333),
            12: (322, 323), 13: (324,), 14: (331,), 15: (411, 412), 16: (421, 422),
            17: (511, 512), 18: (521, 522, 523),
        }  # fmt: skip
        for position, codes in table.items():
            found = BEN19.positions_of_clc(np.array(codes, np.uint16))
            assert found.tolist() == [position] * len(codes)
        known = {code for codes in table.values() for code in codes}
        every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
        positions = BEN19.positions_of_clc(every)
        assert positions.shape == every.shape
        assert positions.dtype == np.uint8
        assert set(every[positions != IGNORED].tolist()) == known

    def test_roads_and_rocks_have_none_of_the_19_but_one_of_the_43(self) -> None:
        codes = np.array([122, 123, 124, 131, 132, 133, 141, 142, 332, 334, 423], np.uint16)
        assert (BEN19.positions_of_clc(codes) == IGNORED).all()
        names = [CLC43.names[p] for p in CLC43.positions_of_clc(codes)]
        assert names[:2] == ["Road and rail networks and associated land", "Port areas"]
        assert names[-1] == "Intertidal flats"

    def test_no_code_at_all_is_ignored(self) -> None:
        codes = np.array([0, 335, 999, 1000, 65535], np.uint16)
        assert (CLC43.positions_of_clc(codes) == IGNORED).all()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(make_pixel_store(tmp_path_factory.mktemp("masks") / "made.store"))


class TestLoader:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_targets_are_the_classes_of_the_pixels(self, store, workers) -> None:
        indices = store.split("train")
        found = masks_of(store, indices, workers=workers)
        assert found.shape == (8, 120, 120)
        assert found.dtype == np.uint8
        for place, index in enumerate(indices.tolist()):
            reference = made_pixel_patch(index).reference
            assert np.array_equal(found[place], BEN19.positions_of_clc(reference))
            assert (found[place, :4] == IGNORED).all()
        assert len(np.unique(found)) > 4

    def test_masks_follow_their_patches_when_shuffled(self, store) -> None:
        loader = PatchLoader(store, store.split("train"), 4, shuffle=True, masks=True, seed=1)
        for batch in loader:
            for pixels, mask, index in zip(
                batch.groups[0], batch.targets, batch.indices, strict=True
            ):
                patch = store.read(int(index))
                assert np.array_equal(pixels.numpy(), patch.dn[10])
                assert np.array_equal(mask.numpy(), BEN19.positions_of_clc(patch.reference))

    def test_a_patch_without_a_map_is_named(self, tmp_path) -> None:
        store = open_store(make_store(tmp_path / "bare.store", 4))
        assert not store.has_reference.any()
        with pytest.raises(DatasetError, match=rf"patch {store.keys[0]}: no reference map"):
            masks_of(store, np.arange(4))

    def test_a_store_where_only_some_have_maps(self, tmp_path) -> None:
        def patch(index):
            return made_pixel_patch(index) if index % 2 else make_patch(index)

        store = open_store(make_store(tmp_path / "some.store", 4, patch=patch))
        assert store.has_reference.tolist() == [False, True, False, True]
        assert masks_of(store, np.array([1, 3])).shape == (2, 120, 120)


class TestArchives:
    def test_an_archive_of_landscapes_becomes_masks(self, tmp_path) -> None:
        scenes = [landscape_scene(seed, split, size=2400) for seed, split in
                  ((1, "train"), (2, "val"), (3, "test"))]  # fmt: skip
        folder = write_archive(tmp_path / "made", scenes)
        prepare_store(folder, tmp_path / "made.store", reference_maps=True)
        store = open_store(tmp_path / "made.store")
        assert len(store) == 12
        for split, scene in zip(("train", "val", "test"), scenes, strict=True):
            indices = store.split(split)
            assert len(indices) == 4
            masks = masks_of(store, indices)
            for index, mask in zip(indices.tolist(), masks, strict=True):
                column, row = (int(n) for n in store.keys[index].split("_")[-2:])
                here = slice(row * 120, row * 120 + 120), slice(column * 120, column * 120 + 120)
                assert np.array_equal(mask, BEN19.positions_of_clc(scene.codes[here]))
                assert np.array_equal(store.read(index).dn[10][2], scene.bands["B04"][here])
                named = {BEN19.names[p] for p in np.unique(mask)}
                assert named == set(np.array(BEN19.names)[store.targets[index] > 0])

    def test_maps_are_only_stored_when_asked_for(self, tmp_path) -> None:
        folder = make_v2(tmp_path / "v2", 4, reference_maps=True)
        prepare_store(folder, tmp_path / "without.store")
        assert not open_store(tmp_path / "without.store").has_reference.any()

    @pytest.mark.skipif(not REAL.is_dir(), reason="no real patches (GEOLULC_SHARED)")
    def test_the_real_map_is_read_as_rasterio_reads_it(self, tmp_path) -> None:
        prepare_store(
            REAL, tmp_path / "real.store", lists=Lists(), reference_maps=True,
            selection=Selection(keep_snow=True, keep_cloud=True),
        )  # fmt: skip
        store = open_store(tmp_path / "real.store")
        (file,) = REAL.glob("Reference_Maps/*/*/*_reference_map.tif")
        (index,) = np.flatnonzero(store.has_reference)
        assert f"{store.keys[index]}_reference_map.tif" == file.name
        with rasterio.open(file) as raster:
            codes = raster.read(1)
        assert codes.shape == (120, 120)
        assert np.array_equal(store.read(int(index)).reference, codes)
        (mask,) = masks_of(store, np.array([index]))
        names = {code: c.name for c in BEN19.classes for code in c.clc}
        for code in np.unique(codes).tolist():
            found = set(mask[codes == code].tolist())
            assert found == {BEN19.index(names[code]) if code in names else IGNORED}
        # the labels of a patch are the classes of its map
        labels = set(np.array(BEN19.names)[store.targets[index] > 0].tolist())
        assert labels == {BEN19.names[p] for p in np.unique(mask) if p != IGNORED}
