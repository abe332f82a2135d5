"""A record is a patch and nothing else, for us and for plain datadings readers."""

from __future__ import annotations

import os
import pickle
from dataclasses import fields, replace
from pathlib import Path

import msgpack
import numpy as np
import pytest
from datadings.tools.msgpack import unpackb
from made_archives import coded_dn, make_patch

from geolulc.datasets.patch import BIGEARTHNET, Patch
from geolulc.datasets.records import pack_record, pixel_hash, pixel_parts, pixels_end, unpack_record


@pytest.fixture
def patch() -> Patch:
    reference = np.arange(14400, dtype=np.uint16).reshape(120, 120)
    return replace(make_patch(3, signal=False), reference=reference, v1_name=None)


def test_round_trip(patch: Patch) -> None:
    again = unpack_record(pack_record(patch))
    for field in fields(Patch):
        if field.name not in ("dn", "reference"):
            assert getattr(again, field.name) == getattr(patch, field.name), field.name
    for resolution, group in patch.dn.items():
        assert again.dn[resolution].dtype == np.uint16
        np.testing.assert_array_equal(again.dn[resolution], group)
    np.testing.assert_array_equal(again.reference, patch.reference)


def test_pixels_lie_at_constant_places(patch: Patch) -> None:
    for other in (patch, replace(make_patch(40), key="x" * 200, labels=("a",) * 40)):
        record = pack_record(other)
        place = 0
        for (head, size), group in zip(pixel_parts(BIGEARTHNET), other.dn.values(), strict=True):
            assert record[place : place + len(head)] == head
            place += len(head)
            assert record[place : place + size] == group.tobytes()
            place += size
        assert place == pixels_end(BIGEARTHNET)


def test_plain_datadings_gives_arrays(patch: Patch) -> None:
    plain = unpackb(pack_record(patch))
    np.testing.assert_array_equal(plain["b20"], patch.dn[20])
    assert plain["b20"].dtype == np.uint16
    assert plain["key"] == patch.key
    assert plain["labels"] == list(patch.labels)


def test_the_hash_is_of_the_pixels(patch: Patch) -> None:
    expected = pixel_hash(patch.dn.values())
    assert pixel_hash(coded_dn(3).values()) == expected
    changed = coded_dn(3)
    changed[60][1, 19, 19] ^= 1
    assert pixel_hash(changed.values()) != expected


class Bomb:
    """Unpickling this makes a folder."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("exploded",)


def test_pickles_in_a_record_are_not_opened(
    patch: Patch, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    record = msgpack.unpackb(pack_record(patch))
    # msgpack-numpy unpickles arrays of kind "O"
    record["b10"] = {b"nd": True, b"type": "O", b"kind": b"O", b"shape": [1], b"data": b""}
    record["b10"][b"data"] = pickle.dumps(Bomb())
    with pytest.raises(ValueError, match="b10 that is not a uint16 array"):
        unpack_record(msgpack.packb(record))
    assert not Path("exploded").exists()


def test_bytes_that_are_no_record(patch: Patch) -> None:
    whole = pack_record(patch)
    with pytest.raises(ValueError, match="not a msgpack record"):
        unpack_record(whole[:-1])
    with pytest.raises(ValueError, match="not a msgpack record"):
        unpack_record(b"")
    with pytest.raises(ValueError, match="a msgpack list, not a map"):
        unpack_record(msgpack.packb([1]))
    with pytest.raises(ValueError, match="a record without b10"):
        unpack_record(msgpack.packb({"key": "x"}))
    record = msgpack.unpackb(whole)
    record["b60"][b"data"] = record["b60"][b"data"][:-2]
    with pytest.raises(ValueError, match="b60 whose data are cut short"):
        unpack_record(msgpack.packb(record))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", 5),
        ("key", None),
        ("labels", "Pastures"),
        ("labels", [1]),
        ("left", "x"),
        ("snow", 1),
        ("left", True),
        ("ben19", None),
        ("split", []),
    ],
)
def test_values_of_another_type(patch: Patch, name: str, value: object) -> None:
    record = msgpack.unpackb(pack_record(patch))
    record[name] = value
    with pytest.raises(ValueError, match=f"{name} of the type {type(value).__name__}"):
        unpack_record(msgpack.packb(record))
