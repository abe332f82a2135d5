"""A store that was damaged says so; a whole one says what it holds."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datadings.reader import MsgpackReader
from made_archives import COUNTRIES, SEASONS, coded_dn, make_patch, make_store

from geolulc.datasets import Store, describe_store, open_store
from geolulc.datasets import index as index_module
from geolulc.errors import DatasetError, ParameterError
from geolulc.nomenclature import BEN19


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patches in three shards; read only."""
    return make_store(tmp_path_factory.mktemp("store") / "s", 12, shards=3, signal=False)


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_what_it_says(made: Path) -> None:
    store = open_store(made)
    patches = [make_patch(i, signal=False) for i in range(12)]
    assert len(store) == 12
    assert store.nomenclature is BEN19
    assert store.keys == tuple(p.key for p in patches)
    assert store.countries == tuple(COUNTRIES[i % 3] for i in range(12))
    assert store.seasons == tuple(SEASONS[i % 4] for i in range(12))
    assert store.column("left") == [p.left for p in patches]
    expected = np.stack([BEN19.multi_hot(p.labels) for p in patches])
    np.testing.assert_array_equal(store.targets, expected)
    assert store.targets.dtype == np.float32
    assert store.split("train").tolist() == [0, 1, 4, 5, 8, 9]
    assert store.split("val").tolist() == [2, 6, 10]
    assert store.split("test").dtype == np.int64
    for index in (0, 7, -1):
        np.testing.assert_array_equal(store.read(index).dn[10], coded_dn(range(12)[index])[10])
    with pytest.raises(IndexError):
        store.read(12)
    with pytest.raises(ParameterError, match="split 'validation': found no such split"):
        store.split("validation")


def test_plain_datadings_reads_the_shards(made: Path) -> None:
    reader = MsgpackReader(made / "shard-00001/patches.msgpack")
    assert reader.verify_data()
    assert len(reader) == 4
    for sample in reader:
        index = next(i for i in range(12) if make_patch(i, signal=False).key == sample["key"])
        np.testing.assert_array_equal(sample["b60"], coded_dn(index)[60])
        assert sample["split"] == open_store(made).splits[index]


def test_any_parquet_reader_reads_the_index(made: Path) -> None:
    frame = pq.read_table(made / "index.parquet").to_pandas()
    assert frame.groupby("country", observed=True).size().to_dict() == dict.fromkeys(COUNTRIES, 4)
    assert list(frame.ben19[3]) == list(make_patch(3).labels)


def _read_key(store: Store, queue: object) -> None:
    queue.put([store.read(i).key for i in range(12)])  # type: ignore[attr-defined]


def test_pickling_and_forking(made: Path) -> None:
    store = open_store(made)
    assert store.read(0).key == store.keys[0]
    again = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert again.keys == store.keys
    context = multiprocessing.get_context("forkserver")
    queue = context.Queue()
    process = context.Process(target=_read_key, args=(store, queue))
    process.start()
    assert tuple(queue.get(timeout=60)) == store.keys
    process.join()


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="found no such folder"):
        open_store(tmp_path / "none")
    with pytest.raises(DatasetError, match=r"found no manifest\.json in it"):
        open_store(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="found a file"):
        open_store(tmp_path / "file")


