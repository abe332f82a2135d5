"""A store that was damaged says so; a whole one says what it holds."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datadings.reader import MsgpackReader
from made_archives import COUNTRIES, SEASONS, coded_dn, make_patch, make_store

from geolulc.datasets import Store, describe_store, open_store
from geolulc.datasets import parquet_files as parquet_module
from geolulc.datasets.entries import Metadata
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
    assert store.nomenclature == BEN19
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
    changes = json.loads(whole)["classes"] | {"names": sorted(BEN19.names)}
    change_manifest(copy, classes=changes)
    with pytest.raises(DatasetError, match="classes that are not those of ben19"):
        open_store(copy)


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("patches total", -1, "total of patches: -1, not"),
        ("patches total", 10**40, "total of patches: "),
        ("patches by_split", None, "by_split of patches: None, not a mapping"),
        ("train_statistics B02 mean", float("inf"), "mean of B02 of train_statistics: inf, not"),
        ("train_statistics B02 percentiles", {"x": 1.0}, "percentiles of B02 of train_statistics"),
        ("classes frequencies train", [1], "frequencies of 1 classes, not 19"),
        ("classes frequencies", {}, "train of frequencies of classes: nothing, not a value"),
        ("index", {}, "sha256 of index: nothing, not a value"),
        ("archives", [{"dataset": "x"}], "name of archives: nothing, not a value"),
        ("left_out", {"snow": 1.5}, "snow of left_out: 1.5, not a whole number"),
        ("broken", [{"name": 7}], "name of broken: 7, not text"),
        ("shards", {}, "shards: {}, not a list"),
    ],
)
def test_a_manifest_is_checked_value_by_value(
    copy: Path, path: str, value: object, found: str
) -> None:
    file = copy / "manifest.json"
    manifest = json.loads(file.read_text())
    *above, name = path.split()
    inner = manifest
    for key in above:
        inner = inner[key]
    inner[name] = value
    file.write_text(json.dumps(manifest))
    for ask in (open_store, describe_store):
        with pytest.raises(DatasetError, match=r"manifest that cannot be read \(") as error:
            ask(copy)
        assert found in str(error.value)


def change_index(store: Path, name: str, values: pa.Array) -> None:
    file = store / "index.parquet"
    table = pq.read_table(file)
    position = table.schema.get_field_index(name)
    pq.write_table(table.set_column(position, name, values), file)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("size", -1, "beyond the end"),
        ("offset", 2**63 - 1, "beyond the end"),
        ("shard", -1, "a shard that is not there"),
        ("classes", 1 << 19, "an index of more than 19 classes"),
        ("offset", None, "gaps in the column offset"),
        ("size", 2.5, "a file that cannot be read"),
        ("key", None, "gaps in the column key"),
        ("has_reference", None, "gaps in the column has_reference"),
        ("left", float("nan"), "positions that are no metres in the column left"),
        ("top", 1e300, "positions that are no metres in the column top"),
        ("crs", "LOCAL_CS", "the CRS 'LOCAL_CS'"),
        ("country", "x" * 5000, "a text of 5,000 bytes in the column country"),
        ("key", b"\xff\xfe", "a file that cannot be read"),
        ("labels", ["x" * 2000], "a text of 2,000 bytes in the column labels"),
    ],
)
def test_an_index_is_checked_where_it_is_read(
    copy: Path, name: str, value: object, found: str
) -> None:
    values = pq.read_table(copy / "index.parquet").column(name).to_pylist()
    change_index(copy, name, pa.array([*values[:5], value, *values[6:]]))
    with pytest.raises(DatasetError) as error:
        open_store(copy).column(name)
    assert found in str(error.value)


def test_a_text_that_unpacks_to_gigabytes_is_not_unpacked(copy: Path) -> None:
    """Of 62 kB: one text of 60,000 letters that a million rows repeat."""
    codes = pa.array(np.zeros(1_000_000, np.int32))
    bomb = pa.table({"patch_id": pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 60_000]))})
    few = ("labels", "split", "country")
    for name in few:
        bomb = bomb.append_column(name, pa.nulls(1_000_000, pa.string()))
    file = copy / "metadata.parquet"
    pq.write_table(bomb, file, store_schema=False)
    assert file.stat().st_size < 70_000
    before = pa.total_allocated_bytes()
    with pytest.raises(DatasetError, match="a text of 60,000 bytes in the column patch_id"):
        Metadata([file])
    assert pa.default_memory_pool().max_memory() - before < 100 << 20


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
        with pytest.raises(DatasetError, match="a file that cannot be read"):
            open_store(copy)
    table = pq.read_table(made / "index.parquet")
    pq.write_table(table.drop_columns(["offset"]), index)
    with pytest.raises(DatasetError, match=r"index\.parquet: found no column offset"):
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


@pytest.mark.parametrize(
    ("limit", "value", "found"),
    [
        ("_MOST_ROWS", 11, "found 12 rows"),
        ("_MOST_VALUES", 200, "found 12 rows"),
        ("_MOST_BYTES", 20, "GB, unpacked"),
    ],
)
def test_an_index_that_announces_too_much(
    made: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, found: str
) -> None:
    open_store(made)
    monkeypatch.setattr(parquet_module, limit, value)
    with pytest.raises(DatasetError, match=found):
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
