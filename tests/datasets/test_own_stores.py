"""Stores of any nomenclature, and of none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_archives import make_patch, make_store

from geolulc.datasets import UNLABELLED, Legend, Patch, describe_store, open_store, write_store
from geolulc.datasets.loader import PatchLoader
from geolulc.errors import DatasetError, OutputError, ParameterError
from geolulc.nomenclature import BEN19, IGNORED, Nomenclature, nomenclature, nomenclature_of


def classes_of(codes: Sequence[int]) -> Nomenclature:
    classes = [{"name": f"Class {c}", "code": c, "color": f"#{c:06x}"} for c in codes]
    return nomenclature_of({"id": "own", "title": "Own", "classes": classes})


def own_patch(index: int, classes: Nomenclature, *, labelled: bool = True) -> Patch:
    """A patch with two classes in its map, by index, on its upper half."""
    codes = np.full((120, 120), UNLABELLED, np.uint16)
    some = [classes.classes[(index + step) % len(classes)] for step in (0, 1)]
    codes[:30], codes[30:60] = some[0].code, some[1].code
    return replace(
        make_patch(index, signal=False),
        key=f"scene_{index}",
        dataset="labels",
        labels=tuple(c.name for c in some) if labelled else (),
        ben19=(),
        reference=codes if labelled else None,
    )


@pytest.mark.parametrize("codes", [(3, 10, 11, 40, 77, 200, 254), range(5, 69), range(1000, 1255)])
def test_any_classes_up_to_255(codes: Sequence[int], tmp_path: Path) -> None:
    classes = classes_of(codes)
    patches = [own_patch(i, classes) for i in range(6)]
    write_store(tmp_path / "s", patches, classes, level="L1C", labelling=lambda: {"overlaps": 3})
    store = open_store(tmp_path / "s")
    assert store.nomenclature == classes
    assert store.level == "L1C"
    expected = np.stack([classes.multi_hot(p.labels) for p in patches])
    np.testing.assert_array_equal(store.targets, expected)
    frequencies = store.manifest["classes"]["frequencies"]["train"]
    assert frequencies == expected[store.split("train")].sum(axis=0).tolist()
    described = describe_store(tmp_path / "s", verify=True)
    assert described["labelling"] == {"overlaps": 3}
    assert described["nomenclature"] == "own"
    (batch,) = PatchLoader(store, np.arange(6), 6, shuffle=False, masks=True)
    for patch, mask in zip(patches, batch.targets.numpy(), strict=True):
        assert patch.reference is not None
        positions = [list(codes).index(c) for c in (patch.reference[0, 0], patch.reference[30, 0])]
        assert (mask[:30] == positions[0]).all()
        assert (mask[30:60] == positions[1]).all()
        assert (mask[60:] == IGNORED).all()


def test_more_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="256 classes; expected at most 255"):
        Legend(classes_of(range(256)))
    with pytest.raises(ParameterError, match="256 classes"):
        write_store(tmp_path / "s", [], classes_of(range(256)))
    assert not list(tmp_path.iterdir())


def test_a_code_without_a_class_is_no_label() -> None:
    legend = Legend(classes_of((0, 7)))
    codes = np.array([0, 7, 8, UNLABELLED], np.uint16)
    assert legend.positions(codes).tolist() == [0, 1, IGNORED, IGNORED]
    corine = Legend.of_corine("ben19")
    assert corine.positions(np.array([111, UNLABELLED], np.uint16)).tolist() == [0, IGNORED]


def test_patches_without_labels(tmp_path: Path) -> None:
    classes = nomenclature("worldcover")
    patches = [own_patch(i, classes, labelled=False) for i in range(4)]
    write_store(tmp_path / "s", patches, classes)
    store = open_store(tmp_path / "s")
    assert store.manifest["patches"]["without_class"] == 4
    assert not store.targets.any()
    assert not store.has_reference.any()
    np.testing.assert_array_equal(store.read(3).dn[20], patches[3].dn[20])


def test_what_cannot_be_written(tmp_path: Path) -> None:
    classes = classes_of((1, 2))
    patch = own_patch(0, classes)
    with pytest.raises(DatasetError, match="scene_0: found a patch of that name twice"):
        write_store(tmp_path / "s", [patch, patch], classes)
    with pytest.raises(DatasetError, match="found no patch"):
        write_store(tmp_path / "s", [], classes)
    with pytest.raises(DatasetError, match="found the label 'Class 1'; expected names of the nom"):
        write_store(tmp_path / "s", [patch], BEN19)
    assert not list(tmp_path.iterdir())
    write_store(tmp_path / "s", [patch], classes)
    with pytest.raises(OutputError):
        write_store(tmp_path / "s", [patch], classes)
    write_store(tmp_path / "s", [own_patch(1, classes)], classes, overwrite=1)
    assert open_store(tmp_path / "s").keys == ("scene_1",)
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_stores_of_bigearthnet_are_as_before(tmp_path: Path) -> None:
    store = open_store(make_store(tmp_path / "s", 4, signal=False))
    assert store.legend.codes == "corine"
    assert store.level == "L2A"
    assert "labelling" not in store.manifest
