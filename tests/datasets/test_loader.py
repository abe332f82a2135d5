"""Batches hold what the store holds, every patch once, for any number of workers and ranks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_archives import coded_dn, make_store

from geolulc.datasets import Store, open_store
from geolulc.datasets import pixels as pixels_module
from geolulc.datasets.loader import PatchLoader
from geolulc.datasets.patch import BIGEARTHNET
from geolulc.errors import DatasetError, ParameterError

COUNT = 37


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = make_store(tmp_path_factory.mktemp("loader") / "s", COUNT, shards=3, signal=False)
    return open_store(path)


def seen(loader: PatchLoader) -> list[list[int]]:
    return [batch.indices.tolist() for batch in loader]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_hold_the_patches(store: Store, workers: int, shuffle: bool) -> None:
    loader = PatchLoader(store, np.arange(COUNT), 8, shuffle=shuffle, workers=workers)
    assert len(loader) == 5
    for batch in loader:
        n = len(batch.indices)
        assert [(t.dtype, tuple(t.shape)) for t in (*batch.groups, *batch[1:])] == [
            (torch.uint16, (n, 4, 120, 120)),
            (torch.uint16, (n, 6, 60, 60)),
            (torch.uint16, (n, 2, 20, 20)),
            (torch.float32, (n, 19)),
            (torch.int64, (n,)),
        ]
        for row, index in enumerate(batch.indices.tolist()):
            expected = coded_dn(index)
            np.testing.assert_array_equal(batch.groups[0][row].numpy(), expected[10])
            np.testing.assert_array_equal(batch.groups[1][row].numpy(), expected[20])
            np.testing.assert_array_equal(batch.groups[2][row].numpy(), expected[60])
            np.testing.assert_array_equal(batch.targets[row].numpy(), store.targets[index])


def test_without_shuffle_the_order_is_that_of_the_indices(store: Store) -> None:
    indices = np.array([30, 2, 17, 4, 9])
    loader = PatchLoader(store, indices, 2, shuffle=False, workers=2)
    assert seen(loader) == seen(loader) == [[30, 2], [17, 4], [9]]


def test_reproducible_and_another_order_each_epoch(store: Store) -> None:
    def order(seed: int, epoch: int, workers: int = 0) -> list[list[int]]:
        loader = PatchLoader(store, np.arange(COUNT), 8, shuffle=True, seed=seed, workers=workers)
        loader.set_epoch(epoch)
        return seen(loader)

    assert order(0, 0) == order(0, 0) == order(0, 0, workers=3)
    assert len({str(order(s, e)) for s in (0, 1) for e in (0, 1, 2)}) == 6


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, COUNT),
    batch_size=st.integers(1, 12),
    world_size=st.integers(1, 4),
    workers=st.integers(0, 2),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_every_patch_once_over_all_ranks(
    store: Store,
    count: int,
    batch_size: int,
    world_size: int,
    workers: int,
    shuffle: bool,
    epoch: int,
) -> None:
    if shuffle and count < world_size:
        return
    indices = np.random.default_rng(count).permutation(COUNT)[:count]
    batches = []
    for rank in range(world_size):
        loader = PatchLoader(
            store,
            indices,
            batch_size,
            shuffle=shuffle,
            workers=workers,
            rank=rank,
            world_size=world_size,
        )
        loader.set_epoch(epoch)
        batches.append(seen(loader))
        assert len(batches[-1]) == len(loader)
    assert sorted(i for of_rank in batches for b in of_rank for i in b) == sorted(indices)
    if shuffle:
        assert len({len(of_rank) for of_rank in batches}) == 1


def test_leaving_an_epoch_early_closes_the_files(store: Store) -> None:
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        pytest.skip("no /proc")
    before = len(list(handles.iterdir()))
    for _ in range(5):
        iterator = iter(PatchLoader(store, np.arange(COUNT), 4, shuffle=True, workers=2))
        next(iterator)
        iterator.close()
    assert len(list(handles.iterdir())) <= before


def test_many_shards_do_not_need_many_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels_module, "_MOST_OPEN_FILES", 2)
    loader = PatchLoader(store, np.arange(COUNT), 8, shuffle=False)
    assert torch.equal(
        torch.cat([b.groups[2] for b in loader]).int(),
        torch.from_numpy(np.stack([coded_dn(i)[60] for i in range(COUNT)]).astype(np.int32)),
    )


def test_the_next_pool_is_announced(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geolulc.datasets.loader.POOL_RECORDS", 10)
    announced: list[list[int]] = []
    original = pixels_module.PixelReader.announce

    def announce(self: pixels_module.PixelReader, indices: np.ndarray) -> None:
        announced.append(indices.tolist())
        original(self, indices)

    monkeypatch.setattr(pixels_module.PixelReader, "announce", announce)
    batches = seen(PatchLoader(store, np.arange(COUNT), 4, shuffle=True, workers=2))
    order = [i for batch in batches for i in batch]
    # batches of 4 start at 0, 4, 8 | 12, 16 | 20, 24, 28 | 32, 36
    assert announced == [order[12:20], order[20:32], order[32:], []]


@pytest.fixture
def copy(store: Store, tmp_path: Path) -> Store:
    return open_store(shutil.copytree(store.path, tmp_path / "copy"))


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_pixels(copy: Store, workers: int) -> None:
    file = copy.path / "shard-00001/patches.msgpack"
    data = bytearray(file.read_bytes())
    data[1000] ^= 1  # a pixel of the shard's first patch, which is 12 of 37
    file.write_bytes(data)
    loader = PatchLoader(copy, np.arange(COUNT), 8, shuffle=False, workers=workers)
    with pytest.raises(
        DatasetError,
        match=rf"shard-00001/patches\.msgpack, patch {copy.keys[12]}: pixels that were changed",
    ):
        list(loader)
    unverified = PatchLoader(
        copy, np.arange(COUNT), 8, shuffle=False, workers=workers, verify=False
    )
    assert len(list(unverified)) == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_a_store_that_changes_under_the_reader(copy: Store, workers: int) -> None:
    file = copy.path / "shard-00002/patches.msgpack"
    loader = PatchLoader(copy, np.arange(COUNT), 8, shuffle=False, workers=workers)
    os.truncate(file, 1000)
    with pytest.raises(DatasetError, match=r"patch .*: 1000 bytes of 160\d\d\d"):
        list(loader)
    file.write_bytes(bytes(10_000_000))
    with pytest.raises(DatasetError, match="bytes that are not a record of pixels"):
        list(loader)
    file.unlink()
    with pytest.raises(DatasetError, match="No such file or directory"):
        list(loader)


def test_repeated_positions_come_as_often(store: Store) -> None:
    indices = [3, 3, 3, 9, 20, 20]
    for workers in (0, 2):
        loader = PatchLoader(store, indices, 4, shuffle=True, workers=workers, repeated=True)
        batches = list(loader)
        found = [i for batch in batches for i in batch.indices.tolist()]
        assert sorted(found) == indices
        for batch in batches:
            for row, index in enumerate(batch.indices.tolist()):
                np.testing.assert_array_equal(batch.groups[2][row].numpy(), coded_dn(index)[60])


def test_parameters(store: Store) -> None:
    for wrong, message in (
        ({"batch_size": 0}, "batch_size: found 0; expected 1 or more"),
        ({"workers": -1}, "workers: found -1"),
        ({"world_size": 0}, "world_size: found 0"),
        ({"rank": 2, "world_size": 2}, "rank: found 2; expected 0 or more, below 2"),
        ({"indices": [1, 1]}, "indices: found repeated ones"),
        ({"indices": [[1]]}, "indices: found no vector"),
        ({"indices": [COUNT]}, f"positions from {COUNT} to {COUNT}; expected 0 to {COUNT - 1}"),
        ({"indices": [-1]}, "positions from -1 to -1"),
    ):
        arguments: dict[str, object] = {"indices": [0], "batch_size": 1, **wrong}
        with pytest.raises(ParameterError, match=message):
            PatchLoader(store, shuffle=False, **arguments)  # type: ignore[arg-type]
    assert list(PatchLoader(store.path, [], 4, shuffle=True)) == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_readers_do_not_disturb_each_other(store: Store) -> None:
    """Four forks of a reader that has its files open already read different patches at once."""
    with pixels_module.PixelReader(store) as reader:
        groups = {r: np.empty((1, *s), np.uint16) for r, s in BIGEARTHNET.shapes.items()}
        reader.read_into(np.array([0]), groups)
        children = []
        for start in range(4):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    for index in [*range(start, COUNT, 4)] * 5:
                        reader.read_into(np.array([index]), groups)
                        if not np.array_equal(groups[10][0], coded_dn(index)[10]):
                            os._exit(2)
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