def change_manifest(store: Path, **changes: object) -> None:
    file = store / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_manifests_that_are_none(copy: Path) -> None:
    manifest = copy / "manifest.json"
    whole = manifest.read_text()
    for text in ("", "[]", "{}", whole[: len(whole) // 2], "[" * 100_000, "\0"):
        manifest.write_text(text)
        with pytest.raises(DatasetError, match="a manifest that cannot be read"):
            open_store(copy)
    manifest.write_text(whole)
    change_manifest(copy, version=99)
    with pytest.raises(DatasetError, match="a store of format version 99; expected version 1"):
        open_store(copy)
    manifest.write_text(whole)
    for name in ("shards", "patches", "classes", "nomenclature"):
        change_manifest(copy, **{name: 5})
        with pytest.raises(DatasetError):
            open_store(copy)
        manifest.write_text(whole)
    change_manifest(copy, classes={"names": sorted(BEN19.names)})
    with pytest.raises(DatasetError, match="classes that are not those of ben19"):
        open_store(copy)


def test_shards_outside_the_store(copy: Path, made: Path) -> None:
    shards = json.loads((copy / "manifest.json").read_text())["shards"]
    shards[0]["name"] = f"../../{made.parent.name}/s/shard-00000"
    change_manifest(copy, shards=shards)
    with pytest.raises(DatasetError, match="the shard name"):
        open_store(copy)


def test_a_store_that_was_cut_short(copy: Path) -> None:
    file = copy / "shard-00002/patches.msgpack"
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.truncate(size - 1)
    with pytest.raises(
        DatasetError, match=rf"shard-00002/patches\.msgpack of {size - 1} bytes, not {size}"
    ):
        open_store(copy)
    file.unlink()
    with pytest.raises(DatasetError, match=r"found no shard-00002/patches\.msgpack"):
        open_store(copy)


def test_an_index_that_is_none(copy: Path, made: Path) -> None:
    index = copy / "index.parquet"
    whole = index.read_bytes()
    for data in (b"", whole[:100], whole[:-20], b"PAR1" * 100):
        index.write_bytes(data)
        with pytest.raises(DatasetError, match="an index that cannot be read"):
            open_store(copy)
    table = pq.read_table(made / "index.parquet")
    pq.write_table(table.drop_columns(["offset"]), index)
    with pytest.raises(DatasetError, match="an index without offset"):
        open_store(copy)
    pq.write_table(table.slice(1), index)
    with pytest.raises(DatasetError, match="an index of 11 patches where 12 are announced"):
        open_store(copy)
    offsets = table.column("offset").to_numpy().copy()
    for place, value, found in ((0, -1, "beyond"), (5, 10**9, "beyond")):
        changed = offsets.copy()
        changed[place] = value
        position = table.schema.get_field_index("offset")
        pq.write_table(table.set_column(position, table.schema.field(position), [changed]), index)
        with pytest.raises(DatasetError, match=found):
            open_store(copy)
    position = table.schema.get_field_index("shard")
    changed = np.full(12, 3, np.int32)
    pq.write_table(table.set_column(position, table.schema.field(position), [changed]), index)
    with pytest.raises(DatasetError, match="a shard that is not there"):
        open_store(copy)


@pytest.mark.parametrize(("limit", "value"), [("_MOST_ROWS", 11), ("_MOST_VALUES", 200)])
def test_an_index_that_announces_too_much(
    made: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    open_store(made)
    monkeypatch.setattr(index_module, limit, value)
    with pytest.raises(DatasetError, match="an index of 12 rows"):
        open_store(made)


def test_an_index_that_changes_after_opening(copy: Path) -> None:
    store = open_store(copy)
    index = copy / "index.parquet"
    pq.write_table(pq.read_table(index).slice(2), index)
    for ask in (lambda: store.keys, lambda: store.pixel_hashes, lambda: store.split("train")):
        with pytest.raises(DatasetError, match="an index that changed since it was opened"):
            ask()


def test_changed_bytes_are_noticed_when_read(copy: Path) -> None:
    store = open_store(copy)
    file = copy / "shard-00000/patches.msgpack"
    data = bytearray(file.read_bytes())
    data[5000] ^= 4
    file.write_bytes(data)
    with pytest.raises(DatasetError, match=rf"{store.keys[0]}: changed pixels"):
        store.read(0)
    assert store.read(1).key == store.keys[1]
    data[0] = 0
    file.write_bytes(data)
    with pytest.raises(DatasetError, match=r"in shard-00000/patches\.msgpack, "):
        store.read(0)


def test_summary(made: Path) -> None:
    summary = describe_store(made, verify=True)
    assert summary["kind"] == "store"
    assert summary["patches"]["by_split"] == {"test": 3, "train": 6, "val": 3}
    assert summary["verified"]
    assert sum(summary["classes"].values()) == open_store(made).targets[[0, 1, 4, 5, 8, 9]].sum()
    json.dumps(summary)
