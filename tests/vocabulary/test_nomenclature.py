"""Class lists and the conversion, against what BigEarthNet itself says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geolulc.errors import ParameterError
from geolulc.nomenclature import (
    BEN19,
    CLC43,
    NOMENCLATURES,
    convert_to_ben19,
    nomenclature,
)


@pytest.mark.parametrize("scheme", NOMENCLATURES.values(), ids=lambda n: n.id)
def test_names_codes_and_short_names_are_unique(scheme) -> None:
    for values in (scheme.names, [c.short for c in scheme.classes]):
        assert len(set(values)) == len(scheme)
    assert [c.code for c in scheme.classes] == list(range(1, len(scheme) + 1))
    assert all(len(c.short) <= 24 for c in scheme.classes)
    assert nomenclature(scheme.id) is scheme


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
