"""The loader against the floor and three other ways: samples a second into batches of 64.

    python benchmarks/load_samples.py [--patches 2000] [--rounds 3] [--ways floor,geolulc,…]

All read the same synthetic patches with a warm page cache, in a random order, and the figures of
one run are to be compared with each other only:

- ``floor``: the same uint16 bytes with plain ``read`` and ``numpy.frombuffer``, stacked;
- ``floor-strided``: the same with one copy a batch into each array;
- ``geolulc``: ``PatchLoader`` with 0 … workers, with and without the check of the pixels;
- ``lmdb``: LMDB and safetensors, the storage of reBEN's authors, native groups, stacked by torch's
  ``DataLoader`` with 0 and 2 workers;
- ``seed``: twelve float32 arrays a sample through msgpack-numpy and datadings' own
  ``IterableDataset``, each normalised and resized to 120 × 120;
- ``torchgeo``: TorchGeo's ``BigEarthNet`` over twelve GeoTIFFs a patch (fewer patches: it is slow).

LMDB and TorchGeo are in the extra ``bench``; what is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geolulc.datasets import open_store
from geolulc.datasets.loader import PatchLoader
from geolulc.datasets.patch import BIGEARTHNET

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from made_archives import make_store, make_v1

BATCH = 64
SHAPES = list(BIGEARTHNET.shapes.values())
SIZES = [2 * int(np.prod(shape)) for shape in SHAPES]
EDGES = np.cumsum([0, *SIZES]).tolist()
Way = Callable[[], Iterator[int]]


def floor_way(file: Path, order: np.ndarray, strided: bool) -> Way:
    """Plain reads; ``strided``: one copy a batch and group in place of a stack."""

    def run() -> Iterator[int]:
        with file.open("rb", buffering=0) as stream:
            for start in range(0, len(order), BATCH):
                rows = []
                for index in order[start : start + BATCH].tolist():
                    stream.seek(index * EDGES[-1])
                    rows.append(stream.read(EDGES[-1]))
                if strided:
                    joined = np.frombuffer(b"".join(rows), np.uint16).reshape(len(rows), -1)
                    arrays = [
                        np.ascontiguousarray(joined[:, a // 2 : b // 2]).reshape(-1, *shape)
                        for a, b, shape in zip(EDGES, EDGES[1:], SHAPES, strict=False)
                    ]
                else:
                    arrays = [
                        np.stack(
                            [
                                np.frombuffer(row, np.uint16, (b - a) // 2, a).reshape(shape)
                                for row in rows
                            ]
                        )
                        for a, b, shape in zip(EDGES, EDGES[1:], SHAPES, strict=False)
                    ]
                yield len(arrays[0])

    return run


def geolulc_way(store: Path, workers: int, verify: bool) -> Way:
    opened = open_store(store)

    def run() -> Iterator[int]:
        loader = PatchLoader(
            opened, np.arange(len(opened)), BATCH, shuffle=True, workers=workers, verify=verify
        )
        for batch in loader:
            yield len(batch.groups[0])

    return run


class LmdbDataset(torch.utils.data.Dataset):
    """LMDB of safetensors, three groups a sample; opened in the worker."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count, self.env = path, count, None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        import lmdb
        from safetensors.numpy import load

        if self.env is None:
            self.env = lmdb.open(
                str(self.path), readonly=True, lock=False, readahead=False, meminit=False
            )
        with self.env.begin(buffers=True) as transaction:
            tensors = load(bytes(transaction.get(f"{index}".encode())))
        return tuple(torch.from_numpy(tensors[name]) for name in ("b10", "b20", "b60", "y"))


def make_lmdb(path: Path, store: Path) -> None:
    import lmdb
    from safetensors.numpy import save

    opened = open_store(store)
    with lmdb.open(str(path), map_size=1 << 40) as env, env.begin(write=True) as transaction:
        for index in range(len(opened)):
            dn = {f"b{r}": np.ascontiguousarray(g) for r, g in opened.read(index).dn.items()}
            transaction.put(f"{index}".encode(), save({**dn, "y": opened.targets[index]}))


def lmdb_way(path: Path, count: int, workers: int) -> Way:
    def run() -> Iterator[int]:
        loader = torch.utils.data.DataLoader(
            LmdbDataset(path, count), BATCH, shuffle=True, num_workers=workers
        )
        for batch in loader:
            yield len(batch[0])

    return run


def make_seed(path: Path, store: Path, count: int) -> None:
    from datadings.writer import FileWriter

    opened = open_store(store)
    with FileWriter(path, disable=True, overwrite=True) as writer:
        for index in range(count):
            patch = opened.read(index)
            bands = {
                f"{r}_{i}": band.astype(np.float32)
                for r, group in patch.dn.items()
                for i, band in enumerate(group)
            }
            writer.write({"key": patch.key, **bands, "labels": opened.targets[index]})


