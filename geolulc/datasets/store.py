"""A store opened for reading: its index in memory, its pixels on disk."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from geolulc.bands import sensor_of
from geolulc.datasets import layout
from geolulc.datasets.ground import Ground
from geolulc.datasets.index import read_batches, read_index, read_numbers
from geolulc.datasets.layout import RECORDS_FILE
from geolulc.datasets.legend import BITS, Legend, unpacked_bits
from geolulc.datasets.patch import SPLITS, Patch, PatchLayout
from geolulc.datasets.records import pixel_hash, unpack_record
from geolulc.datasets.statistics import BandStatistics
from geolulc.errors import DatasetError, ParameterError, require_one_of
from geolulc.grid import PATCH_SIZE
from geolulc.nomenclature import Nomenclature, nomenclature_of

_Column = TypeVar("_Column", list[Any], NDArray[Any])


class Store:
    """A folder that ``prepare_store`` wrote. Safe to share between threads, to fork and to pickle.

    Attributes:
        path: the folder.
        manifest: counts, classes, statistics and checksums, as ``manifest.json`` has them.
        legend: the classes of ``targets``, and of the codes of reference maps.
        nomenclature: that of the legend.
        layout: what patches are of, and how large.
        level: processing level of the products that patches were cut from: "L1C" or "L2A".
        target_bytes: ``targets`` as uint8, a quarter of the memory.
        shard_files: the datadings file of each shard.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.manifest: Mapping[str, Any] = layout.read_manifest(self.path)
        self.nomenclature: Nomenclature = nomenclature_of(self.manifest["nomenclature"])
        self.layout: Final = PatchLayout(
            sensor_of(self.manifest.get("sensor")), self.manifest.get("patch_size", PATCH_SIZE)
        )
        self.level: Final[str] = self.manifest.get("level", "L2A")
        self.legend: Final = Legend(
            self.nomenclature, self.manifest.get("reference_codes", "corine")
        )
        self.shard_files: Final = tuple(map(self._shard_file, self.manifest["shards"]))
        names = tuple(self.manifest["classes"]["names"])
        if names != self.nomenclature.names:
            raise self._damaged(f"classes that are not those of {self.nomenclature.id}")
        self._shards: Final = self._numbers("shard")
        self._offsets: Final = self._numbers("offset")
        self._sizes: Final = self._numbers("size")
        self._check(self.manifest["patches"]["total"])
        self.target_bytes: Final = self._targets()

    def __reduce__(self) -> tuple[object, ...]:
        return Store, (self.path,)

    def __len__(self) -> int:
        return len(self._shards)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, {len(self)} patches, {self.nomenclature.id})"

    def _targets(self) -> NDArray[np.uint8]:
        classes = len(self.nomenclature)
        bits = self._numbers("classes")
        if classes > BITS:
            names = read_index(self.path / layout.INDEX_FILE, [self.legend.column])
            return self._whole(self.legend.multi_hot(names[self.legend.column]))
        if classes < BITS and (bits >> np.uint64(classes)).any():
            raise self._damaged(f"an index of more than {classes} classes")
        return unpacked_bits(bits, classes)

    def _damaged(self, found: str) -> DatasetError:
        return DatasetError(
            self.path,
            found=found,
            expected="a store as geolulc prepare wrote it",
            remedy="Prepare the store again.",
        )

    def _shard_file(self, shard: Mapping[str, Any]) -> Path:
        name = str(shard["name"])
        file = self.path / name / RECORDS_FILE
        if Path(name).name != name or name in (".", ".."):
            raise self._damaged(f"the shard name {name!r}")
        if not file.is_file():
            raise self._damaged(f"no {name}/{RECORDS_FILE}")
        if (size := file.stat().st_size) != shard["bytes"]:
            raise self._damaged(f"{name}/{RECORDS_FILE} of {size} bytes, not {shard['bytes']}")
        return file

    def _numbers(self, column: str) -> NDArray[Any]:
        return self._whole(read_numbers(self.path / layout.INDEX_FILE, column))

    def _whole(self, values: _Column) -> _Column:
        if hasattr(self, "_shards") and len(values) != len(self):
            raise self._damaged("an index that changed since it was opened")
        return values

    def _check(self, total: int) -> None:
        if len(self) != total or not total:
            raise self._damaged(f"an index of {len(self)} patches where {total} are announced")
        sizes = np.array([s["bytes"] for s in self.manifest["shards"]], np.int64)
        if self._shards.min() < 0 or self._shards.max() >= len(sizes):
            raise self._damaged("an index that names a shard that is not there")
        # compared so that no sum can overflow
        room = sizes[self._shards] - self._sizes
        if min(self._offsets.min(), self._sizes.min()) < 0 or (self._offsets > room).any():
            raise self._damaged("an index that points beyond the end of a shard")

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """Patch names, in the order of the store."""
        return tuple(self.column("key"))

    @functools.cached_property
    def targets(self) -> NDArray[np.float32]:
        """float32 (patches, classes): 1 where the patch has the class."""
        return self.target_bytes.astype(np.float32)

    @functools.cached_property
    def splits(self) -> tuple[str | None, ...]:
        """Split of each patch; None for one in no list."""
        return tuple(self.column("split"))

    @functools.cached_property
    def countries(self) -> tuple[str | None, ...]:
        """Country of each patch; None where not known."""
        return tuple(self.column("country"))

    @functools.cached_property
    def seasons(self) -> tuple[str | None, ...]:
        """Season of each patch; None where not known."""
        return tuple(self.column("season"))

    def column(self, name: str) -> list[Any]:
        """A column of the index ("dataset", "tile", "crs", "left", …), one value a patch."""
        values: list[Any] = read_index(self.path / layout.INDEX_FILE, [name])[name].to_pylist()
        return self._whole(values)

    def split(self, name: str) -> NDArray[np.int64]:
        """Positions of the patches of "train", "val" or "test", ascending."""
        require_one_of("split", name, SPLITS)
        batches = read_batches(self.path / layout.INDEX_FILE, ["split"])
        own = [pc.equal(batch.column(0).cast(pa.string()), name) for batch in batches]
        chosen = pc.fill_null(pa.chunked_array(own, pa.bool_()), False).to_numpy()
        return np.flatnonzero(self._whole(chosen)).astype(np.int64)

    def ground(self, indices: NDArray[np.int64]) -> Ground:
        """The ground of the patches at ``indices``."""
        return Ground.of(*self._corners(indices))

    def touching(self, indices: NDArray[np.int64], ground: Ground) -> NDArray[np.bool_]:
        """Whether each patch at ``indices`` lies on ``ground`` or touches it."""
        return ground.touched(*self._corners(indices), self.layout.size)

    def _corners(self, indices: NDArray[np.int64]) -> tuple[list[str], Any, Any]:
        crs, left, top = (np.array(self.column(n))[indices] for n in ("crs", "left", "top"))
        return crs.tolist(), left, top

    @functools.cached_property
    def touching_training(self) -> Mapping[str, int]:
        """ "val", "test" → how many of its patches touch the ground of the train split."""
        ground = self.ground(self.split("train"))
        held_out = [name for name in SPLITS if name != "train"]
        return {n: int(self.touching(self.split(n), ground).sum()) for n in held_out}

    @functools.cached_property
    def statistics(self) -> Mapping[str, BandStatistics]:
        """Band name → statistics of the train split, in DN."""
        plain = self.manifest["train_statistics"]
        return {name: BandStatistics.from_json(of_band) for name, of_band in plain.items()}

    def locate(self, indices: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """(shard, offset in bytes) of the records at ``indices``."""
        return self._shards[indices], self._offsets[indices]

    def locate_ends(self, indices: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """(shard, offset in bytes of the end) of the records at ``indices``."""
        return self._shards[indices], self._offsets[indices] + self._sizes[indices]

    @functools.cached_property
    def has_reference(self) -> NDArray[np.bool_]:
        """Whether each patch has a reference map (``prepare_store(reference_maps=True)``)."""
        return np.array(self.column("has_reference"), np.bool_)

    @functools.cached_property
    def pixel_hashes(self) -> NDArray[np.uint64]:
        """XXH3 of each patch's pixels (``records.pixel_hash``)."""
        return self._numbers("pixel_hash")

    def read(self, index: int) -> Patch:
        """The patch at ``index`` (from 0; negative ones count from the end).

        Raises:
            IndexError: there is no such patch.
            DatasetError: the record is damaged.
        """
        position = range(len(self))[index]
        file = self.shard_files[self._shards[position]]
        size = int(self._sizes[position])
        try:
            with file.open("rb") as stream:
                data = os.pread(stream.fileno(), size, int(self._offsets[position]))
            patch = unpack_record(data, self.layout)
        except (OSError, ValueError) as error:
            raise self._damaged(f"in {file.parent.name}/{file.name}, {error}") from error
        if pixel_hash(patch.dn.values()) != self.pixel_hashes[position]:
            raise self._damaged(f"in {file.parent.name}/{file.name}, {patch.key}: changed pixels")
        return patch


def open_store(path: str | Path) -> Store:
    """Open a store.

    Raises:
        DatasetError: not a store, one that was cut short, or one of another format version.
    """
    try:
        return Store(Path(path))
    except ParameterError as error:  # a nomenclature that does not exist
        raise error.within(path, DatasetError, remedy="Prepare it again.") from error
