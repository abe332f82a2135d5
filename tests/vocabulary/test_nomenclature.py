"""Class lists and the conversion, against what BigEarthNet itself says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geolulc.errors import ParameterError
from geolulc.nomenclature import (
    BEN19,
    BUILT_IN,
    CLC43,
    convert_to_ben19,
    nomenclature,
    nomenclature_of,
)


@pytest.mark.parametrize("identifier", BUILT_IN)
def test_names_colours_and_short_names_are_unique(identifier: str) -> None:
    scheme = nomenclature(identifier)
    assert scheme.id == identifier
    for values in (
        scheme.names,
        [c.short for c in scheme.classes],
        [c.rgb for c in scheme.classes],
    ):
        assert len(set(values)) == len(scheme)
    assert nomenclature_of(scheme.as_mapping()) == scheme


def test_codes_of_bigearthnet_are_places_in_the_official_order() -> None:
    for scheme in (BEN19, CLC43):
        assert [c.code for c in scheme.classes] == list(range(1, len(scheme) + 1))
        assert all(len(c.short) <= 24 for c in scheme.classes)


@pytest.mark.parametrize(
    ("codes", "nodata", "code_type"),
    [
        ([1, 2], 0, "uint8"),
        ([0, 8], 255, "uint8"),
        ([3, 254], 0, "uint8"),
        ([0, 254], 255, "uint8"),
        ([0, 255], 65535, "uint16"),
        ([1, 255], 0, "uint16"),
        ([0, 65534], 65535, "uint16"),
    ],
)
def test_no_data_is_a_value_that_no_class_has(codes, nodata, code_type) -> None:
    scheme = made(*({"code": code} for code in codes))
    assert (scheme.nodata, scheme.code_type.__name__) == (nodata, code_type)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"title": "t", "classes": []}, "id: found nothing"),
        ({"id": "a", "title": "t", "classes": []}, "classes: found "),
        ({"id": "a", "title": "t"}, "classes: found nothing"),
        (
            {"id": "../a", "title": "t", "classes": [{"name": "x", "code": 1, "color": "#ffffff"}]},
            "id",
        ),
    ],
)
def test_a_nomenclature_that_is_none(values, message) -> None:
    with pytest.raises(ParameterError, match=message):
        nomenclature_of(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code": 65535}, "code: found 65535; expected a number from 0 to 65534"),
        ({"code": 1.5}, "code: found 1.5; expected a whole number"),
        ({"code": 1}, "the code 1 twice"),
        ({"name": "Class 1"}, "the name 'Class 1' twice"),
        ({"name": "a\nb"}, "control characters in its name"),
        ({"name": ""}, "name: found ''"),
        ({"color": "red"}, "color: found 'red'"),
        ({"clc": [1000]}, "clc: found 1000"),
        ({"size": 3}, "setting 'size'"),
    ],
)
def test_a_class_that_is_none(change, message) -> None:
    with pytest.raises(ParameterError, match=message):
        made({"code": 1}, {"code": 2, **change})


def made(*classes):
    """A nomenclature of classes 1, 2 … with some values of their own."""
    default = [
        {"name": f"Class {i}", "code": i, "color": "#ffffff"} for i in range(1, len(classes) + 1)
    ]
    entries = [{**d, **c} for d, c in zip(default, classes, strict=True)]
    return nomenclature_of({"id": "made", "title": "Made", "classes": entries})


def test_sizes_and_the_official_order() -> None:
    assert (len(BEN19), len(CLC43)) == (19, 43)
    assert BEN19.names[0] == "Urban fabric"
    assert BEN19.names[10] == "Mixed forest"
    assert BEN19.names[18] == "Marine waters"
    assert BEN19.index("Coniferous forest") == 9


def test_eleven_corine_classes_have_no_counterpart() -> None:
    dropped = [c.clc[0] for c in CLC43.classes if not convert_to_ben19([c.name])]
    assert dropped == [122, 123, 124, 131, 132, 133, 141, 142, 332, 334, 423]


def test_every_corine_code_leads_to_one_class() -> None:
    codes = [code for c in BEN19.classes for code in c.clc]
    assert len(codes) == len(set(codes)) == 43 - 11
    assert set(codes) <= {c.clc[0] for c in CLC43.classes}


def test_conversion_merges_and_keeps_the_official_order() -> None:
    assert convert_to_ben19(["Sea and ocean", "Vineyards", "Olive groves", "Estuaries"]) == (
        "Permanent crops",
        "Marine waters",
    )
    assert convert_to_ben19(["Burnt areas"]) == ()


def test_an_unknown_label_names_the_nearest() -> None:
    with pytest.raises(ParameterError, match="nearest: 'Mixed forest'"):
        convert_to_ben19(["Mixd forest"])
    with pytest.raises(ParameterError, match="expected one of ben19, clc43"):
        nomenclature("ben20")


def test_multi_hot_is_by_name() -> None:
    vector = BEN19.multi_hot(["Marine waters", "Urban fabric"])
    assert vector.dtype == "float32"
    assert vector.nonzero()[0].tolist() == [0, 18]


def test_every_label_of_the_real_patches_is_known(shared: Path) -> None:
    files = sorted((shared / "data/bigearthnet-v1/BigEarthNet-v1.0").glob("*/*_metadata.json"))
    assert len(files) == 65
    for file in files:
        labels = json.loads(file.read_text())["labels"]
        assert 0 < len(convert_to_ben19(labels)) <= len(labels)