def seed_transform(sample: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Normalise and resize each band of one sample."""
    bands = []
    for name, band in sample.items():
        if name[0].isdigit():
            tensor = (torch.from_numpy(band.copy()) - 0.04) / 4
            bands.append(
                torch.nn.functional.interpolate(
                    tensor[None, None], (120, 120), mode="bilinear", align_corners=False
                )[0, 0]
            )
    return {"image": torch.stack(bands), "labels": torch.from_numpy(sample["labels"].copy())}


def seed_way(path: Path, workers: int) -> Way:
    from datadings.reader import MsgpackReader
    from datadings.torch import IterableDataset

    def run() -> Iterator[int]:
        dataset = IterableDataset(MsgpackReader(path), transforms=seed_transform, batch_size=BATCH)
        loader = torch.utils.data.DataLoader(dataset, BATCH, num_workers=workers)
        for batch in loader:
            yield len(batch["image"])

    return run


def torchgeo_way(root: Path, workers: int) -> Way:
    from torchgeo.datasets import BigEarthNet

    class Offline(BigEarthNet):  # the files are there; nothing to fetch or to check
        def _verify(self) -> None:
            return

    dataset = Offline(str(root), split="train", bands="s2", num_classes=19)

    def run() -> Iterator[int]:
        loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, num_workers=workers)
        for batch in loader:
            yield len(batch["image"])

    return run


def measure(way: Way) -> tuple[float, float]:
    """(samples/s, µs of this process's CPU a sample): the second hardly minds a busy machine."""
    start, cpu = time.perf_counter(), time.process_time()
    count = sum(way())
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return count / seconds, 1e6 * cpu / count


def torchgeo_root(folder: Path, count: int) -> Path:
    """A v1 archive where TorchGeo looks for it, with the split file that it reads."""
    archive = make_v1(folder, count, splits=("train",))
    split = folder / "bigearthnet-train.csv"
    names = sorted(p.name for p in archive.iterdir())
    split.write_text("".join(f"{name},{name}\n" for name in names))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", default="floor,geolulc,lmdb,seed,torchgeo")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    chosen = set(options.ways.split(","))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store = make_store(folder / "store", options.patches, shards=4)
        order = np.random.default_rng(0).permutation(options.patches)
        ways: dict[str, Way] = {}
        if "floor" in chosen:
            opened = open_store(store)
            with (folder / "floor.bin").open("wb") as stream:
                for index in range(len(opened)):
                    for group in opened.read(index).dn.values():
                        stream.write(group.tobytes())
            ways["floor"] = floor_way(folder / "floor.bin", order, strided=False)
            ways["floor, one copy a batch"] = floor_way(folder / "floor.bin", order, strided=True)
        if "geolulc" in chosen:
            for workers in sorted({0, 1, 2, cores}):
                for verify in (True, False):
                    name = f"geolulc, {workers} workers" + ("" if verify else ", unverified")
                    ways[name] = geolulc_way(store, workers, verify)
        if "lmdb" in chosen and importlib.util.find_spec("lmdb"):
            make_lmdb(folder / "lmdb", store)
            for workers in (0, 2):
                ways[f"lmdb + safetensors, {workers} workers"] = lmdb_way(
                    folder / "lmdb", options.patches, workers
                )
        if "seed" in chosen:
            make_seed(folder / "seed.msgpack", store, min(options.patches, 640))
            for workers in (0, 2):
                ways[f"seed, {workers} workers"] = seed_way(folder / "seed.msgpack", workers)
        if "torchgeo" in chosen and importlib.util.find_spec("torchgeo"):
            root = torchgeo_root(folder, 128)
            for workers in (0, 2):
                ways[f"torchgeo, {workers} workers"] = torchgeo_way(root, workers)
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(options.rounds):  # interleaved: a slow minute hits all
            for name, way in ways.items():
                runs[name].append(measure(way))
    report(runs, options.json)


def report(runs: dict[str, list[tuple[float, float]]], as_json: bool) -> None:
    best = {name: max(rate for rate, _ in values) for name, values in runs.items()}
    cpu = {name: min(micro for _, micro in values) for name, values in runs.items()}
    if as_json:
        print(json.dumps(best))
        return
    reference = best.get("floor")
    for name, rate in best.items():
        share = f"  {rate / reference:6.3f} × floor" if reference else ""
        # the CPU of torch's worker processes is not this process's
        alone = name.startswith(("geolulc", "floor")) or ", 0 workers" in name
        used = f"  {cpu[name]:7.0f} µs CPU a sample" if alone else ""
        print(f"{name:34} {rate:9,.0f} samples/s{share}{used}")
    checked = [r for n, r in best.items() if n.startswith("geolulc") and "unverified" not in n]
    ours = max(checked, default=None)
    if ours:
        for other, wanted in (("floor", 0.7), ("lmdb", 1.5), ("seed", 10), ("torchgeo", 100)):
            theirs = [r for n, r in best.items() if n.split(",")[0].split(" ")[0] == other]
            if theirs:
                peer = theirs[0] if other == "floor" else max(theirs)
                print(f"geolulc, pixels checked: {ours / peer:8.2f} × {other} (wanted {wanted})")


if __name__ == "__main__":
    main()
